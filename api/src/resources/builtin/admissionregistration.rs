//! The rows of `admissionregistration.k8s.io`.

use super::*;
use strategy::admissionregistration::{Binding, Policy, WebhookConfiguration};

const GROUP: &str = "admissionregistration.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    let rows = [
        row(
            GROUP,
            "MutatingAdmissionPolicy",
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicy",
            Policy::MUTATING,
        )
        .hash("LYmCf+UMVdg=")
        .schema("admissionregistration.v1.MutatingAdmissionPolicy")
        .printer(table::admissionregistration::MUTATING_POLICY),
        row(
            GROUP,
            "MutatingAdmissionPolicyBinding",
            "mutatingadmissionpolicybindings",
            "mutatingadmissionpolicybinding",
            Binding::MUTATING,
        )
        .hash("90V5FRZZ3Zg=")
        .schema("admissionregistration.v1.MutatingAdmissionPolicyBinding")
        .printer(table::admissionregistration::MUTATING_BINDING),
        row(
            GROUP,
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
            "mutatingwebhookconfiguration",
            WebhookConfiguration::MUTATING,
        )
        .hash("Sqi0GUgDaX0=")
        .schema("admissionregistration.v1.MutatingWebhookConfiguration")
        .printer(table::admissionregistration::MUTATING_WEBHOOKS),
        row(
            GROUP,
            "ValidatingAdmissionPolicy",
            "validatingadmissionpolicies",
            "validatingadmissionpolicy",
            Policy::VALIDATING,
        )
        .hash("6OxvlMmQ6is=")
        .schema("admissionregistration.v1.ValidatingAdmissionPolicy")
        .printer(table::admissionregistration::VALIDATING_POLICY)
        .sub("status", "ValidatingAdmissionPolicy", READ_WRITE),
        row(
            GROUP,
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
            "validatingadmissionpolicybinding",
            Binding::VALIDATING,
        )
        .hash("v9715VZqakg=")
        .schema("admissionregistration.v1.ValidatingAdmissionPolicyBinding")
        .printer(table::admissionregistration::VALIDATING_BINDING),
        row(
            GROUP,
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
            "validatingwebhookconfiguration",
            WebhookConfiguration::VALIDATING,
        )
        .hash("B0wHjQmsGNk=")
        .schema("admissionregistration.v1.ValidatingWebhookConfiguration")
        .printer(table::admissionregistration::VALIDATING_WEBHOOKS),
    ];
    rows.into_iter().map(|row| row.cluster().category("api-extensions")).collect()
}

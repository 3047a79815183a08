//! The rows of `rbac.authorization.k8s.io`.

use super::*;
use strategy::rbac;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(
            GROUP,
            "ClusterRoleBinding",
            "clusterrolebindings",
            "clusterrolebinding",
            rbac::Binding::CLUSTER,
        )
        .cluster()
        .hash("48tpQ8gZHFc=")
        .schema("rbac.v1.ClusterRoleBinding")
        .printer(table::rbac::CLUSTER_ROLE_BINDING),
        row(GROUP, "ClusterRole", "clusterroles", "clusterrole", rbac::Role::CLUSTER)
            .cluster()
            .hash("bYE5ZWDrJ44=")
            .schema("rbac.v1.ClusterRole")
            .printer(table::rbac::CLUSTER_ROLE),
        row(GROUP, "RoleBinding", "rolebindings", "rolebinding", rbac::Binding::NAMESPACED)
            .hash("eGsCzGH6b1g=")
            .schema("rbac.v1.RoleBinding")
            .printer(table::rbac::ROLE_BINDING),
        row(GROUP, "Role", "roles", "role", rbac::Role::NAMESPACED)
            .hash("7FuwZcIIItM=")
            .schema("rbac.v1.Role")
            .printer(table::rbac::ROLE),
    ]
}

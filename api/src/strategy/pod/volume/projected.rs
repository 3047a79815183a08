//! What a pod knows of itself as files: `downwardAPI`, and `projected`, which puts several sources into
//! one folder.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, DownwardAPIVolumeFile, KeyToPath, PodCertificateProjection,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use super::{file_path, items, mode};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::pod::env::{FILE_FIELDS, validate_field, validate_resource};
use crate::strategy::selector::validate_label_selector;

const KEY_TYPES: &[&str] =
    &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];

/// Seconds for which a token is valid at least.
const TOKEN_SECONDS: i64 = 600;
/// Seconds for which a certificate may be asked for at least; at most: of Kubernetes' own signers, of
/// all others.
const CERTIFICATE_SECONDS: (i32, i32, i32) = (3600, 86_400, 7_862_400);

/// Checks a volume of the one or the other kind. Like Kubernetes, the paths of files of the pod leave
/// out which file.
pub(super) fn validate(volume: &Volume, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(source) = &volume.downward_api {
        errors.extend(mode(source.default_mode, &path.child("defaultMode")));
        for file in source.items.iter().flatten() {
            errors.extend(downward(file, path));
        }
        return errors;
    }
    let Some(projected) = &volume.projected else { return errors };
    errors.extend(mode(projected.default_mode, &path.child("defaultMode")));
    let mut folder = Folder { paths: BTreeSet::new(), path, errors };
    for (n, source) in projected.sources.iter().flatten().enumerate() {
        let at = path.child("sources").index(n);
        folder.add(source, &at);
        if given(source) > 1 {
            let detail = "may not specify more than 1 volume type per source";
            folder.errors.push(FieldError::forbidden(&at, detail));
        }
    }
    folder.errors
}

/// How many sources are named where one is due. The pattern names every field, so that the compiler
/// finds the one that is new.
fn given(source: &VolumeProjection) -> usize {
    let VolumeProjection {
        cluster_trust_bundle,
        config_map,
        downward_api,
        pod_certificate,
        secret,
        service_account_token,
    } = source;
    let all = [
        cluster_trust_bundle.is_some(),
        config_map.is_some(),
        downward_api.is_some(),
        pod_certificate.is_some(),
        secret.is_some(),
        service_account_token.is_some(),
    ];
    all.into_iter().filter(|given| *given).count()
}

/// The folder that all sources share: no two of them can have a file of the same name.
struct Folder<'a> {
    paths: BTreeSet<&'a str>,
    path: &'a Path,
    errors: Errors,
}

impl<'a> Folder<'a> {
    fn add(&mut self, source: &'a VolumeProjection, path: &Path) {
        if let Some(secret) = &source.secret {
            let keys = secret.items.as_deref().unwrap_or_default();
            self.keys(&secret.name, keys, &path.child("secret"));
        }
        if let Some(map) = &source.config_map {
            let keys = map.items.as_deref().unwrap_or_default();
            self.keys(&map.name, keys, &path.child("configMap"));
        }
        if let Some(source) = &source.downward_api {
            let path = path.child("downwardAPI");
            for file in source.items.iter().flatten() {
                self.errors.extend(downward(file, &path));
                self.file(&file.path, &file.path);
            }
        }
        if let Some(token) = &source.service_account_token {
            self.token(token, &path.child("serviceAccountToken"));
        }
        if let Some(bundle) = &source.cluster_trust_bundle {
            self.errors.extend(trust_bundle(bundle, &path.child("clusterTrustBundle")));
            self.file(&bundle.path, &bundle.path);
        }
        if let Some(certificate) = &source.pod_certificate {
            self.certificate(certificate, &path.child("podCertificate"));
        }
    }

    /// Notes a file; `shown` is what a conflict is told with.
    fn file(&mut self, file: &'a str, shown: &str) {
        if !file.is_empty() && !self.paths.insert(file) {
            let detail = "conflicting duplicate paths";
            self.errors.push(FieldError::invalid(self.path, shown, detail));
        }
    }

    fn keys(&mut self, name: &str, keys: &'a [KeyToPath], path: &Path) {
        if name.is_empty() {
            self.errors.push(FieldError::required(&path.child("name"), ""));
        }
        self.errors.extend(items(keys, &path.child("items")));
        for key in keys {
            self.file(&key.path, name);
        }
    }

    fn token(&mut self, token: &ServiceAccountTokenProjection, path: &Path) {
        let (seconds, at) = (token.expiration_seconds.unwrap_or(3600), "expirationSeconds");
        if seconds < TOKEN_SECONDS {
            let detail = "may not specify a duration less than 10 minutes";
            self.errors.push(FieldError::invalid(&path.child(at), seconds, detail));
        }
        if seconds > 1 << 32 {
            let detail = "may not specify a duration larger than 2^32 seconds";
            self.errors.push(FieldError::invalid(&path.child(at), seconds, detail));
        }
        // Kubernetes names the folder, not the source.
        self.errors.extend(file_path(&token.path, &self.path.child("path")));
    }

    fn certificate(&mut self, certificate: &'a PodCertificateProjection, path: &Path) {
        let signer = certificate.signer_name.as_str();
        self.errors.extend(signer_name(signer, &path.child("signerName")));
        if !KEY_TYPES.contains(&certificate.key_type.as_str()) {
            let at = path.child("keyType");
            let given = certificate.key_type.as_str();
            self.errors.push(FieldError::not_supported(&at, given, KEY_TYPES));
        }
        if let Some(seconds) = certificate.max_expiration_seconds {
            let (least, own, most) = CERTIFICATE_SECONDS;
            let domain = signer.split('/').next().unwrap_or_default();
            let kubernetes = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
            let most = if kubernetes { own } else { most };
            let detail = if seconds < least {
                format!("if provided, maxExpirationSeconds must be >= {least}")
            } else {
                format!("if provided, maxExpirationSeconds must be <= {most}")
            };
            if !(least..=most).contains(&seconds) {
                let at = path.child("maxExpirationSeconds");
                self.errors.push(FieldError::invalid(&at, seconds, &detail));
            }
        }
        let mut files = 0;
        for (field, file) in [
            ("credentialBundlePath", &certificate.credential_bundle_path),
            ("keyPath", &certificate.key_path),
            ("certificateChainPath", &certificate.certificate_chain_path),
        ] {
            if let Some(file) = file.as_deref().filter(|file| !file.is_empty()) {
                files += 1;
                self.errors.extend(file_path(file, &path.child(field)));
                self.file(file, file);
            }
        }
        if files == 0 {
            let detail =
                "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
            self.errors.push(FieldError::required(path, detail));
        }
    }
}

fn trust_bundle(bundle: &ClusterTrustBundleProjection, path: &Path) -> Errors {
    let mut errors = Errors::new();
    match (bundle.name.as_deref(), bundle.signer_name.as_deref()) {
        (Some(_), Some(_)) => {
            let shown = serde_json::to_value(bundle).unwrap_or_default();
            let detail = "only one of name and signerName may be used";
            errors.push(FieldError::invalid(path, shown, detail));
        }
        (Some(name), None) => {
            let at = path.child("name");
            if name.is_empty() {
                errors.push(FieldError::required(&at, "must be a valid object name"));
            }
            if bundle.label_selector.is_some() {
                let detail = "labelSelector must be unset if name is specified";
                let shown = serde_json::to_value(&bundle.label_selector).unwrap_or_default();
                errors.push(FieldError::invalid(&path.child("labelSelector"), shown, detail));
            }
        }
        (None, Some(signer)) => {
            let at = path.child("signerName");
            if signer.is_empty() {
                errors.push(FieldError::required(&at, "must be a valid signer name"));
            }
            errors.extend(signer_name(signer, &at));
            let at = path.child("labelSelector");
            errors.extend(validate_label_selector(bundle.label_selector.as_ref(), &at));
        }
        (None, None) => {
            let detail = "either name or signerName must be specified";
            errors.push(FieldError::required(path, detail));
        }
    }
    errors.extend(file_path(&bundle.path, &path.child("path")));
    errors
}

/// `DOMAIN/PATH`: who signs.
fn signer_name(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let Some((domain, rest)) = name.split_once('/') else {
        let detail =
            "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![FieldError::invalid(path, name, detail)];
    };
    let mut errors = FieldError::invalid_each(path, domain, &names::dns1123_subdomain(domain));
    errors.extend(FieldError::invalid_each(path, rest, &names::dns1123_subdomain(rest)));
    errors
}

/// Checks a file of the downward API.
fn downward(file: &DownwardAPIVolumeFile, path: &Path) -> Errors {
    let mut errors = file_path(&file.path, &path.child("path"));
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(field), resource) => {
            errors.extend(validate_field(field, FILE_FIELDS, &path.child("fieldRef")));
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "resource", detail));
            }
        }
        (None, Some(resource)) => {
            errors.extend(validate_resource(resource, true, &path.child("resourceFieldRef")));
        }
        (None, None) => {
            let detail = "one of fieldRef and resourceFieldRef is required";
            errors.push(FieldError::required(path, detail));
        }
    }
    errors.extend(mode(file.mode, &path.child("mode")));
    errors
}

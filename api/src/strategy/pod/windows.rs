//! `windowsOptions`: the credentials and the user of processes on a Windows host.

use k8s_openapi::api::core::v1::WindowsSecurityContextOptions;

use crate::field::{Errors, FieldError, Path};
use crate::names;

/// Bytes of a credential spec, in KiB.
const CREDENTIALS_KIB: usize = 64;
const DOMAIN: usize = 256;
const USER: usize = 104;

pub(super) fn validate(options: &WindowsSecurityContextOptions, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if let Some(name) = &options.gmsa_credential_spec_name {
        let messages = names::dns1123_subdomain(name);
        errors.extend(FieldError::invalid_each(
            &path.child("gmsaCredentialSpecName"),
            name,
            &messages,
        ));
    }
    if let Some(text) = options.gmsa_credential_spec.as_deref() {
        let path = path.child("gmsaCredentialSpec");
        if text.is_empty() {
            let detail = "gmsaCredentialSpec cannot be an empty string";
            errors.push(FieldError::invalid(&path, text, detail));
        } else if text.len() > CREDENTIALS_KIB * 1024 {
            let detail = format!("gmsaCredentialSpec size must be under {CREDENTIALS_KIB} KiB");
            errors.push(FieldError::invalid(&path, text, &detail));
        }
    }
    if let Some(user) = options.run_as_user_name.as_deref() {
        let path = path.child("runAsUserName");
        errors.extend(
            user_name(user)
                .iter()
                .map(|why| FieldError::invalid(&path, user, &format!("runAsUserName{why}"))),
        );
    }
    errors
}

/// What is wrong with `[DOMAIN\]USER`.
fn user_name(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec![" cannot be an empty string".to_owned()];
    }
    if text.contains(|c: char| c.is_ascii_control()) {
        return vec![" cannot contain control characters".to_owned()];
    }
    let (domain, user) = match text.split_once('\\') {
        Some((_, user)) if user.contains('\\') => {
            return vec![" cannot contain more than one backslash".to_owned()];
        }
        Some((domain, user)) => (Some(domain), user),
        None => (None, text),
    };
    let mut errors = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= DOMAIN) {
        errors.push(format!("'s Domain length must be under {DOMAIN} characters"));
    }
    if domain.is_some_and(|domain| !is_net_bios(domain) && !is_dns(domain)) {
        errors.push("'s Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    if user.is_empty() {
        errors.push("'s User cannot be empty".to_owned());
    } else if user.len() > USER {
        errors.push(format!("'s User length must not be longer than {USER} characters"));
    }
    if !user.is_empty() && user.bytes().all(|b| matches!(b, b'.' | b' ')) {
        errors.push("'s User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(r#""/\:;|=,+*?<>@[]"#.chars().collect::<Vec<_>>().as_slice()) {
        let detail = r#"'s User cannot contain the following characters: "/\:;|=,+*?<>@[]"#;
        errors.push(detail.to_owned());
    }
    errors
}

/// 1 to 15 characters, none of them with a meaning in paths, the first no dot.
fn is_net_bios(text: &str) -> bool {
    let permitted = |c: char| !r#"\/:*?"<>|"#.contains(c);
    (1..=15).contains(&text.chars().count())
        && !text.starts_with('.')
        && text.chars().all(permitted)
}

/// Labels of letters, digits and dashes, joined by dots.
fn is_dns(text: &str) -> bool {
    text.split('.').all(|label| names::dns1123_label(&label.to_ascii_lowercase()).is_empty())
}

//! Rows of CertificateSigningRequests.

use super::*;

pub(crate) const CERTIFICATE_SIGNING_REQUEST: Printer =
    Printer::new("CertificateSigningRequest", |object, now| {
        let seconds = object["spec"]["expirationSeconds"].as_i64();
        let duration = seconds.map_or_else(|| "<none>".to_owned(), human_duration);
        vec![
            name(object),
            age(object, now),
            or(text(object, "/spec/signerName"), "<none>").into(),
            cell(object, "/spec/username"),
            duration.into(),
            condition(&object["status"]).into(),
        ]
    });

/// Denied before approved, then what came of it.
fn condition(status: &Value) -> String {
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |kind: &str| conditions.iter().any(|condition| condition["type"] == kind);
    let mut text = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        text.push_str(",Failed");
    }
    if status["certificate"].as_str().is_some_and(|certificate| !certificate.is_empty()) {
        text.push_str(",Issued");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_requests() {
        let with =
            |kinds: &[&str]| kinds.iter().map(|kind| json!({"type": kind})).collect::<Value>();
        for (kinds, certificate, want) in [
            (&[][..], "", "Pending"),
            (&["Approved"], "", "Approved"),
            (&["Approved"], "eA==", "Approved,Issued"),
            (&["Approved", "Denied"], "", "Denied"),
            (&["Approved", "Failed"], "", "Approved,Failed"),
        ] {
            let status = json!({"conditions": with(kinds), "certificate": certificate});
            assert_eq!(condition(&status), want, "{status}");
        }
    }
}

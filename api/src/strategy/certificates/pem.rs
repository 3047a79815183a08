//! Certificate requests and certificates in PEM.
//!
//! Source: RFC 7468 (PEM), RFC 2986 (PKCS #10).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

const REQUEST: &str = "CERTIFICATE REQUEST";
const CERTIFICATE: &str = "CERTIFICATE";

/// Checks that a base64 field holds a certificate request whose signature is by its own key.
///
/// # Errors
/// What is wrong with it, for the message of a field.
pub(super) fn check_request(field: &str) -> Result<(), String> {
    let block = STANDARD
        .decode(field)
        .ok()
        .and_then(|text| Pem::iter_from_buffer(&text).next())
        .and_then(Result::ok)
        .filter(|block| block.label == REQUEST)
        .ok_or_else(|| format!("PEM block type must be {REQUEST}"))?;
    let (rest, request) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|error| format!("not a PKCS #10 certificate request: {error}"))?;
    if !rest.is_empty() {
        return Err("not a PKCS #10 certificate request: trailing data".to_owned());
    }
    request.verify_signature().map_err(|_| {
        "the signature of the certificate request is not by the key it contains".to_owned()
    })
}

/// Checks that a base64 field is empty or holds certificates and nothing else.
///
/// # Errors
/// What is wrong with it, for the message of a field.
pub(super) fn check_certificates(field: &str) -> Result<(), String> {
    if field.is_empty() {
        return Ok(());
    }
    let text = STANDARD.decode(field).map_err(|error| error.to_string())?;
    let mut blocks = 0;
    for block in Pem::iter_from_buffer(&text) {
        let block = block.map_err(|error| error.to_string())?;
        if block.label != CERTIFICATE {
            return Err(format!(
                "only {CERTIFICATE} PEM blocks are allowed, found \"{}\"",
                block.label
            ));
        }
        block.parse_x509().map_err(|error| format!("not an X.509 certificate: {error}"))?;
        blocks += 1;
    }
    if blocks == 0 {
        return Err(format!("must contain at least one {CERTIFICATE} PEM block"));
    }
    Ok(())
}

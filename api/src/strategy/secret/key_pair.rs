//! Whether the certificate and the key in a TLS secret belong together.
//!
//! Says what Go says when it loads such a pair (crypto/tls.X509KeyPair): whoever serves with the secret
//! will fail with these words. Keys are compared with certificates by the public half that they hold;
//! one that holds none, as some EC and Ed25519 keys, is taken on trust.
//!
//! Source: RFC 7468 (PEM), RFC 5208 (PKCS #8), RFC 8017 (PKCS #1), RFC 5915 (EC keys).

use x509_parser::asn1_rs::{Any, FromDer as _, Tag};
use x509_parser::pem::Pem;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

const OID_RSA: &str = "1.2.840.113549.1.1.1";
const OID_EC: &str = "1.2.840.10045.2.1";
const OID_ED25519: &str = "1.3.101.112";

/// What is wrong with a pair; `None` if nothing is known to be.
pub(super) fn problem(certificates: &[u8], keys: &[u8]) -> Option<String> {
    let certificate = match certificate_in(certificates) {
        Ok(certificate) => certificate,
        Err(problem) => return Some(problem),
    };
    let key = match key_in(keys) {
        Ok(key) => key,
        Err(problem) => return Some(problem),
    };
    let Ok(parsed) = certificate.parse_x509() else {
        return Some("x509: malformed certificate".to_owned());
    };
    let Some(half) = Half::of_key(&key.contents, 0) else {
        return Some("tls: failed to parse private key".to_owned());
    };
    let Some(other) = Half::of_certificate(parsed.public_key()) else {
        return Some("tls: unknown public key algorithm".to_owned());
    };
    match (half, other) {
        (Half::Rsa(a), Half::Rsa(b)) | (Half::Ec(Some(a)), Half::Ec(Some(b))) if a != b => {
            Some("tls: private key does not match public key".to_owned())
        }
        (Half::Rsa(_), Half::Rsa(_))
        | (Half::Ec(_), Half::Ec(_))
        | (Half::Ed25519, Half::Ed25519) => None,
        _ => Some("tls: private key type does not match public key type".to_owned()),
    }
}

/// The first block that `wanted` takes, or else the labels of all.
fn find(text: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Pem, Vec<String>> {
    let mut skipped = Vec::new();
    for block in Pem::iter_from_buffer(text).filter_map(Result::ok) {
        if wanted(&block.label) {
            return Ok(block);
        }
        skipped.push(block.label);
    }
    Err(skipped)
}

fn certificate_in(text: &[u8]) -> Result<Pem, String> {
    find(text, |label| label == "CERTIFICATE").map_err(|skipped| match &skipped[..] {
        [] => "tls: failed to find any PEM data in certificate input".to_owned(),
        [label] if label.ends_with("PRIVATE KEY") => {
            "tls: failed to find certificate PEM data in certificate input, but did find a private \
             key; PEM inputs may have been switched"
                .to_owned()
        }
        all => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM \
             blocks of the following types: [{}]",
            all.join(" ")
        ),
    })
}

fn key_in(text: &[u8]) -> Result<Pem, String> {
    let is_key = |label: &str| label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY");
    find(text, is_key).map_err(|skipped| match &skipped[..] {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        [label] if label == "CERTIFICATE" => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        all => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after \
             skipping PEM blocks of the following types: [{}]",
            all.join(" ")
        ),
    })
}

/// The public half of a key.
enum Half {
    /// The modulus, without leading zeros.
    Rsa(Vec<u8>),
    /// The point, if it is known.
    Ec(Option<Vec<u8>>),
    Ed25519,
}

impl Half {
    fn of_certificate(key: &SubjectPublicKeyInfo<'_>) -> Option<Half> {
        if key.algorithm.algorithm.to_id_string() == OID_ED25519 {
            return Some(Half::Ed25519);
        }
        match key.parsed().ok()? {
            PublicKey::RSA(key) => Some(Half::Rsa(plain(key.modulus))),
            PublicKey::EC(point) => Some(Half::Ec(Some(point.data().to_vec()))),
            _ => None,
        }
    }

    /// Reads a key in any of the three forms; what is in PKCS #8 is in one of the others in turn.
    fn of_key(der: &[u8], depth: u8) -> Option<Half> {
        let fields = fields(der)?;
        match &fields[..] {
            [_, kind, inner, ..] if kind.tag() == Tag::Sequence && depth == 0 => {
                let (_, algorithm) = Any::from_der(kind.data).ok()?;
                match algorithm.oid().ok()?.to_id_string().as_str() {
                    OID_RSA | OID_EC => Half::of_key(inner.data, 1),
                    OID_ED25519 => Some(Half::Ed25519),
                    _ => None,
                }
            }
            [_, modulus, _, _, _, ..] if modulus.tag() == Tag::Integer => {
                Some(Half::Rsa(plain(modulus.data)))
            }
            [_, secret, others @ ..] if secret.tag() == Tag::OctetString => {
                let point = others.iter().find(|other| other.tag() == Tag(1));
                let bits = point.and_then(|point| Any::from_der(point.data).ok());
                // The first byte counts the bits that are missing from the last one: none.
                Some(Half::Ec(bits.and_then(|(_, bits)| Some(bits.data.get(1..)?.to_vec()))))
            }
            _ => None,
        }
    }
}

fn plain(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// The elements of a sequence.
fn fields(der: &[u8]) -> Option<Vec<Any<'_>>> {
    let (_, sequence) = Any::from_der(der).ok()?;
    if sequence.tag() != Tag::Sequence {
        return None;
    }
    let (mut rest, mut all) = (sequence.data, Vec::new());
    while !rest.is_empty() {
        let (left, field) = Any::from_der(rest).ok()?;
        all.push(field);
        rest = left;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("names");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    }

    fn said(certificate: &str, key: &str) -> Option<String> {
        problem(certificate.as_bytes(), key.as_bytes())
    }

    #[test]
    fn pairs_belong_together_or_not() {
        let (certificate, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (other_certificate, other_key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (edwards_certificate, edwards_key) = pair(&rcgen::PKCS_ED25519);
        assert_eq!(said(&certificate, &key), None);
        assert_eq!(said(&other_certificate, &other_key), None);
        assert_eq!(said(&edwards_certificate, &edwards_key), None);
        let chain = format!("{certificate}{other_certificate}");
        assert_eq!(said(&chain, &key), None);
        let with_parameters = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{key}"
        );
        assert_eq!(said(&certificate, &with_parameters), None);
        let not = |what: &str| Some(format!("tls: {what}"));
        assert_eq!(said(&certificate, &other_key), not("private key does not match public key"));
        let types = "private key type does not match public key type";
        assert_eq!(said(&certificate, &edwards_key), not(types));
        assert_eq!(said(&edwards_certificate, &key), not(types));
    }

    #[test]
    fn what_is_no_certificate_or_key() {
        let (certificate, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        for (certificates, keys, want) in [
            ("x", "y", "tls: failed to find any PEM data in certificate input".to_owned()),
            ("", "", "tls: failed to find any PEM data in certificate input".to_owned()),
            (
                &*key,
                &*certificate,
                "tls: failed to find certificate PEM data in certificate input, but did find a private \
                 key; PEM inputs may have been switched"
                    .to_owned(),
            ),
            (
                &*format!("{}{}", block("A B"), block("C")),
                &*key,
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM \
                 blocks of the following types: [A B C]"
                    .to_owned(),
            ),
            (&*certificate, "y", "tls: failed to find any PEM data in key input".to_owned()),
            (
                &*certificate,
                &*certificate,
                "tls: found a certificate rather than a key in the PEM for the private key".to_owned(),
            ),
            (
                &*certificate,
                &*block("PUBLIC KEY"),
                "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after \
                 skipping PEM blocks of the following types: [PUBLIC KEY]"
                    .to_owned(),
            ),
            (&*block("CERTIFICATE"), &*key, "x509: malformed certificate".to_owned()),
            (&*certificate, &*block("RSA PRIVATE KEY"), "tls: failed to parse private key".to_owned()),
        ] {
            assert_eq!(said(certificates, keys), Some(want), "{certificates} {keys}");
        }
    }

    /// An element of less than 128 bytes.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, u8::try_from(content.len()).expect("short")][..], &content].concat()
    }

    #[test]
    fn keys_in_their_old_and_new_forms() {
        const SEQUENCE: u8 = 0x30;
        let number = |bytes: &[u8]| der(2, &[bytes]);
        let zero = number(&[0]);
        let wrapped = |oid: &[u8], key: &[u8]| {
            let algorithm = der(SEQUENCE, &[&der(6, &[oid])]);
            der(SEQUENCE, &[&zero, &algorithm, &der(4, &[key])])
        };
        let (modulus, one) = (number(&[0, 0xc3, 5]), number(&[1]));
        let rsa = der(SEQUENCE, &[&zero, &modulus, &one, &one, &one, &one, &one, &one, &one]);
        let point = der(0xa1, &[&der(3, &[&[0, 4, 7]])]);
        let curve = der(0xa0, &[&der(6, &[&[42, 3]])]);
        let ec = der(SEQUENCE, &[&one, &der(4, &[&[9]]), &curve, &point]);
        let without_point = der(SEQUENCE, &[&one, &der(4, &[&[9]]), &curve]);
        let rsa_oid = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
        let ec_oid = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
        for key in [rsa.clone(), wrapped(&rsa_oid, &rsa)] {
            assert!(
                matches!(Half::of_key(&key, 0), Some(Half::Rsa(n)) if n == [0xc3, 5]),
                "{key:?}"
            );
        }
        for key in [ec.clone(), wrapped(&ec_oid, &ec)] {
            let half = Half::of_key(&key, 0);
            assert!(matches!(half, Some(Half::Ec(Some(point))) if point == [4, 7]), "{key:?}");
        }
        assert!(matches!(Half::of_key(&without_point, 0), Some(Half::Ec(None))));
        let twice = wrapped(&rsa_oid, &wrapped(&rsa_oid, &rsa));
        for wrong in
            [&twice[..], &wrapped(&[42, 3], &rsa), &zero, &der(SEQUENCE, &[&zero]), &[0x30]]
        {
            assert!(Half::of_key(wrong, 0).is_none(), "{wrong:?}");
        }
    }
}

//! Certificates: what a request asks for, over the name of the cluster's authority (RFC 5280).
//!
//! Subject and key are the request's own bytes; of its extensions only the names are taken over. What
//! the certificate is good for are the usages of the CertificateSigningRequest. It begins five
//! minutes ago, because clocks differ, and ends with its authority at the latest.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::Pem;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, DERWriterSeq, Tag, construct_der};

use super::Signing;
use super::request::{Name, Request};

/// How long before now a certificate begins.
const BACKDATE: Duration = Duration::from_secs(300);
/// A shorter life than this is not shortened by [`BACKDATE`].
const SHORT: Duration = Duration::from_secs(8 * 3600);
/// A life shorter than this is not given to a request that asks for it.
const SHORTEST: Duration = Duration::from_secs(600);
/// UTCTime ends with this year (RFC 5280, 4.1.2.5).
const LAST_OF_UTC_TIME: i16 = 2049;

const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const AUTHORITY_KEY: &[u64] = &[2, 5, 29, 35];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// Usages that are bits of the key usage, by bit.
const KEY_USAGES: [&str; 9] = [
    "digital signature",
    "content commitment",
    "key encipherment",
    "data encipherment",
    "key agreement",
    "cert sign",
    "crl sign",
    "encipher only",
    "decipher only",
];

/// Usages that are purposes.
const PURPOSES: [(&str, &[u64]); 13] = [
    ("any", &[2, 5, 29, 37, 0]),
    ("server auth", &[1, 3, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[1, 3, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[1, 3, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[1, 3, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[1, 3, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[1, 3, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[1, 3, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
    ("netscape sgc", &[2, 16, 840, 1, 113730, 4, 1]),
];

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("unrecognized usage values: [{0}]")]
    Usage(String),
    #[error("the authority's certificate is over since {0}")]
    Over(Timestamp),
    #[error("the key does not sign")]
    Key,
}

/// The cluster's authority, ready to sign.
pub(crate) struct Authority {
    key: EcdsaKeyPair,
    /// Its subject, DER.
    name: Vec<u8>,
    /// What its certificate calls its key.
    key_id: Option<Vec<u8>>,
    end: Timestamp,
    lifetime: Duration,
    approve_serving: bool,
    random: SystemRandom,
}

impl Authority {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// In a few words, what cannot be used.
    pub(crate) fn new(signing: &Signing) -> Result<Self, &'static str> {
        let block = |pem: &str| Pem::iter_from_buffer(pem.as_bytes()).next()?.ok();
        let unread = "has a certificate that cannot be read";
        let certificate = block(&signing.certificate_pem).ok_or(unread)?;
        let certificate = certificate.parse_x509().map_err(|_| unread)?;
        let key = block(&signing.key_pem).ok_or("has a key that is no PEM")?;
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &key.contents, &random)
            .map_err(|_| "has a key that is not ECDSA P-256 in PKCS#8")?;
        let key_id = certificate.extensions().iter().find_map(|extension| {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
                _ => None,
            }
        });
        if signing.lifetime < Duration::from_secs(1) {
            return Err("has a lifetime below a second");
        }
        Ok(Self {
            key,
            name: certificate.subject().as_raw().to_vec(),
            key_id,
            end: Timestamp::from_second(certificate.validity().not_after.timestamp())
                .map_err(|_| unread)?,
            lifetime: signing.lifetime,
            approve_serving: signing.approve_serving,
            random,
        })
    }

    /// Whether serving certificates of nodes are approved here.
    pub(super) fn approve_serving(&self) -> bool {
        self.approve_serving
    }

    /// Makes the certificate, PEM. `seconds` is the life that was asked for.
    pub(super) fn sign(
        &self,
        wanted: &Request,
        usages: &[String],
        seconds: Option<i32>,
        now: Timestamp,
    ) -> Result<String, SignError> {
        let usages: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
        let unknown: Vec<&str> = usages.iter().copied().filter(|usage| !is_known(usage)).collect();
        if !unknown.is_empty() {
            return Err(SignError::Usage(unknown.join(", ")));
        }
        let (begin, end) = validity(self.lifetime, seconds, self.end, now);
        if end <= now {
            return Err(SignError::Over(self.end));
        }
        let mut serial = [0_u8; 16];
        self.random.fill(&mut serial).map_err(|_| SignError::Key)?;
        let body = construct_der(|writer| {
            writer.write_sequence(|fields| {
                // Version 3.
                fields.next().write_tagged(Tag::context(0), |version| version.write_i64(2));
                fields.next().write_bigint_bytes(&serial, true);
                algorithm(fields.next());
                fields.next().write_der(&self.name);
                fields.next().write_sequence(|times| {
                    time(times.next(), begin);
                    time(times.next(), end);
                });
                fields.next().write_der(&wanted.subject);
                fields.next().write_der(&wanted.key);
                fields.next().write_tagged(Tag::context(3), |tagged| {
                    tagged.write_sequence(|list| self.extensions(list, wanted, &usages));
                });
            });
        });
        let signature = self.key.sign(&self.random, &body).map_err(|_| SignError::Key)?;
        let signature = signature.as_ref();
        let certificate = construct_der(|writer| {
            writer.write_sequence(|parts| {
                parts.next().write_der(&body);
                algorithm(parts.next());
                parts.next().write_bitvec_bytes(signature, signature.len() * 8);
            });
        });
        Ok(pem("CERTIFICATE", &certificate))
    }

    fn extensions(&self, list: &mut DERWriterSeq<'_>, wanted: &Request, usages: &BTreeSet<&str>) {
        if let Some((bytes, length)) = key_usage(usages) {
            extension(list, KEY_USAGE, true, |value| value.write_bitvec_bytes(&bytes, length));
        }
        let purposes: BTreeSet<&[u64]> = PURPOSES
            .iter()
            .filter(|(usage, _)| usages.contains(usage))
            .map(|(_, purpose)| *purpose)
            .collect();
        if !purposes.is_empty() {
            extension(list, EXTENDED_KEY_USAGE, false, |value| {
                value.write_sequence(|all| {
                    for purpose in purposes {
                        all.next().write_oid(&ObjectIdentifier::from_slice(purpose));
                    }
                });
            });
        }
        // Not an authority: the default, so that nothing is written in it.
        extension(list, BASIC_CONSTRAINTS, true, |value| value.write_sequence(|_| {}));
        if let Some(id) = &self.key_id {
            extension(list, AUTHORITY_KEY, false, |value| {
                value.write_sequence(|parts| {
                    let tag = Tag::context(0);
                    parts.next().write_tagged_implicit(tag, |key| key.write_bytes(id));
                });
            });
        }
        if !wanted.names.is_empty() {
            extension(list, ALTERNATIVE_NAMES, false, |value| {
                value.write_sequence(|all| {
                    for wanted in &wanted.names {
                        name(all.next(), wanted);
                    }
                });
            });
        }
    }
}

fn is_known(usage: &str) -> bool {
    usage == "signing"
        || KEY_USAGES.contains(&usage)
        || PURPOSES.iter().any(|(known, _)| *known == usage)
}

/// The bits of the key usage, and how many; none if none is set.
fn key_usage(usages: &BTreeSet<&str>) -> Option<(Vec<u8>, usize)> {
    let is_set = |usage: &str| {
        usages.contains(usage) || (usage == "digital signature" && usages.contains("signing"))
    };
    let set = |bit: &usize| is_set(KEY_USAGES[*bit]);
    let length = (0..KEY_USAGES.len()).filter(set).max()? + 1;
    let mut bytes = vec![0_u8; length.div_ceil(8)];
    for bit in (0..length).filter(set) {
        bytes[bit / 8] |= 0x80 >> (bit % 8);
    }
    Some((bytes, length))
}

/// From when until when.
fn validity(
    longest: Duration,
    seconds: Option<i32>,
    authority: Timestamp,
    now: Timestamp,
) -> (Timestamp, Timestamp) {
    let asked = seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let life = asked.map_or(longest, |asked| asked.max(SHORTEST).min(longest));
    let begin = now.checked_sub(BACKDATE).unwrap_or(now);
    let from = if life < SHORT { now } else { begin };
    let life = SignedDuration::try_from(life).unwrap_or(SignedDuration::MAX);
    let end = from.checked_add(life).unwrap_or(authority);
    (begin, end.min(authority))
}

fn extension(
    list: &mut DERWriterSeq<'_>,
    kind: &[u64],
    critical: bool,
    value: impl FnOnce(DERWriter<'_>),
) {
    list.next().write_sequence(|parts| {
        parts.next().write_oid(&ObjectIdentifier::from_slice(kind));
        if critical {
            parts.next().write_bool(true);
        }
        parts.next().write_bytes(&construct_der(value));
    });
}

fn algorithm(writer: DERWriter<'_>) {
    writer.write_sequence(|parts| {
        parts.next().write_oid(&ObjectIdentifier::from_slice(ECDSA_WITH_SHA256));
    });
}

fn name(writer: DERWriter<'_>, name: &Name) {
    let text = |writer: DERWriter<'_>, tag: u64, text: &str| {
        writer.write_tagged_implicit(Tag::context(tag), |value| value.write_bytes(text.as_bytes()));
    };
    match name {
        Name::Email(address) => text(writer, 1, address),
        Name::Dns(host) => text(writer, 2, host),
        Name::Uri(uri) => text(writer, 6, uri),
        Name::Address(address) => {
            let bytes = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            writer.write_tagged_implicit(Tag::context(7), |value| value.write_bytes(&bytes));
        }
    }
}

fn time(writer: DERWriter<'_>, at: Timestamp) {
    let year = at.to_zoned(jiff::tz::TimeZone::UTC).year();
    let (tag, format) = if year <= LAST_OF_UTC_TIME {
        (yasna::tags::TAG_UTCTIME, "%y%m%d%H%M%SZ")
    } else {
        (yasna::tags::TAG_GENERALIZEDTIME, "%Y%m%d%H%M%SZ")
    };
    let text = at.strftime(format).to_string();
    writer.write_tagged_implicit(tag, |value| value.write_bytes(text.as_bytes()));
}

/// PEM with lines of 64 characters (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
    use x509_parser::certificate::X509Certificate;

    use super::super::request::tests::pem as request;
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_str(text).unwrap()
    }

    fn signing() -> Signing {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(2060, 1, 1);
        let key = KeyPair::generate().unwrap();
        Signing {
            certificate_pem: params.self_signed(&key).unwrap().pem(),
            key_pem: key.serialize_pem(),
            lifetime: Duration::from_secs(24 * 3600),
            approve_serving: true,
        }
    }

    #[test]
    fn a_certificate_says_what_was_asked_for_and_no_more() {
        let signing = signing();
        let authority = Authority::new(&signing).unwrap();
        let names = ["a", "192.0.2.7", "2001:db8::7"];
        let asked = request("system:node:a", "system:nodes", &names);
        let wanted = Request::read(asked.as_bytes()).unwrap();
        let usages = ["digital signature", "key encipherment", "server auth"].map(str::to_owned);
        let now = at("2026-01-01T12:00:00Z");
        let made = authority.sign(&wanted, &usages, None, now).unwrap();

        let issuer = Pem::iter_from_buffer(signing.certificate_pem.as_bytes());
        let issuer = issuer.last().unwrap().unwrap();
        let issuer = issuer.parse_x509().unwrap();
        let block = Pem::iter_from_buffer(made.as_bytes()).next().unwrap().unwrap();
        let certificate: X509Certificate<'_> = block.parse_x509().unwrap();
        certificate.verify_signature(Some(issuer.public_key())).unwrap();
        assert_eq!(certificate.issuer(), issuer.subject());
        assert_eq!(certificate.subject().to_string(), "CN=system:node:a, O=system:nodes");
        assert_eq!(certificate.public_key().raw, wanted.key);
        assert!(!certificate.is_ca());
        let time = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).unwrap().to_string()
        };
        assert_eq!(time(certificate.validity().not_before), "2026-01-01T11:55:00Z");
        assert_eq!(time(certificate.validity().not_after), "2026-01-02T11:55:00Z");
        let usage = certificate.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
        let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.server_auth && !purposes.client_auth && !purposes.any);
        let names = certificate.subject_alternative_name().unwrap().unwrap().value;
        assert_eq!(names.general_names.len(), 3);
        let again = authority.sign(&wanted, &usages, None, now).unwrap();
        assert_ne!(made, again, "every certificate has a serial of its own");

        let wrong = ["digital signature".to_owned(), "magic".to_owned()];
        let error = authority.sign(&wanted, &wrong, None, now).unwrap_err();
        assert_eq!(error.to_string(), "unrecognized usage values: [magic]");
        let late = authority.sign(&wanted, &usages, None, at("2060-01-02T00:00:00Z"));
        assert!(matches!(late, Err(SignError::Over(_))));
    }

    #[test]
    fn how_long() {
        let (day, year) = (Duration::from_secs(86_400), Duration::from_secs(31_536_000));
        let (now, authority) = (at("2026-01-01T12:00:00Z"), at("2026-06-01T00:00:00Z"));
        for (longest, asked, end) in [
            (day, None, "2026-01-02T11:55:00Z"),
            (day, Some(36_000), "2026-01-01T21:55:00Z"),
            (day, Some(3600), "2026-01-01T13:00:00Z"),
            (day, Some(1), "2026-01-01T12:10:00Z"),
            (day, Some(i32::MAX), "2026-01-02T11:55:00Z"),
            (Duration::from_secs(60), None, "2026-01-01T12:01:00Z"),
            (year, None, "2026-06-01T00:00:00Z"),
        ] {
            let (begin, got) = validity(longest, asked, authority, now);
            assert_eq!(got, at(end), "{longest:?} {asked:?}");
            assert_eq!(begin, at("2026-01-01T11:55:00Z"));
        }
    }

    #[test]
    fn bits_and_times() {
        let bits = |usages: &[&str]| key_usage(&usages.iter().copied().collect());
        assert_eq!(bits(&["client auth"]), None);
        assert_eq!(bits(&["signing"]), Some((vec![0x80], 1)));
        assert_eq!(bits(&["digital signature", "key encipherment"]), Some((vec![0xa0], 3)));
        assert_eq!(bits(&["decipher only"]), Some((vec![0, 0x80], 9)));
        let der = |text: &str| construct_der(|writer| time(writer, at(text)));
        assert_eq!(der("2049-12-31T23:59:59Z"), [b"\x17\x0d491231235959Z".as_slice()].concat());
        assert_eq!(der("2050-01-01T00:00:00Z"), [b"\x18\x0f20500101000000Z".as_slice()].concat());
    }

    #[test]
    fn only_a_usable_authority_signs() {
        let good = signing();
        let text = |change: &dyn Fn(&mut Signing)| {
            let mut signing = good.clone();
            change(&mut signing);
            Authority::new(&signing).err().unwrap_or_default()
        };
        assert_eq!(text(&|_| {}), "");
        let unread = "has a certificate that cannot be read";
        assert_eq!(text(&|signing| signing.certificate_pem = "x".to_owned()), unread);
        assert_eq!(text(&|signing| signing.key_pem = "x".to_owned()), "has a key that is no PEM");
        let own = good.certificate_pem.clone();
        let wrong = "has a key that is not ECDSA P-256 in PKCS#8";
        assert_eq!(text(&|signing| signing.key_pem = own.clone()), wrong);
        let short = "has a lifetime below a second";
        assert_eq!(text(&|signing| signing.lifetime = Duration::ZERO), short);
    }
}

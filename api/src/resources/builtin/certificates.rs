//! The rows of `certificates.k8s.io`.

use super::*;

const GROUP: &str = "certificates.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(
            GROUP,
            "CertificateSigningRequest",
            "certificatesigningrequests",
            "certificatesigningrequest",
            strategy::certificates::CertificateSigningRequest,
        )
        .cluster()
        .short("csr")
        .hash("95fRKMXA+00=")
        .schema("certificates.v1.CertificateSigningRequest")
        .printer(table::certificates::CERTIFICATE_SIGNING_REQUEST)
        .sub("approval", "CertificateSigningRequest", READ_WRITE)
        .sub("status", "CertificateSigningRequest", READ_WRITE)
        .fields(&[("spec.signerName", &["spec.signerName"])]),
    ]
}

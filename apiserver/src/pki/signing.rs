//! The key that signs ServiceAccount tokens.
//!
//! An ECDSA P-256 key in `<data>/pki/sa.key` (PKCS#8, mode 0600), made on first use and kept: who
//! holds a token must be believed after a restart. Its public half is what the API server shows
//! under `/openid/v1/jwks`, so that others can check tokens without asking
//! (<https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery>).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::PublicKeyData as _;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::{PkiError, write_private};

/// Bytes of a coordinate of a point of the curve.
const COORDINATE: usize = 32;

/// Signs and verifies by ES256 (RFC 7518, section 3.4).
pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    id: String,
}

/// Never prints the key.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Opens the key in `dir`, generating it on first use.
    pub(super) fn open(dir: &Path) -> Result<SigningKey, PkiError> {
        let path = dir.join("sa.key");
        let unusable = |source| PkiError::Authority { path: path.clone(), source };
        if !path.exists() {
            let made = rcgen::KeyPair::generate().map_err(unusable)?;
            write_private(&path, made.serialize_pem().as_bytes())?;
        }
        let pem = std::fs::read_to_string(&path)
            .map_err(|source| PkiError::Read { path: path.clone(), source })?;
        let subject = "the key that signs ServiceAccount tokens";
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|source| PkiError::Pem { subject, source })?;
        let public = rcgen::KeyPair::from_pem(&pem).map_err(unusable)?.subject_public_key_info();
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            der.secret_pkcs8_der(),
            &SystemRandom::new(),
        )
        .map_err(|_| unusable(rcgen::Error::CouldNotParseKeyPair))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &public);
        Ok(SigningKey { pair, id: URL_SAFE_NO_PAD.encode(digest.as_ref()) })
    }

    /// Names the key in tokens and in the key set: the SHA-256 of its public half.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The signature of `message`: two numbers of 32 bytes.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signed = self.pair.sign(&SystemRandom::new(), message);
        signed.expect("the kernel's random source never fails").as_ref().to_vec()
    }

    /// Whether this key has signed `message`.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let public =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        public.verify(message, signature).is_ok()
    }

    /// The public half as a JSON Web Key (RFC 7517).
    pub(crate) fn jwk(&self) -> Value {
        // An uncompressed point: a 4, then both coordinates.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(COORDINATE);
        json!({
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_and_knows_its_own_signatures() {
        let dir = tempfile::tempdir().unwrap();
        let first = SigningKey::open(dir.path()).unwrap();
        let again = SigningKey::open(dir.path()).unwrap();
        assert_eq!((first.id(), first.jwk()), (again.id(), again.jwk()));
        let signature = first.sign(b"message");
        assert!(again.has_signed(b"message", &signature));
        assert!(!again.has_signed(b"other", &signature));
        let other = tempfile::tempdir().unwrap();
        let stranger = SigningKey::open(other.path()).unwrap();
        assert!(!stranger.has_signed(b"message", &signature));
        assert_ne!(stranger.id(), first.id());
    }
}

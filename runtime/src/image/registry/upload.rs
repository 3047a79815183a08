//! Pushing: blobs in one piece, then the manifest that names them.

use bytes::Bytes;
use http::Method;
use http::header::LOCATION;

use super::http::{Ask, resolve};
use super::{RegistryError, Session, retry};
use crate::image::digest::Digest;

impl Session {
    /// Uploads a blob unless the registry has it.
    pub(crate) async fn upload(&self, digest: &Digest, bytes: Bytes) -> Result<(), RegistryError> {
        let what = format!("blob {digest}");
        if self.has_blob(digest, &what).await? {
            return Ok(());
        }
        retry::with(&what, || async {
            // Every try begins a new upload: how far the last one got is unknown.
            let start = self.request(Method::POST, "blobs/uploads/");
            let answer = self.send(start, &what).await?;
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| RegistryError::Protocol {
                host: self.reference().host().to_owned(),
                reason: "it gave no place to upload to".to_owned(),
            })?;
            let mut url = resolve(&self.url("blobs/uploads/"), location)?;
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("digest={digest}"));
            let put = Ask::new(Method::PUT, url)
                .header("content-type", "application/octet-stream")
                .body(bytes.clone());
            self.send(put, &what).await.map(drop)
        })
        .await
    }

    /// Uploads the manifest under the session's tag or digest.
    pub(crate) async fn put_manifest(
        &self,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), RegistryError> {
        let wanted = self.reference().wanted();
        let what = format!("manifest {}:{wanted}", self.reference().repository());
        retry::with(&what, || async {
            let put = self
                .request(Method::PUT, &format!("manifests/{wanted}"))
                .header("content-type", media_type)
                .body(bytes.clone());
            self.send(put, &what).await.map(drop)
        })
        .await
    }

    async fn has_blob(&self, digest: &Digest, what: &str) -> Result<bool, RegistryError> {
        let path = format!("blobs/{digest}");
        match retry::with(what, || self.send(self.request(Method::HEAD, &path), what)).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

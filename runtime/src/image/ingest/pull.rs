//! Pulling: a name becomes an image.

use std::sync::Arc;

use tokio::sync::watch;

use super::assemble::assemble;
use super::fetch::{Ingest, Source};
use super::progress::{Phase, Progress, Reporter};
use crate::image::error::ImageError;
use crate::image::manifest::platform::{NoPlatform, Preference, choose, wanted};
use crate::image::manifest::{self, Document, Manifest};
use crate::image::model::Image;
use crate::image::reference::Reference;
use crate::image::registry::{Credentials, Session};
use crate::image::store::records::Wanted;
use crate::image::store::{ImageStore, Inner, parse};

/// An index may point to an index, but not for ever.
const DEEPEST_INDEX: usize = 3;

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// Which platform to take from an image that has several.
    pub preference: Preference,
    /// Who asks; anonymous if `None`.
    pub credentials: Option<Credentials>,
    /// Gets every step of the pull, also when somebody else's running pull is joined.
    pub progress: Option<watch::Sender<Progress>>,
}

/// Pulls that are the same pull.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PullKey {
    reference: Reference,
    preference: Preference,
    credentials: Option<Credentials>,
}

impl ImageStore {
    /// Asks the registry what `reference` is now, and brings it here: unpacked, or compiled.
    ///
    /// What is here already is not fetched again. Several callers at once share one pull; it ends
    /// when the last of them drops its future. Registry troubles that may pass are tried again for
    /// a few seconds.
    ///
    /// # Errors
    ///
    /// See [`ImageError`]; nothing of a failed pull stays but whole blobs and layers, which the
    /// next sweep removes.
    pub async fn pull(&self, reference: &str, options: PullOptions) -> Result<Image, ImageError> {
        let reference = parse(reference)?;
        let PullOptions { preference, credentials, progress } = options;
        let key =
            PullKey { reference: reference.clone(), preference, credentials: credentials.clone() };
        let (mut pull, mut view) = self.inner.pulls.join(key, || {
            let (report, view) = Reporter::new();
            let store = self.inner.clone();
            let session = Session::pull(store.http.clone(), reference.clone(), credentials);
            (pull_once(store, session, preference, report), view)
        });
        let Some(listener) = progress else { return pull.await };
        loop {
            tokio::select! {
                biased;
                changed = view.changed() => match changed {
                    Ok(()) => { listener.send_replace(*view.borrow_and_update()); }
                    Err(_) => return pull.await,
                },
                image = &mut pull => {
                    listener.send_replace(*view.borrow());
                    return image;
                }
            }
        }
    }
}

async fn pull_once(
    store: Arc<Inner>,
    session: Session,
    preference: Preference,
    report: Reporter,
) -> Result<Image, ImageError> {
    let wanted = session.reference().clone();
    let reference = wanted.to_string();
    let ingest =
        Arc::new(Ingest { store, source: Source::Registry(Box::new(session)), reference, report });
    let _lock = ingest
        .blocking(|store, name| {
            let root = store.disk.root();
            store
                .disk
                .lock_shared()
                .map_err(|source| ImageError::storage("lock", name, root, source))
        })
        .await?;
    let (index, bytes, manifest) = resolve(&ingest, &wanted.wanted(), preference).await?;
    let record = assemble(&ingest, &bytes, &manifest, index.as_deref()).await?;
    let image = ingest
        .blocking(move |store, name| store.publish(name, record, &[Wanted::Reference(wanted)]))
        .await?;
    ingest.report.phase(Phase::Complete);
    tracing::info!(image = %ingest.reference, digest = %image.digest, "image pulled");
    drop(_lock);
    ingest.blocking(|store, name| store.sweep_if_pending(name)).await?;
    Ok(image)
}

/// The manifest to run, and the index it was chosen from.
async fn resolve(
    ingest: &Ingest,
    wanted_name: &str,
    preference: Preference,
) -> Result<(Option<Vec<u8>>, Vec<u8>, Manifest), ImageError> {
    let Source::Registry(session) = &ingest.source else {
        return Err(ImageError::NotFound { reference: ingest.reference.clone() });
    };
    let mut index = None;
    let mut name = wanted_name.to_owned();
    for _ in 0..DEEPEST_INDEX {
        let bytes =
            session.manifest(&name).await.map_err(|source| ingest.registry("pull", source))?;
        let document = manifest::parse(&bytes)
            .map_err(|reason| ImageError::malformed(&ingest.reference, "manifest", reason))?;
        match document {
            Document::Manifest(manifest) => return Ok((index, bytes, *manifest)),
            Document::Index(list) => {
                let entry = choose(&list, preference).map_err(|NoPlatform(found)| {
                    let reference = ingest.reference.clone();
                    ImageError::NoPlatform { reference, wanted: wanted(), found }
                })?;
                name = entry.digest.to_string();
                index.get_or_insert(bytes);
            }
        }
    }
    let reason = "its indexes point to indexes without end";
    Err(ImageError::malformed(&ingest.reference, "index", reason))
}

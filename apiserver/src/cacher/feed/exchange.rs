//! Caches that come and go while the feed is live: those of custom resources.

use super::*;
use tokio::sync::oneshot;

/// Commands that may wait: there is one sender, which waits for the answer.
const WAITING: usize = 4;

/// Replaces the caches under a prefix.
pub(super) struct Command {
    prefix: String,
    caches: Vec<Arc<Cacher>>,
    publish: Box<dyn FnOnce() + Send>,
    done: oneshot::Sender<()>,
}

/// Tells the feed which custom resources to feed.
#[derive(Clone)]
pub(crate) struct FeedHandle(mpsc::Sender<Command>);

impl FeedHandle {
    pub(super) fn new() -> (FeedHandle, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (FeedHandle(sender), receiver)
    }

    /// Feeds a cache per row from now on, all of them showing the objects of `resource`, instead of
    /// the caches that did so before. When the new ones are filled, `publish` makes them known, and
    /// then the watchers of the old ones are sent away: they find the new ones. False when the feed
    /// has ended or could not fill them, and the old ones go on.
    pub(crate) async fn exchange(
        &self,
        resource: &GroupResource,
        rows: Vec<Arc<Resource>>,
        publish: impl FnOnce(Vec<Arc<Cacher>>) + Send + 'static,
    ) -> bool {
        let caches: Vec<_> = rows.into_iter().map(|row| Arc::new(Cacher::new(row))).collect();
        let prefix = super::super::resource::key_prefix(resource);
        let (done, filled) = oneshot::channel();
        let known = caches.clone();
        let publish = Box::new(move || publish(known));
        let command = Command { prefix, caches, publish, done };
        self.0.send(command).await.is_ok() && filled.await.is_ok()
    }
}

impl Feed {
    /// Fills the new caches and drops the old ones, whose windows of events the new ones take over if
    /// the stored version is among them. The stream must be told of before anything
    /// else is read from it: an error means that it is over.
    pub(super) async fn exchange(
        &mut self,
        command: Command,
        stream: &mut Watch,
    ) -> Result<(), WatchError> {
        let Command { prefix, caches, publish, done } = command;
        let old = self.caches.get(&prefix).cloned().unwrap_or_default();
        if !caches.is_empty() {
            let filled = async {
                self.list(&prefix, &caches).await?;
                self.revision().await
            };
            let end = match filled.await {
                Ok(end) => end,
                Err(error) => {
                    // Dropping `done` says so to who asked, and who will ask again.
                    tracing::warn!(prefix, %error, "cannot fill the watch cache of a custom resource");
                    return Ok(());
                }
            };
            // What has happened while listing goes to old and new caches alike.
            self.caches.entry(prefix.clone()).or_default().extend(caches.iter().cloned());
            while *self.applied.borrow() < end {
                match stream.next().await {
                    Ok(batch) => {
                        if let Some(reached) = self.apply(&batch) {
                            self.announce(reached);
                        }
                    }
                    Err(error) => {
                        self.keep(&prefix, old);
                        return Err(error);
                    }
                }
            }
            let reached = *self.applied.borrow();
            let stored = old.iter().find(|cache| !cache.resource().is_view());
            for cache in &caches {
                match stored {
                    Some(old) => cache.live_after(old, reached),
                    None => cache.live_from(reached),
                }
            }
        }
        publish();
        for cache in &old {
            // Who has found it before can read it, but not wait for it.
            cache.reset();
        }
        self.keep(&prefix, caches);
        // Who asked may have gone away with the server.
        done.send(()).ok();
        Ok(())
    }

    fn keep(&mut self, prefix: &str, caches: Vec<Arc<Cacher>>) {
        if caches.is_empty() {
            self.caches.remove(prefix);
        } else {
            self.caches.insert(prefix.to_owned(), caches);
        }
    }
}

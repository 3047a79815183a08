//! What the controllers of workloads have in common: owning pods, and objects that stand for them.
//!
//! ```text
//! claim ────────── whose is it: by selector and owner reference; adopts and releases
//! owned ────────── the pods of an owner, by an index
//! watch ────────── which owner has to look because something it may own has changed
//! expectations ─── what was asked for and the watch has not shown yet
//! pods ─────────── creates and deletes pods, in batches, and tells it in events
//! template ─────── the pod of a template
//! availability ─── ready, and for how long
//! amount ───────── `3` or `25%` of something
//! hash ─────────── the short text that stands for a template in labels and names
//! history ──────── ControllerRevisions: the templates of StatefulSets and DaemonSets over time
//! ```

pub(crate) mod amount;
pub(crate) mod availability;
pub(crate) mod claim;
pub(crate) mod expectations;
pub(crate) mod hash;
pub(crate) mod history;
pub(crate) mod owned;
pub(crate) mod pods;
pub(crate) mod template;
pub(crate) mod watch;

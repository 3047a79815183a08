//! The end of a definition: its objects are deleted, then it goes.

use std::sync::Arc;
use std::time::Duration;

use api::custom::CLEANUP_FINALIZER;
use api::status::Status;
use serde_json::Value;

use super::controller;
use crate::cacher::{Cacher, Delivery, EventType, Filter, Object};
use crate::context::Context;
use crate::dispatch::Target;
use crate::handlers::{DeleteOptions, delete_object};
use crate::request::options::{Query, WriteOptions};
use crate::writing::{self, Part, Write};

/// How long an attempt that failed waits for the next one.
const AGAIN: Duration = Duration::from_secs(1);

/// Deletes the objects of a definition, waits until the last one is gone (their own finalizers may
/// take long), and lets the definition go. Ends without an effect when the task is cancelled.
pub(super) async fn run(context: Arc<Context>, definitions: Arc<Cacher>, name: String) {
    loop {
        let emptied = empty(&context, &name).await;
        let done = match emptied {
            Ok(true) => finish(&context, &definitions, &name).await.map(|()| true),
            other => other,
        };
        match done {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(definition = name, %error, "cannot delete all objects of a definition yet")
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether all objects are gone; false when the watch on them broke off.
async fn empty(context: &Context, name: &str) -> Result<bool, Status> {
    // All versions show the same objects. A definition that was never served has none.
    let Some(cache) = context.custom.caches(name).into_iter().next() else { return Ok(true) };
    context.freshness.consistent().await?;
    let mut watch = cache.watch_from_now("", &Filter::default(), false, true);
    for object in &watch.initial {
        delete(context, &cache, object).await?;
    }
    loop {
        context.freshness.consistent().await?;

        if cache.now().objects.len() == 0 {
            return Ok(true);
        }
        match watch.queue.recv().await {
            // Made by a request that came before the deletion.
            Some(Delivery::Event(EventType::Added, object)) => {
                delete(context, &cache, &object).await?;
            }
            Some(_) => {}
            None => return Ok(false),
        }
    }
}

async fn delete(context: &Context, cache: &Arc<Cacher>, object: &Object) -> Result<(), Status> {
    let target = Target {
        resource: cache.resource().clone(),
        cache: cache.clone(),
        namespace: object.namespace().to_owned(),
        name: object.name().to_owned(),
        query: Query::parse(""),
    };
    match delete_object(context, &target, &DeleteOptions::default()).await {
        Err(status) if status.code != 404 => Err(status),
        _ => Ok(()),
    }
}

/// Takes the finalizer away.
async fn finish(context: &Context, definitions: &Arc<Cacher>, name: &str) -> Result<(), Status> {
    let target = controller::definition(definitions, name);
    let options = WriteOptions::internal("kube-apiserver");
    let write = Write::new(Part::Main, &options);
    let written = writing::change(context, &target, write, |current| {
        let mut new = current.clone();
        if let Some(list) = new["metadata"]["finalizers"].as_array_mut() {
            list.retain(|finalizer: &Value| finalizer != CLEANUP_FINALIZER);
        }
        Ok(new)
    });
    match written.await {
        Err(status) if status.code != 404 => Err(status),
        _ => Ok(()),
    }
}

//! `wctl pull`, `push`, `images`, `image …`: this host's image store, directly on disk.
//!
//! The store may be used by several processes, so none of this needs a running cluster.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use api::table::human_duration;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use runtime::ImageStore;
use runtime::image::{Image, ImageKind, Phase, Progress, PullOptions, PushOptions};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cli::{Format, Global, Image as Command, Images, Pull, Push};
use crate::cluster;
use crate::output::table::Grid;
use crate::output::{self, line, on_terminal};

/// Runs `wctl image …`.
pub(crate) async fn run(global: &Global, command: &Command) -> Result<()> {
    match command {
        Command::Load { path, name } => {
            for image in load(global, path, name.as_deref()).await? {
                let name = image.names.first().map_or(image.digest.to_string(), Clone::clone);
                line(format!("loaded {name} ({}, {})", image.platform, HumanBytes(image.size)))?;
            }
            Ok(())
        }
        Command::Ls(arguments) => list(global, arguments).await,
        Command::Rm { references } => {
            let store = open(global).await?;
            for reference in references {
                let removed = store.remove(reference, in_use(global)).await?;
                for name in &removed.untagged {
                    line(format!("removed {name}"))?;
                }
                if let Some(digest) = &removed.deleted {
                    line(format!("deleted {digest}, freed {}", HumanBytes(removed.freed)))?;
                }
            }
            Ok(())
        }
        Command::Prune { all } => {
            let pruned = open(global).await?.prune(*all, in_use(global)).await?;
            for digest in &pruned.deleted {
                line(format!("deleted {digest}"))?;
            }
            line(format!("freed {}", HumanBytes(pruned.freed)))
        }
    }
}

/// Runs `wctl pull`.
pub(crate) async fn pull(global: &Global, arguments: &Pull) -> Result<()> {
    let store = open(global).await?;
    let (sender, receiver) = watch::channel(Progress::default());
    let options = PullOptions { progress: Some(sender), ..PullOptions::default() };
    let pulling = store.pull(&arguments.reference, options);
    let image = if on_terminal() {
        tokio::select! {
            image = pulling => image?,
            // The bar only ends when the pull drops its sender.
            never = show(receiver) => match never {},
        }
    } else {
        drop(receiver);
        pulling.await?
    };
    line(format!("{}@{}", image.names.first().map_or("", String::as_str), image.digest))
}

/// Runs `wctl push`.
pub(crate) async fn push(global: &Global, arguments: &Push) -> Result<()> {
    let store = open(global).await?;
    let options = PushOptions::default();
    let digest = store.push_wasm(&arguments.file, &arguments.reference, options).await?;
    line(format!("pushed {}@{digest}", arguments.reference))
}

/// Runs `wctl images`.
pub(crate) async fn list(global: &Global, arguments: &Images) -> Result<()> {
    let images = open(global).await?.list();
    if let Some(format @ (Format::Json | Format::Yaml)) = arguments.output {
        let images: Vec<Value> = images.iter().map(describe).collect();
        return output::print_object(format, &json!(images));
    }
    let now = Timestamp::now();
    let mut grid = Grid::new(&["IMAGE", "KIND", "DIGEST", "SIZE", "ADDED"]);
    for image in &images {
        let names =
            if image.names.is_empty() { vec!["<none>".to_owned()] } else { image.names.clone() };
        for name in names {
            let digest: String = image.digest.hex().chars().take(12).collect();
            let age = human_duration((now.as_second() - image.added.as_second()).max(0));
            grid.row(vec![
                name,
                kind(image).to_owned(),
                digest,
                HumanBytes(image.size).to_string(),
                format!("{age} ago"),
            ]);
        }
    }
    line(grid.render(true).trim_end())
}

/// Loads from a file or folder.
pub(crate) async fn load(global: &Global, path: &Path, name: Option<&str>) -> Result<Vec<Image>> {
    Ok(open(global).await?.load(path, name).await?)
}

async fn open(global: &Global) -> Result<ImageStore> {
    let root = cluster::data_dir(global).join("runtime/images");
    let store = ImageStore::open(root.clone()).await;
    store.with_context(|| format!("open the image store {}", root.display()))
}

/// Tells the images that containers of this host run from: they are never deleted.
fn in_use(global: &Global) -> impl Fn() -> Vec<String> + Send + 'static {
    let root = cluster::data_dir(global).join("runtime");
    move || runtime::sandbox::images_in_use(&root)
}

fn kind(image: &Image) -> &'static str {
    match image.kind {
        ImageKind::Native { .. } => "native",
        ImageKind::Wasm { .. } => "wasm",
    }
}

fn describe(image: &Image) -> Value {
    json!({
        "names": image.names,
        "digest": image.digest.to_string(),
        "kind": kind(image),
        "platform": image.platform,
        "size": image.size,
        "added": image.added.to_string(),
    })
}

/// Draws a bar for ever; the caller drops it when the pull is done.
async fn show(mut progress: watch::Receiver<Progress>) -> std::convert::Infallible {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg:12} {bar:30} {bytes}/{total_bytes}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        bar.set_length(now.total);
        bar.set_position(now.done);
        bar.set_message(match now.phase {
            Phase::Resolving => "resolving",
            Phase::Downloading => "downloading",
            Phase::Compiling => "compiling",
            Phase::Complete => "complete",
        });
    }
    std::future::pending().await
}

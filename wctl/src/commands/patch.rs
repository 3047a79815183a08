//! `wctl patch`.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cli::{Global, Patch, PatchType};
use crate::cluster::Cluster;
use crate::output::line;
use crate::request;
use crate::resource::Resources;

impl PatchType {
    fn media(self) -> &'static str {
        match self {
            PatchType::Strategic => "application/strategic-merge-patch+json",
            PatchType::Merge => "application/merge-patch+json",
            PatchType::Json => "application/json-patch+json",
        }
    }
}

/// Patches every target.
pub(crate) async fn run(global: &Global, arguments: &Patch) -> Result<()> {
    let patch = read(&arguments.patch)?;
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    for target in resources.targets(&arguments.target)? {
        let example = "name what to patch, like `wctl patch service/web -p '{\"spec\":{…}}'`";
        let name = target.name.context(example)?;
        let path = target.resource.object(&cluster.namespace, &name);
        let done = request::patch(&cluster.client, &path, arguments.patch_type.media(), &patch);
        done.await?;
        line(format!("{} patched", target.resource.display(&name)))?;
    }
    Ok(())
}

/// The patch: YAML, and so JSON.
fn read(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).with_context(|| {
        format!("the patch is neither JSON nor YAML: {text}\nquote it for the shell, like -p '{{\"spec\":{{…}}}}'")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_are_json_or_yaml() {
        for (text, want) in [
            (r#"{"spec":{"a":1}}"#, Some(json!({"spec": {"a": 1}}))),
            ("spec: {a: 1}", Some(json!({"spec": {"a": 1}}))),
            (r#"[{"op":"remove","path":"/a"}]"#, Some(json!([{"op": "remove", "path": "/a"}]))),
            ("{a: ", None),
        ] {
            assert_eq!(read(text).ok(), want, "{text}");
        }
    }
}

//! Spin applications: which of their components is the program, if it is one Wharf can run.
//!
//! The config of such an artifact is Spin's locked application. Wharf runs it when it is one HTTP
//! component that brings no files; what else it needs of Spin shows in the module's imports.
//! Source: Spin's SIP 008 (OCI distribution) and the `spin-locked-app` schema.

use serde::Deserialize;

use super::Descriptor;
use crate::image::digest::Digest;

#[derive(Deserialize)]
struct Locked {
    #[serde(default)]
    triggers: Vec<Trigger>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Trigger {
    #[serde(default)]
    trigger_type: String,
}

#[derive(Deserialize)]
struct Component {
    id: String,
    source: Source,
    #[serde(default)]
    files: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    dependencies: std::collections::BTreeMap<String, serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    digest: Option<Digest>,
}

/// The layer that holds the one component, or why there is none to run.
pub(crate) fn program<'a>(
    config: &[u8],
    layers: &'a [Descriptor],
) -> Result<&'a Descriptor, String> {
    let locked: Locked = serde_json::from_slice(config)
        .map_err(|error| format!("its application description cannot be read: {error}"))?;
    let [component] = locked.components.as_slice() else {
        return Err(format!("it has {} components; Wharf runs one", locked.components.len()));
    };
    if let Some(other) = locked.triggers.iter().find(|trigger| trigger.trigger_type != "http") {
        return Err(format!("its trigger is {:?}; Wharf runs HTTP triggers", other.trigger_type));
    }
    if !component.files.is_empty() {
        return Err(format!(
            "component {:?} brings files; mount them as a volume and ship the module alone",
            component.id
        ));
    }
    if !component.dependencies.is_empty() {
        return Err(format!("component {:?} has dependencies to be composed", component.id));
    }
    match &component.source.digest {
        Some(digest) => layers
            .iter()
            .find(|layer| layer.digest == *digest)
            .ok_or_else(|| format!("component {:?} has no layer", component.id)),
        None => match layers.iter().filter(|layer| layer.is_module()).collect::<Vec<_>>()[..] {
            [only] => Ok(only),
            _ => Err(format!("component {:?} does not say which layer it is", component.id)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str) -> Descriptor {
        serde_json::from_value(serde_json::json!({
            "mediaType": "application/vnd.wasm.content.layer.v1+wasm",
            "digest": Digest::of(name.as_bytes()).to_string(), "size": 1}))
        .unwrap()
    }

    fn app(trigger: &str, components: &[&str], files: serde_json::Value) -> Vec<u8> {
        let components: Vec<_> = components
            .iter()
            .map(|id| {
                serde_json::json!({"id": id, "files": files, "source": {
                "content_type": "application/wasm", "digest": Digest::of(id.as_bytes()).to_string()}})
            })
            .collect();
        serde_json::json!({"spin_lock_version": 1, "components": components,
            "triggers": [{"id": "t", "trigger_type": trigger, "trigger_config": {}}]})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn one_http_component_is_a_program() {
        let none = serde_json::json!([]);
        let layers = [layer("asset"), layer("web")];
        let found = program(&app("http", &["web"], none.clone()), &layers);
        assert_eq!(found, Ok(&layers[1]));
        for (config, says) in [
            (app("http", &["web", "asset"], none.clone()), "2 components"),
            (app("redis", &["web"], none.clone()), "redis"),
            (app("http", &["web"], serde_json::json!([{"path": "/x"}])), "files"),
            (app("http", &["elsewhere"], none), "no layer"),
            (b"{}".to_vec(), "0 components"),
            (b"[".to_vec(), "cannot be read"),
        ] {
            let error = program(&config, &layers).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}

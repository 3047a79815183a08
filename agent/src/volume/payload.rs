//! What is in a volume that comes from the API: configMap, secret, downwardAPI and projected.
//!
//! Source: `pkg/volume/{configmap,secret,downwardapi,projected}` (MakePayload, CollectData).

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, ServiceAccountTokenProjection, Volume,
};

use crate::tokens;
use crate::translate::env::References;
use crate::translate::field::{self, FieldError, Placement};
use crate::translate::security;

/// Mode of files whose volume says nothing.
const DEFAULT_MODE: i32 = 0o644;

/// Why the contents cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("configmap {name:?} not found")]
    NoConfigMap { name: String },
    #[error("secret {name:?} not found")]
    NoSecret { name: String },
    #[error("configmap references non-existent config key: {key}")]
    NoConfigMapKey { key: String },
    #[error("references non-existent secret key: {key}")]
    NoSecretKey { key: String },
    #[error("{path:?} is not a path inside the volume")]
    Path { path: String },
    #[error(transparent)]
    Field(FieldError),
    #[error("no token has been fetched for {path:?}")]
    NoToken { path: String },
    #[error("projected source {source_kind} is not supported by this node")]
    Source { source_kind: &'static str },
}

/// One file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
}

/// Files by their path inside the volume.
pub(crate) type Payload = BTreeMap<String, File>;

/// Whether the volume's contents come from the API.
pub(crate) fn is_payload(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

/// Whether there is a Secret or a token in it.
pub(crate) fn is_secret(volume: &Volume) -> bool {
    let mut sources =
        volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    volume.secret.is_some()
        || sources.any(|source| source.secret.is_some() || source.service_account_token.is_some())
}

/// Names of the ConfigMaps and Secrets that the pod's volumes are made of.
pub(crate) fn names(pod: &Pod) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut maps, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        maps.extend(volume.config_map.as_ref().map(|source| source.name.clone()));
        secrets.extend(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
        for source in
            volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten())
        {
            maps.extend(source.config_map.as_ref().map(|source| source.name.clone()));
            secrets.extend(source.secret.as_ref().map(|source| source.name.clone()));
        }
    }
    (maps, secrets)
}

/// The contents of a volume.
pub(crate) fn of_volume(
    pod: &Pod,
    volume: &Volume,
    references: &References,
    placement: &Placement,
) -> Result<Payload, PayloadError> {
    let mut files = Payload::new();
    let mut add = Collector { pod, references, placement, files: &mut files };
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        add.config_map(&source.name, source.items.as_deref(), source.optional == Some(true), mode)?;
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        add.secret(
            name,
            source.items.as_deref(),
            source.optional == Some(true),
            source.default_mode.unwrap_or(DEFAULT_MODE),
        )?;
    }
    if let Some(source) = &volume.downward_api {
        add.downward(source.items.as_deref(), source.default_mode.unwrap_or(DEFAULT_MODE))?;
    }
    if let Some(projected) = &volume.projected {
        let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        for source in projected.sources.iter().flatten() {
            if let Some(from) = &source.config_map {
                add.config_map(
                    &from.name,
                    from.items.as_deref(),
                    from.optional == Some(true),
                    mode,
                )?;
            } else if let Some(from) = &source.secret {
                add.secret(&from.name, from.items.as_deref(), from.optional == Some(true), mode)?;
            } else if let Some(from) = &source.downward_api {
                add.downward(from.items.as_deref(), mode)?;
            } else if let Some(from) = &source.service_account_token {
                add.token(from, mode)?;
            } else {
                return Err(PayloadError::Source { source_kind: "of this kind" });
            }
        }
    }
    Ok(files)
}

struct Collector<'a> {
    pod: &'a Pod,
    references: &'a References,
    placement: &'a Placement,
    files: &'a mut Payload,
}

impl Collector<'_> {
    fn config_map(
        &mut self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
        mode: i32,
    ) -> Result<(), PayloadError> {
        let Some(map) = self.references.config_maps.get(name) else {
            return if optional {
                Ok(())
            } else {
                Err(PayloadError::NoConfigMap { name: name.to_owned() })
            };
        };
        let mut data: BTreeMap<&str, &[u8]> = BTreeMap::new();
        data.extend(map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes())));
        data.extend(
            map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())),
        );
        self.keys(&data, items, optional, mode, |key| PayloadError::NoConfigMapKey { key })
    }

    fn secret(
        &mut self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
        mode: i32,
    ) -> Result<(), PayloadError> {
        let Some(secret) = self.references.secrets.get(name) else {
            return if optional {
                Ok(())
            } else {
                Err(PayloadError::NoSecret { name: name.to_owned() })
            };
        };
        let data = secret
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.0.as_slice()))
            .collect();
        self.keys(&data, items, optional, mode, |key| PayloadError::NoSecretKey { key })
    }

    fn keys(
        &mut self,
        data: &BTreeMap<&str, &[u8]>,
        items: Option<&[KeyToPath]>,
        optional: bool,
        mode: i32,
        missing: impl Fn(String) -> PayloadError,
    ) -> Result<(), PayloadError> {
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            for (key, bytes) in data {
                self.put(key, bytes.to_vec(), mode)?;
            }
            return Ok(());
        };
        for item in items {
            match data.get(item.key.as_str()) {
                Some(bytes) => self.put(&item.path, bytes.to_vec(), item.mode.unwrap_or(mode))?,
                None if optional => {}
                None => return Err(missing(item.key.clone())),
            }
        }
        Ok(())
    }

    fn downward(
        &mut self,
        items: Option<&[DownwardAPIVolumeFile]>,
        mode: i32,
    ) -> Result<(), PayloadError> {
        for item in items.unwrap_or_default() {
            let text = if let Some(selector) = &item.field_ref {
                field::field(self.pod, self.placement, &selector.field_path)
            } else if let Some(selector) = &item.resource_field_ref {
                field::resource(self.pod, self.placement, None, selector)
            } else {
                continue;
            };
            self.put(
                &item.path,
                text.map_err(PayloadError::Field)?.into_bytes(),
                item.mode.unwrap_or(mode),
            )?;
        }
        Ok(())
    }

    /// A token is readable as the volume says; where the pod has a group, by owner and group alone.
    fn token(
        &mut self,
        from: &ServiceAccountTokenProjection,
        mode: i32,
    ) -> Result<(), PayloadError> {
        let token = self.references.tokens.get(&tokens::purpose(from));
        let token = token.ok_or_else(|| PayloadError::NoToken { path: from.path.clone() })?;
        let grouped = security::fs_group(self.pod).is_some();
        self.put(&from.path, token.clone().into_bytes(), if grouped { 0o600 } else { mode })
    }

    /// The API validated these paths; that they stay inside is too important to take on trust.
    fn put(&mut self, path: &str, bytes: Vec<u8>, mode: i32) -> Result<(), PayloadError> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let inside = !parts.is_empty()
            && !path.starts_with('/')
            && !parts.iter().any(|part| *part == "." || *part == "..");
        if !inside || parts[0].starts_with("..") {
            return Err(PayloadError::Path { path: path.to_owned() });
        }
        let mode = u32::try_from(mode).unwrap_or(0o644) & 0o777;
        self.files.insert(parts.join("/"), File { bytes, mode });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn files(volume: Value) -> Result<Vec<String>, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"app": "x"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "2Mi"}}}]}
        }))
        .unwrap();
        let mut volume = volume;
        volume["name"] = json!("v");
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let references = References {
            config_maps: [(
                "cm".to_owned(),
                Arc::new(
                    serde_json::from_value(
                        json!({"data": {"a": "1", "b": "2"}, "binaryData": {"bin": "/w=="}}),
                    )
                    .unwrap(),
                ),
            )]
            .into(),
            tokens: [(("vault".to_owned(), 600), "header.claims.signature".to_owned())].into(),
            secrets: [(
                "sec".to_owned(),
                Arc::new(serde_json::from_value(json!({"data": {"k": "eA=="}})).unwrap()),
            )]
            .into(),
            ..References::default()
        };
        let placement = Placement {
            pod_ip: "10.0.0.2".parse().unwrap(),
            host_ip: "192.0.2.1".parse().unwrap(),
            node_cpu_millis: 1000,
            node_memory: 1,
        };
        of_volume(&pod, &volume, &references, &placement)
            .map(|files| {
                files
                    .iter()
                    .map(|(path, file)| {
                        format!("{path} {:o} {}", file.mode, String::from_utf8_lossy(&file.bytes))
                    })
                    .collect()
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn contents() {
        let cases = [
            (json!({"configMap": {"name": "cm"}}), vec!["a 644 1", "b 644 2", "bin 644 \u{fffd}"]),
            (
                json!({"configMap": {"name": "cm", "defaultMode": 256, "items": [{"key": "a", "path": "x/y"}]}}),
                vec!["x/y 400 1"],
            ),
            (json!({"configMap": {"name": "no", "optional": true}}), vec![]),
            (
                json!({"secret": {"secretName": "sec", "items": [{"key": "k", "path": "p", "mode": 384}]}}),
                vec!["p 600 x"],
            ),
            (
                json!({"downwardAPI": {"items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                    {"path": "mem", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Mi"}}]}}),
                vec!["labels 644 app=\"x\"", "mem 644 2"],
            ),
            (
                json!({"projected": {"sources": [{"configMap": {"name": "cm", "items": [{"key": "a", "path": "a"}]}},
                    {"secret": {"name": "sec"}}, {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}),
                vec!["a 644 1", "k 644 x", "n 644 p"],
            ),
            (
                json!({"projected": {"sources": [{"serviceAccountToken":
                    {"path": "t", "audience": "vault", "expirationSeconds": 600}}]}}),
                vec!["t 644 header.claims.signature"],
            ),
        ];
        for (volume, expected) in cases {
            assert_eq!(files(volume.clone()).unwrap(), expected, "{volume}");
        }
    }

    #[test]
    fn what_is_missing() {
        for (volume, expected) in [
            (json!({"configMap": {"name": "no"}}), r#"configmap "no" not found"#),
            (json!({"secret": {"secretName": "no"}}), r#"secret "no" not found"#),
            (
                json!({"configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}}),
                "configmap references non-existent config key: z",
            ),
            (
                json!({"secret": {"secretName": "sec", "items": [{"key": "z", "path": "z"}]}}),
                "references non-existent secret key: z",
            ),
            (
                json!({"configMap": {"name": "cm", "items": [{"key": "a", "path": "../a"}]}}),
                r#""../a" is not a path inside the volume"#,
            ),
            (
                json!({"configMap": {"name": "cm", "items": [{"key": "a", "path": "/a"}]}}),
                r#""/a" is not a path inside the volume"#,
            ),
            (
                json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
                r#"no token has been fetched for "t""#,
            ),
        ] {
            assert_eq!(files(volume.clone()).unwrap_err(), expected, "{volume}");
        }
    }
}

//! The environment of a container: `envFrom`, `env`, service links, `$(VAR)` expansion.
//!
//! Source: `kubelet_pods.go` (makeEnvironmentVariables), whose order and messages these are.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};

use super::expand::expand;
use super::field::{self, FieldError, Placement};

/// Why an environment cannot be built: the container waits in `CreateContainerConfigError`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvError {
    #[error("configmap {name:?} not found")]
    NoConfigMap { name: String },
    #[error("secret {name:?} not found")]
    NoSecret { name: String },
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    NoConfigMapKey { namespace: String, name: String, key: String },
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    NoSecretKey { namespace: String, name: String, key: String },
    #[error("environment variable {variable} of secret {name} is not valid UTF-8")]
    NotText { variable: String, name: String },
    #[error(transparent)]
    Field(FieldError),
    #[error("fileKeyRef of environment variable {variable} is not supported by this node")]
    FileKey { variable: String },
}

/// What the pod refers to: ConfigMaps and Secrets of its namespace, as far as they exist, and tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct References {
    pub(crate) config_maps: BTreeMap<String, std::sync::Arc<ConfigMap>>,
    pub(crate) secrets: BTreeMap<String, std::sync::Arc<Secret>>,
    /// Tokens of the pod's account, for its volumes.
    pub(crate) tokens: crate::tokens::Issued,
    /// What is behind the volumes that are claims, by the volume's name.
    pub(crate) claims: BTreeMap<String, crate::volume::claim::Backing>,
}

/// Names of ConfigMaps and Secrets that a container's environment refers to.
pub(crate) fn names(container: &Container) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut maps, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for from in container.env_from.iter().flatten() {
        maps.extend(from.config_map_ref.as_ref().map(|reference| reference.name.clone()));
        secrets.extend(from.secret_ref.as_ref().map(|reference| reference.name.clone()));
    }
    for from in container.env.iter().flatten().filter_map(|var| var.value_from.as_ref()) {
        maps.extend(from.config_map_key_ref.as_ref().map(|reference| reference.name.clone()));
        secrets.extend(from.secret_key_ref.as_ref().map(|reference| reference.name.clone()));
    }
    (maps, secrets)
}

/// Builds the environment, in the order the kubelet lists it: own variables, then service links.
pub(crate) fn environment(
    pod: &Pod,
    container: &Container,
    placement: &Placement,
    references: &References,
    service_links: &[(String, String)],
) -> Result<Vec<(String, String)>, EnvError> {
    let mut env = Environment { order: Vec::new(), values: BTreeMap::new() };
    from_objects(container, references, &mut env)?;
    let links: BTreeMap<&str, &str> =
        service_links.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for var in container.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (Some(value), _) if !value.is_empty() => Some(expand(value, |name| {
                env.values.get(name).map(String::as_str).or_else(|| links.get(name).copied())
            })),
            (_, Some(from)) => value_from(&var.name, from, pod, container, placement, references)?,
            _ => Some(String::new()),
        };
        if let Some(value) = value {
            env.set(&var.name, value);
        }
    }
    for (name, value) in service_links {
        if !env.values.contains_key(name) {
            env.set(name, value.clone());
        }
    }
    Ok(env.into_list())
}

struct Environment {
    order: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Environment {
    fn set(&mut self, name: &str, value: String) {
        if self.values.insert(name.to_owned(), value).is_none() {
            self.order.push(name.to_owned());
        }
    }

    fn into_list(mut self) -> Vec<(String, String)> {
        let values = &mut self.values;
        self.order
            .into_iter()
            .filter_map(|name| values.remove(&name).map(|value| (name, value)))
            .collect()
    }
}

fn from_objects(
    container: &Container,
    references: &References,
    env: &mut Environment,
) -> Result<(), EnvError> {
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            match references.config_maps.get(&reference.name) {
                Some(map) => {
                    for (key, value) in map.data.iter().flatten() {
                        put(env, prefix, key, value.clone());
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(EnvError::NoConfigMap { name: reference.name.clone() }),
            }
        }
        if let Some(reference) = &from.secret_ref {
            match references.secrets.get(&reference.name) {
                Some(secret) => {
                    for (key, value) in secret.data.iter().flatten() {
                        put(env, prefix, key, text(key, &reference.name, &value.0)?);
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(EnvError::NoSecret { name: reference.name.clone() }),
            }
        }
    }
    Ok(())
}

/// A key that cannot be a variable's name is left out, as the kubelet leaves it out.
fn put(env: &mut Environment, prefix: &str, key: &str, value: String) {
    let name = format!("{prefix}{key}");
    if !name.is_empty() && !name.contains(['=', '\0']) {
        env.set(&name, value);
    }
}

fn text(variable: &str, secret: &str, bytes: &[u8]) -> Result<String, EnvError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| EnvError::NotText { variable: variable.into(), name: secret.into() })
}

/// `None`: an optional source is missing, so the variable does not exist.
fn value_from(
    variable: &str,
    from: &EnvVarSource,
    pod: &Pod,
    container: &Container,
    placement: &Placement,
    references: &References,
) -> Result<Option<String>, EnvError> {
    let namespace = || pod.metadata.namespace.clone().unwrap_or_default();
    if let Some(selector) = &from.field_ref {
        return field::field(pod, placement, &selector.field_path)
            .map(Some)
            .map_err(EnvError::Field);
    }
    if let Some(selector) = &from.resource_field_ref {
        return field::resource(pod, placement, Some(container), selector)
            .map(Some)
            .map_err(EnvError::Field);
    }
    if let Some(selector) = &from.config_map_key_ref {
        let optional = selector.optional == Some(true);
        let Some(map) = references.config_maps.get(&selector.name) else {
            return if optional {
                Ok(None)
            } else {
                Err(EnvError::NoConfigMap { name: selector.name.clone() })
            };
        };
        return match map.data.as_ref().and_then(|data| data.get(&selector.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(EnvError::NoConfigMapKey {
                namespace: namespace(),
                name: selector.name.clone(),
                key: selector.key.clone(),
            }),
        };
    }
    if let Some(selector) = &from.secret_key_ref {
        let optional = selector.optional == Some(true);
        let Some(secret) = references.secrets.get(&selector.name) else {
            return if optional {
                Ok(None)
            } else {
                Err(EnvError::NoSecret { name: selector.name.clone() })
            };
        };
        return match secret.data.as_ref().and_then(|data| data.get(&selector.key)) {
            Some(value) => text(variable, &selector.name, &value.0).map(Some),
            None if optional => Ok(None),
            None => Err(EnvError::NoSecretKey {
                namespace: namespace(),
                name: selector.name.clone(),
                key: selector.key.clone(),
            }),
        };
    }
    if from.file_key_ref.is_some() {
        return Err(EnvError::FileKey { variable: variable.to_owned() });
    }
    Ok(Some(String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn build(env: Value, env_from: Value) -> Result<Vec<String>, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": [{"name": "c", "env": env, "envFrom": env_from}]}
        }))
        .unwrap();
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        let map: ConfigMap = serde_json::from_value(
            json!({"metadata": {"name": "cm"}, "data": {"color": "blue", "A": "map"}}),
        )
        .unwrap();
        let secret: Secret = serde_json::from_value(json!({"metadata": {"name": "sec"}, "data": {"password": "aHVudGVyMg==", "raw": "/w=="}})).unwrap();
        let references = References {
            config_maps: [("cm".to_owned(), Arc::new(map))].into(),
            secrets: [("sec".to_owned(), Arc::new(secret))].into(),
            ..References::default()
        };
        let placement = Placement {
            pod_ip: "10.0.0.2".parse().unwrap(),
            host_ip: "192.0.2.1".parse().unwrap(),
            node_cpu_millis: 1000,
            node_memory: 1,
        };
        let links = [("DB_SERVICE_HOST".to_owned(), "10.96.0.9".to_owned())];
        environment(&pod, &container, &placement, &references, &links)
            .map(|env| env.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn values_and_expansion() {
        let env = json!([
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(DB_SERVICE_HOST)-$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "EMPTY"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "color"}}},
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "password"}}},
            {"name": "URL", "value": "db://$(PW)@$(IP)"},
            {"name": "OPT", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k", "optional": true}}}
        ]);
        let expected = [
            "A=1",
            "B=1-10.96.0.9-$(LATER)",
            "LATER=x",
            "EMPTY=",
            "IP=10.0.0.2",
            "COLOR=blue",
            "PW=hunter2",
            "URL=db://hunter2@10.0.0.2",
            "DB_SERVICE_HOST=10.96.0.9",
        ];
        assert_eq!(build(env, json!([])).unwrap(), expected);
    }

    #[test]
    fn env_from_is_overridden_by_env() {
        let got = build(
            json!([{"name": "A", "value": "own $(pre-color)"}]),
            json!([{"configMapRef": {"name": "cm"}}, {"prefix": "pre-", "configMapRef": {"name": "cm"}}, {"configMapRef": {"name": "x", "optional": true}}]),
        );
        assert_eq!(
            got.unwrap(),
            [
                "A=own blue",
                "color=blue",
                "pre-A=map",
                "pre-color=blue",
                "DB_SERVICE_HOST=10.96.0.9"
            ]
        );
    }

    #[test]
    fn messages_of_what_is_missing() {
        let one =
            |from: Value| build(json!([{"name": "X", "valueFrom": from}]), json!([])).unwrap_err();
        assert_eq!(
            one(json!({"configMapKeyRef": {"name": "no", "key": "k"}})),
            r#"configmap "no" not found"#
        );
        assert_eq!(
            one(json!({"configMapKeyRef": {"name": "cm", "key": "k"}})),
            "couldn't find key k in ConfigMap n/cm"
        );
        assert_eq!(
            one(json!({"secretKeyRef": {"name": "no", "key": "k"}})),
            r#"secret "no" not found"#
        );
        assert_eq!(
            one(json!({"secretKeyRef": {"name": "sec", "key": "k"}})),
            "couldn't find key k in Secret n/sec"
        );
        assert!(
            one(json!({"secretKeyRef": {"name": "sec", "key": "raw"}})).contains("not valid UTF-8")
        );
        assert_eq!(
            build(json!([]), json!([{"secretRef": {"name": "no"}}])).unwrap_err(),
            r#"secret "no" not found"#
        );
    }
}

//! A container's configuration: everything the runtime is told of it, gathered and translated.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use runtime::image::{Image, ImageKind};
use runtime::spec::{ContainerSpec, Mount, Stdio};

use super::termination;
use crate::context::Context;
use crate::pod::containers;
use crate::pod::observe::{IMAGE_LABEL, RESOURCES_LABEL, WASM_LABEL};
use crate::sources::{Referable, Source};
use crate::translate::env::{self, EnvError, References};
use crate::translate::expand::expand;
use crate::translate::security::{self, SecurityError};
use crate::translate::{resources, services};
use crate::volume::{self, VolumeError};

/// How long a start waits for the first word on an object it refers to.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// Where a container may leave a message for its status.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Port of a `wasi:http` container that declares none.
const DEFAULT_HTTP_PORT: u16 = 8080;

/// Why a container's configuration cannot be built: `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    Env(#[from] EnvError),
    #[error(transparent)]
    Security(#[from] SecurityError),
    #[error("failed to prepare volumeMounts for container {container:?}: {source}")]
    Mounts { container: String, source: VolumeError },
    #[error("{kind} {name:?} could not be read yet")]
    NotRead { kind: &'static str, name: String },
    #[error("unable to find target container {target:?}")]
    NoTarget { target: String },
    #[error("services have not yet been read at least once, cannot construct envs")]
    NoServices,
    #[error("preparing the files of container {container:?} was interrupted")]
    Interrupted { container: String },
    #[error(
        "{field} of container {container:?} holds a NUL character, which no program can be given"
    )]
    Nul { field: String, container: String },
}

/// The ConfigMaps and Secrets of these names, once each has been looked up.
pub(crate) async fn references(
    context: &Context,
    namespace: &str,
    config_maps: &BTreeSet<String>,
    secrets: &BTreeSet<String>,
) -> Result<References, ConfigError> {
    let mut found = References::default();
    for name in config_maps {
        let source = context.sources.of(namespace, name);
        if let Some(object) = first_word(&source, "configmap", name).await? {
            found.config_maps.insert(name.clone(), object);
        }
    }
    for name in secrets {
        let source = context.sources.of(namespace, name);
        if let Some(object) = first_word(&source, "secret", name).await? {
            found.secrets.insert(name.clone(), object);
        }
    }
    Ok(found)
}

pub(crate) async fn first_word<K: Referable>(
    source: &Arc<Source<K>>,
    kind: &'static str,
    name: &str,
) -> Result<Option<Arc<K>>, ConfigError> {
    let mut seen = source.subscribe();
    let unread = || ConfigError::NotRead { kind, name: name.to_owned() };
    let word = tokio::time::timeout(FIRST_WORD, seen.wait_for(Option::is_some))
        .await
        .map_err(|_| unread())?;
    Ok(word.map_err(|_| unread())?.clone().flatten())
}

/// Builds what the runtime is told of one attempt of a container.
pub(crate) async fn container_spec(
    context: &Context,
    pod: &Pod,
    container: &Container,
    image: &Image,
    pod_ip: IpAddr,
    attempt: u32,
) -> Result<ContainerSpec, ConfigError> {
    let spec = pod.spec.clone().unwrap_or_default();
    if let Some(target) = containers::target(pod, &container.name) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let missing = |_| ConfigError::NoTarget { target: target.to_owned() };
        context.runtime.can_attach(uid, target).map_err(missing)?;
    }
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let (config_maps, secrets) = env::names(container);
    let found = references(context, &namespace, &config_maps, &secrets).await?;
    tokio::time::timeout(FIRST_WORD, context.services.wait_until_ready())
        .await
        .map_err(|_| ConfigError::NoServices)?
        .map_err(|_| ConfigError::NoServices)?;
    let links = services::service_env(
        context.services().iter().map(AsRef::as_ref),
        &namespace,
        spec.enable_service_links.unwrap_or(true),
        context.config.api_server.as_ref(),
    );
    let placement = context.placement(pod_ip);
    let env = env::environment(pod, container, &placement, &found, &links)?;
    let value =
        |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let expanded = |words: &Option<Vec<String>>| {
        words.iter().flatten().map(|word| expand(word, value)).collect::<Vec<_>>()
    };
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    if let Some(field) = with_nul(container, &command, &args, &env) {
        return Err(ConfigError::Nul { field, container: container.name.clone() });
    }
    let native = matches!(image.kind, ImageKind::Native { .. });
    let mounts = mounts(context, pod, container, &env, native, attempt).await?;
    Ok(ContainerSpec {
        name: container.name.clone(),
        attempt,
        image: image.digest.to_string(),
        command,
        args,
        working_dir: container.working_dir.clone().filter(|dir| !dir.is_empty()),
        user: security::user(pod, container, &image.config.user)?,
        mounts,
        resources: resources::of_container(
            &spec,
            container,
            context.report.memory_bytes(&context.config),
        ),
        security: security::security(pod, container)?,
        http_port: (!native).then(|| http_port(container)),
        stdio: Stdio {
            stdin: container.stdin.unwrap_or(false),
            stdin_once: container.stdin_once.unwrap_or(false),
            terminal: container.tty.unwrap_or(false),
        },
        labels: labels(container, native),
        pid_of: containers::target(pod, &container.name).map(str::to_owned),
        env,
    })
}

/// What the record is to say besides what the runtime asks for.
fn labels(container: &Container, native: bool) -> BTreeMap<String, String> {
    let resources = container.resources.clone().unwrap_or_default();
    let resources = serde_json::to_string(&resources).unwrap_or_default();
    let labels =
        [(IMAGE_LABEL, container.image.clone().unwrap_or_default()), (RESOURCES_LABEL, resources)];
    let wasm = (!native).then(|| (WASM_LABEL, "true".to_owned()));
    labels.into_iter().chain(wasm).map(|(label, value)| (label.to_owned(), value)).collect()
}

/// The field that holds a NUL character: the API takes it in any text, and the kernel ends every text
/// with it.
fn with_nul(
    container: &Container,
    command: &[String],
    args: &[String],
    env: &[(String, String)],
) -> Option<String> {
    let numbered = |field: &'static str, words: &[String]| -> Vec<(String, bool)> {
        let words = words.iter().enumerate();
        words.map(|(at, word)| (format!("{field}[{at}]"), word.contains('\0'))).collect()
    };
    let single = |field: &str, text: &Option<String>| {
        (field.to_owned(), text.as_ref().is_some_and(|text| text.contains('\0')))
    };
    let mounts: Vec<String> =
        container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.clone()).collect();
    let variables = env.iter().map(|(name, value)| {
        (format!("env {:?}", name), name.contains('\0') || value.contains('\0'))
    });
    numbered("command", command)
        .into_iter()
        .chain(numbered("args", args))
        .chain(numbered("volumeMounts", &mounts))
        .chain(variables)
        .chain([
            single("workingDir", &container.working_dir),
            single("terminationMessagePath", &container.termination_message_path),
        ])
        .find_map(|(field, has_nul)| has_nul.then_some(field))
}

/// The port named `http`, else the first, else 8080.
pub(crate) fn http_port(container: &Container) -> u16 {
    let ports = container.ports.as_deref().unwrap_or_default();
    let chosen =
        ports.iter().find(|port| port.name.as_deref() == Some("http")).or_else(|| ports.first());
    chosen.and_then(|port| u16::try_from(port.container_port).ok()).unwrap_or(DEFAULT_HTTP_PORT)
}

async fn mounts(
    context: &Context,
    pod: &Pod,
    container: &Container,
    env: &[(String, String)],
    native: bool,
    attempt: u32,
) -> Result<Vec<Mount>, ConfigError> {
    let dir = context.pod_dir(pod.metadata.uid.as_deref().unwrap_or_default());
    let (pod, owned, env) = (pod.clone(), container.clone(), env.to_vec());
    let work = move || -> Result<Vec<Mount>, VolumeError> {
        let mut mounts = volume::mounts::of_container(&pod, &owned, &dir, &env)?;
        if native {
            let target = owned
                .termination_message_path
                .clone()
                .filter(|path| !path.is_empty())
                .unwrap_or_else(|| TERMINATION_LOG.to_owned());
            let source = termination::make_file(&dir, &owned.name, attempt)?;
            mounts.push(Mount { source, target, read_only: false });
        }
        Ok(mounts)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ConfigError::Interrupted { container: container.name.clone() })?
        .map_err(|source| ConfigError::Mounts { container: container.name.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn port_of_http_components() {
        for (ports, expected) in [
            (json!([]), 8080),
            (json!([{"containerPort": 80}, {"containerPort": 81}]), 80),
            (json!([{"containerPort": 80}, {"containerPort": 81, "name": "http"}]), 81),
        ] {
            let container: Container =
                serde_json::from_value(json!({"name": "c", "ports": ports})).unwrap();
            assert_eq!(http_port(&container), expected, "{ports}");
        }
    }
    #[test]
    fn nul_characters_are_found() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let env = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let found = |spec: serde_json::Value, args: &[&str], env: &[(String, String)]| {
            let container: Container = serde_json::from_value(spec).unwrap();
            with_nul(&container, &words(&["a"]), &words(args), env)
        };
        let plain = || json!({"name": "c", "workingDir": "/"});
        assert_eq!(found(plain(), &["b"], &env("A", "c")), None);
        assert_eq!(found(plain(), &["b", "c\0"], &[]).as_deref(), Some("args[1]"));
        assert_eq!(found(plain(), &[], &env("A", "\0")).as_deref(), Some("env \"A\""));
        for (field, value, said) in [
            ("workingDir", json!("/a\0b"), "workingDir"),
            ("terminationMessagePath", json!("/a\0"), "terminationMessagePath"),
            ("volumeMounts", json!([{"name": "v", "mountPath": "/\0"}]), "volumeMounts[0]"),
        ] {
            let mut spec = plain();
            spec[field] = value;
            assert_eq!(found(spec, &[], &[]).as_deref(), Some(said));
        }
    }
}

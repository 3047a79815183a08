//! The image decides what kind of plan a container gets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::image::{Image, ImageConfig, ImageKind};
use crate::launch::plan::{Exec, Filter, LaunchPlan, Limit, Step, UserStep};
use crate::launch::{IsolationPlan, Surroundings, bind_mounts, join_steps};
use crate::native;
use crate::runtime::StartError;
use crate::spec::{ContainerSpec, Network};
use crate::wasm::World;
use crate::wasm::host::{HostConfig, HttpConfig, Preopen, SocketPolicy};

/// Where an HTTP world listens when nobody says.
const HTTP_PORT: u16 = 8080;

/// Open files of a Wasm host: sockets, above all.
const WASM_OPEN_FILES: u64 = 65_536;

/// The plan of a container.
pub(super) fn plan(
    spec: &ContainerSpec,
    image: &Image,
    code: Option<&Path>,
    around: &Surroundings<'_>,
) -> Result<LaunchPlan, StartError> {
    match &image.kind {
        ImageKind::Native { lowerdirs } => native::plan(spec, &image.config, lowerdirs, around)
            .map_err(|message| StartError::Config { message }),
        ImageKind::Wasm { world, .. } => {
            let code = code.ok_or_else(|| StartError::Config {
                message: "the image's native code is missing".to_owned(),
            })?;
            wasm_plan(spec, &image.config, *world, code, around)
        }
    }
}

/// The Wasm host starts outside its isolation, because it has to map its code from the host's cache, and
/// isolates itself before it runs any of it.
fn wasm_plan(
    spec: &ContainerSpec,
    image: &ImageConfig,
    world: World,
    code: &Path,
    around: &Surroundings<'_>,
) -> Result<LaunchPlan, StartError> {
    let mut argv = native::argv(spec, &image.entrypoint, &image.cmd);
    if argv.is_empty() {
        argv.push(format!("{}.wasm", spec.name));
    }
    let mut env = native::environment(spec, &image.env, &around.sandbox.hostname);
    // There is nothing to look up: PATH is only there if someone wants it.
    if !image.env.iter().chain(&spec.env).any(|(name, _)| name == "PATH") {
        env.retain(|(name, _)| name != "PATH");
    }
    let address = match &around.sandbox.network {
        Network::Loopback { address } => Some(*address),
        Network::Pod { .. } | Network::Host => None,
    };
    let http = world.serves_http().then(|| HttpConfig {
        listen: SocketAddr::new(
            address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            spec.http_port.unwrap_or(HTTP_PORT),
        ),
        request_timeout: None,
        max_concurrency: None,
    });
    let preopens = spec
        .mounts
        .iter()
        .map(|mount| Preopen {
            host: if around.isolated { PathBuf::from(&mount.target) } else { mount.source.clone() },
            guest: mount.target.clone(),
            read_only: mount.read_only,
        })
        .collect();
    let config = HostConfig {
        world,
        code: code.to_path_buf(),
        args: argv,
        env,
        preopens,
        http,
        sockets: address.map_or(SocketPolicy::Namespace, |address| SocketPolicy::Only { address }),
        memory_limit_bytes: spec.resources.memory_limit_bytes,
        cpu_limit_millis: spec.resources.cpu_limit_millis,
        isolation: Some(IsolationPlan { steps: isolation(spec, image, around)? }),
    };
    let config =
        serde_json::to_value(config).map_err(|e| StartError::Config { message: e.to_string() })?;
    let mut steps = join_steps(spec, around);
    steps.push(Step::ResourceLimit { limit: Limit::OpenFiles, value: Some(WASM_OPEN_FILES) });
    steps.push(Step::DieWithParent);
    let exec = Exec::WasmHost { config };
    Ok(LaunchPlan { isolated: around.isolated, steps, exec, terminal: false })
}

fn isolation(
    spec: &ContainerSpec,
    image: &ImageConfig,
    around: &Surroundings<'_>,
) -> Result<Vec<Step>, StartError> {
    let mut steps = Vec::new();
    if around.isolated {
        steps.extend([Step::Umask { mask: 0o022 }, Step::PrivateMounts]);
        steps.push(Step::EmptyRoot { at: around.attempt.join("root") });
        let files = ["hosts", "hostname", "resolv.conf", "nsswitch.conf"];
        steps.extend(bind_mounts(spec, around, &files));
        steps.extend([Step::ReadOnlyRoot, Step::PivotRoot]);
        steps.push(Step::User(wasm_user(spec, image)?));
        steps.push(Step::Capabilities { keep: Vec::new() });
    }
    steps.push(Step::NoNewPrivs);
    steps.push(Step::Seccomp { filter: Filter::WasmHost });
    // Seccomp permits this; a change of uid has cleared the one set before the exec.
    steps.push(Step::DieWithParent);
    Ok(steps)
}

/// A Wasm image has no passwd file: only numbers mean something.
fn wasm_user(spec: &ContainerSpec, image: &ImageConfig) -> Result<UserStep, StartError> {
    let numeric =
        |text: &str| text.is_empty() || text.split(':').all(|id| id.parse::<u32>().is_ok());
    if spec.user.uid.is_none() && !numeric(&image.user) {
        let message = format!(
            "the image's user {:?} is a name, and a Wasm image has no passwd file to look it up in: set a numeric user",
            image.user
        );
        return Err(StartError::Config { message });
    }
    Ok(UserStep {
        image_user: image.user.clone(),
        uid: spec.user.uid,
        gid: spec.user.gid,
        supplementary_gids: spec.user.supplementary_gids.clone(),
        strict_groups: spec.user.strict_groups,
        must_be_non_root: spec.user.must_be_non_root,
    })
}

/// The number of a stop signal as images name it: `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3`; SIGTERM if it is
/// none.
pub(super) fn stop_signal(text: Option<&str>) -> i32 {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return libc::SIGTERM;
    };
    let upper = text.to_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = bare.parse::<i32>() {
        return if (1..=64).contains(&number) { number } else { libc::SIGTERM };
    }
    if let Some(offset) = bare.strip_prefix("RTMIN") {
        let offset = offset.strip_prefix('+').and_then(|n| n.parse().ok()).unwrap_or(0);
        return (libc::SIGRTMIN() + offset).min(64);
    }
    format!("SIG{bare}").parse::<Signal>().map_or(libc::SIGTERM, |signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_by_name_and_number() {
        let table = [
            (None, 15),
            (Some(""), 15),
            (Some("SIGQUIT"), 3),
            (Some("quit"), 3),
            (Some("3"), 3),
            (Some("SIGRTMIN+3"), 37),
            (Some("SIGNONSENSE"), 15),
            (Some("99"), 15),
        ];
        for (text, number) in table {
            assert_eq!(stop_signal(text), number, "{text:?}");
        }
    }
}

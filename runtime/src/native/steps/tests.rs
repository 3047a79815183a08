//! Golden plans: the whole plan as text, so that a change of any step is seen in review.

use super::*;
use crate::cgroup::{CgroupPlan, Controller, DeviceAccess, Layout};
use crate::spec::{Mount, Network, Resources, SandboxSpec, UserSpec};

fn sandbox() -> SandboxSpec {
    SandboxSpec {
        id: "pod-1".into(),
        labels: Default::default(),
        hostname: "web-0".into(),
        network: Network::Host,
        namespaces: Default::default(),
        sysctls: Default::default(),
        hosts: String::new(),
        resolv_conf: String::new(),
        resources: Resources::default(),
        log_dir: "/logs".into(),
    }
}

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "app".into(),
        attempt: 0,
        image: "x".into(),
        command: vec![],
        args: vec![],
        env: vec![],
        working_dir: None,
        user: UserSpec::default(),
        mounts: vec![],
        resources: Resources::default(),
        security: Security::default(),
        http_port: None,
        stdio: Default::default(),
        pid_of: None,
        labels: Default::default(),
    }
}

fn image() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/bin/app".into()],
        cmd: vec!["--serve".into()],
        env: vec![("LANG".into(), "C".into())],
        user: "web".into(),
        working_dir: "/srv".into(),
        ..ImageConfig::default()
    }
}

/// One line per step, for reading and comparing.
fn text(plan: &LaunchPlan) -> Vec<String> {
    plan.steps.iter().map(|step| serde_json::to_string(step).unwrap()).collect()
}

fn planned(
    spec: &ContainerSpec,
    image: &ImageConfig,
    layout: &Layout,
) -> Result<LaunchPlan, String> {
    let sandbox = sandbox();
    let access = match spec.security.privileged {
        true => DeviceAccess::All,
        false => DeviceAccess::Default,
    };
    let (sandbox_id, resources) = (&sandbox.id, &spec.resources);
    let cgroup =
        crate::cgroup::container_plan(layout, "wharf", sandbox_id, "app", resources, access);
    let cgroup = CgroupPlan { ..cgroup };
    let around = Surroundings {
        sandbox: &sandbox,
        isolated: true,
        directory: Path::new("/s"),
        attempt: Path::new("/s/containers/app/0"),
        cgroup: &cgroup,
        layout,
    };
    plan(spec, image, &["/i/b".into(), "/i/a".into()], &around)
}

fn v2() -> Layout {
    Layout { v2: Some("/sys/fs/cgroup".into()), ..Layout::default() }
}

#[test]
fn the_default_plan() {
    let golden = include_str!("default.golden");
    let plan = planned(&spec(), &image(), &v2()).unwrap();
    assert_eq!(
        text(&plan).join("\n"),
        golden.trim_end(),
        "the plan changed; if that is meant, change the file"
    );
    let Exec::Program { argv, env } = &plan.exec else { panic!("a native plan") };
    assert_eq!(argv, &["/bin/app", "--serve"]);
    assert!(
        env.contains(&("HOSTNAME".into(), "web-0".into()))
            && env.contains(&("LANG".into(), "C".into()))
    );
}

#[test]
fn security_settings_change_the_steps_they_should() {
    let mut hardened = spec();
    hardened.security.no_new_privs = true;
    hardened.security.read_only_root = true;
    hardened.security.drop_capabilities = vec!["ALL".into()];
    hardened.security.add_capabilities = vec!["net_bind_service".into()];
    let lines = text(&planned(&hardened, &image(), &v2()).unwrap());
    let position = |needle: &str| {
        lines.iter().position(|l| l.contains(needle)).unwrap_or_else(|| panic!("{needle}"))
    };
    assert!(lines[position("\"capabilities\"")].contains(r#"["CAP_NET_BIND_SERVICE"]"#));
    assert!(position("noNewPrivs") < position("seccomp"), "the filter goes in under no_new_privs");
    assert!(position("readOnlyRoot") < position("pivotRoot"));

    let mut privileged = spec();
    privileged.security.privileged = true;
    let lines = text(&planned(&privileged, &image(), &v2()).unwrap()).join("\n");
    for absent in ["seccomp", "maskedPath", "readOnlyPath", "noDevices"] {
        assert!(!lines.contains(absent), "{absent}");
    }
    assert!(lines.contains("CAP_SYS_ADMIN"));

    let mut unknown = spec();
    unknown.security.add_capabilities = vec!["FLY".into()];
    assert_eq!(planned(&unknown, &image(), &v2()).unwrap_err(), r#"unknown capability "FLY""#);
}

#[test]
fn the_devices_hierarchy_is_joined_and_shown_to_privileged_containers_only() {
    let v1 = [(Controller::Devices, "/c/devices".into()), (Controller::Memory, "/c/memory".into())];
    let layout = Layout { v1: v1.into(), ..Layout::default() };
    for privileged in [false, true] {
        let mut spec = spec();
        spec.security.privileged = privileged;
        let lines = text(&planned(&spec, &image(), &layout).unwrap());
        let has = |needle: &str| lines.iter().any(|line| line.contains(needle));
        assert!(has(r#""procs":"/c/devices/wharf/pod-1/app/cgroup.procs""#), "{lines:?}");
        assert!(has(r#""target":"/sys/fs/cgroup/memory""#), "{lines:?}");
        assert_eq!(has(r#""target":"/sys/fs/cgroup/devices""#), privileged, "{lines:?}");
    }
}

#[test]
fn controllers_that_share_a_hierarchy_keep_their_own_names() {
    let both = PathBuf::from("/c/cpu,cpuacct");
    let v1 = [(Controller::Cpu, both.clone()), (Controller::Cpuacct, both)];
    let layout = Layout { v1: v1.into(), ..Layout::default() };
    let lines = text(&planned(&spec(), &image(), &layout).unwrap());
    let at =
        lines.iter().position(|line| line.contains("/c/cpu,cpuacct/wharf/pod-1/app\"")).unwrap();
    let link = |name: &str| {
        format!(r#"{{"step":"symlink","target":"/sys/fs/cgroup/{name}","link":"cpu,cpuacct"}}"#)
    };
    assert_eq!(lines[at + 1..at + 3], [link("cpu"), link("cpuacct")], "{lines:?}");
}

#[test]
fn who_can_mount() {
    for (add, drop, privileged, can) in [
        (&[][..], &[][..], false, false),
        (&["SYS_ADMIN"], &[], false, true),
        (&["cap_sys_admin"], &["ALL"], false, true),
        (&["ALL"], &[], false, true),
        (&["ALL"], &["SYS_ADMIN"], false, false),
        // It may use every device anyway.
        (&["SYS_ADMIN"], &[], true, false),
    ] {
        let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let security = Security {
            privileged,
            add_capabilities: strings(add),
            drop_capabilities: strings(drop),
            ..Security::default()
        };
        assert_eq!(can_mount(&security), can, "{security:?}");
    }
}

#[test]
fn command_and_args_combine_as_kubernetes_says() {
    let table: [(&[&str], &[&str], &[&str]); 4] = [
        (&[], &[], &["/bin/app", "--serve"]),
        (&[], &["x"], &["/bin/app", "x"]),
        (&["sh"], &[], &["sh"]),
        (&["sh"], &["-c", "y"], &["sh", "-c", "y"]),
    ];
    for (command, args, expected) in table {
        let mut spec = spec();
        spec.command = command.iter().map(|&s| s.to_owned()).collect();
        spec.args = args.iter().map(|&s| s.to_owned()).collect();
        let Exec::Program { argv, .. } = planned(&spec, &image(), &v2()).unwrap().exec else {
            panic!("a native plan")
        };
        assert_eq!(argv, expected);
    }
    let nothing = ImageConfig::default();
    assert!(planned(&spec(), &nothing, &v2()).unwrap_err().contains("no command specified"));
}

#[test]
fn a_mount_takes_the_place_of_a_default_and_parents_come_first() {
    let mount =
        |target: &str| Mount { source: "/v".into(), target: target.into(), read_only: true };
    let mut spec = spec();
    spec.mounts =
        vec![mount("/data/deep/er"), mount("/etc/hosts"), mount("/data"), mount("/dev/shm")];
    let lines = text(&planned(&spec, &image(), &v2()).unwrap());
    let targets: Vec<&String> = lines.iter().filter(|l| l.contains(r#""source":"/v""#)).collect();
    assert!(targets[0].contains(r#""/data""#) && targets[3].contains("/data/deep/er"));
    assert!(!lines.iter().any(|l| l.contains(r#""source":"/s/hosts""#) || l.contains("/s/shm")));
    assert!(lines.iter().any(|l| l.contains(r#""source":"/s/resolv.conf""#)));
}

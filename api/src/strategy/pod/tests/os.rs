//! Operating systems, namespaces of the host, security profiles.

use serde_json::{Value, json};

use super::{assert_errors, container, errors_of};

#[test]
fn a_windows_pod_has_nothing_of_linux() {
    let pod = json!({
        "hostPID": true, "hostIPC": true, "hostUsers": true, "shareProcessNamespace": false,
        "securityContext": {
            "appArmorProfile": {"type": "Unconfined"}, "seLinuxOptions": {}, "seccompProfile": {"type": "Unconfined"},
            "fsGroup": 1, "fsGroupChangePolicy": "Always", "sysctls": [{"name": "a", "value": "1"}],
            "runAsUser": 1, "runAsGroup": 1, "supplementalGroups": [1],
            "supplementalGroupsPolicy": "Strict", "seLinuxChangePolicy": "Recursive"}});
    let own = json!({
        "appArmorProfile": {"type": "Unconfined"}, "seLinuxOptions": {}, "seccompProfile": {"type": "Unconfined"},
        "capabilities": {}, "readOnlyRootFilesystem": true, "privileged": false,
        "allowPrivilegeEscalation": true, "procMount": "Default", "runAsUser": 1, "runAsGroup": 1});
    let mut windows = pod.clone();
    windows["os"] = json!({"name": "windows"});
    windows["containers"] = container(json!({"securityContext": own}))["containers"].clone();
    let mut wanted: Vec<String> = Vec::new();
    for (at, map) in [
        ("spec.securityContext", &pod["securityContext"]),
        ("spec.containers[0].securityContext", &own),
    ] {
        wanted.extend(map.as_object().expect("a map").keys().map(|field| format!("{at}.{field}")));
    }
    for field in ["hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"] {
        wanted.push(format!("spec.{field}"));
    }
    let mut wanted: Vec<String> = wanted
        .into_iter()
        .map(|at| format!("{at}: Forbidden: cannot be set for a windows pod"))
        .collect();
    wanted.sort();
    let mut errors = errors_of(&windows);
    errors.sort();
    assert_eq!(errors, wanted);
    windows["os"]["name"] = "linux".into();
    assert_eq!(errors_of(&windows), Vec::<String>::new());
}

#[test]
fn operating_systems() {
    let not_linux = "windows options cannot be set for a linux pod";
    let of_pod = format!("spec.securityContext.windowsOptions: Forbidden: {not_linux}");
    let of_container =
        format!("spec.containers[0].securityContext.windowsOptions: Forbidden: {not_linux}");
    let options = json!({"windowsOptions": {"runAsUserName": "u"}});
    let mut both = container(json!({"securityContext": options}));
    both["securityContext"] = options;
    assert_eq!(errors_of(&both), Vec::<String>::new());
    both["os"] = json!({"name": "linux"});
    assert_errors(&[
        (both, &[&of_pod, &of_container]),
        (json!({"os": {"name": ""}}), &["spec.os.name: Required value"]),
        (
            json!({"os": {"name": "plan9"}}),
            &["spec.os: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\""],
        ),
    ]);
}

#[test]
fn processes_of_a_windows_host_are_all_or_none() {
    let host = |is: bool| json!({"windowsOptions": {"hostProcess": is}});
    let one = container(json!({"securityContext": host(true)}));
    let mut on_host = one.clone();
    on_host["hostNetwork"] = true.into();
    let mut mixed = on_host.clone();
    let second = json!({"name": "d", "image": "i"});
    mixed["containers"].as_array_mut().expect("a list").push(second);
    let mut contrary = one.clone();
    contrary["hostNetwork"] = true.into();
    contrary["securityContext"] = host(false);
    assert_errors(&[
        (on_host, &[]),
        (
            one,
            &[
                "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
            ],
        ),
        (
            mixed,
            &[
                "spec: Invalid value: \"\": If pod contains any hostProcess containers then all containers must be HostProcess containers",
            ],
        ),
        (
            contrary,
            &[
                "spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: true: pod hostProcess value must be identical if both are specified, was false",
            ],
        ),
    ]);
}

#[test]
fn users_of_windows() {
    let user = |name: &str| json!({"securityContext": {"windowsOptions": {"runAsUserName": name}}});
    for (name, wrong) in [
        ("ContainerUser", None),
        ("example.com\\me", None),
        ("", Some(" cannot be an empty string")),
        ("a\tb", Some(" cannot contain control characters")),
        ("a\\b\\c", Some(" cannot contain more than one backslash")),
        ("dom?ain\\u", Some("'s Domain doesn't match the NetBios nor the DNS format")),
        ("domain\\", Some("'s User cannot be empty")),
        ("..", Some("'s User cannot contain only periods or spaces")),
        ("a/b", Some("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")),
    ] {
        let shown = crate::field::go_quote(name);
        let wanted = wrong.map(|wrong| {
            format!("spec.securityContext.windowsOptions.runAsUserName: Invalid value: {shown}: runAsUserName{wrong}")
        });
        assert_eq!(errors_of(&user(name)), Vec::from_iter(wanted), "{name}");
    }
}

#[test]
fn own_users_share_no_namespace_of_the_host() {
    let with = |fields: Value| {
        let mut spec = fields;
        spec["hostUsers"] = false.into();
        spec
    };
    let mut devices =
        with(container(json!({"volumeDevices": [{"name": "d", "devicePath": "/d"}]})));
    devices["volumes"] = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "d"}}]);
    assert_errors(&[
        (with(json!({})), &[]),
        (with(container(json!({"securityContext": {"procMount": "Unmasked"}}))), &[]),
        (
            with(json!({"hostNetwork": true, "hostPID": true, "hostIPC": true})),
            &[
                "spec.hostNetwork: Forbidden: when `hostUsers` is false",
                "spec.HostPID: Forbidden: when `hostUsers` is false",
                "spec.HostIPC: Forbidden: when `hostUsers` is false",
            ],
        ),
        (devices, &["spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false"]),
    ]);
}

#[test]
fn profiles_and_sysctls() {
    let pod = |context: Value| json!({"securityContext": context});
    let at = "spec.securityContext";
    let local = format!(
        "{at}.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost"
    );
    let padded = format!(
        "{at}.appArmorProfile.localhostProfile: Invalid value: \" x\": must not be padded with whitespace"
    );
    let only = format!(
        "{at}.appArmorProfile.localhostProfile: Invalid value: \"x\": can only be set when AppArmor type is Localhost"
    );
    let missing = format!(
        "{at}.appArmorProfile.type: Required value: type is required when appArmorProfile is set"
    );
    let change = format!(
        "{at}.seLinuxChangePolicy: Unsupported value: \"Now\": supported values: \"MountOption\", \"Recursive\""
    );
    let twice = format!("{at}.sysctls[1].name: Duplicate value: \"net.a\"");
    let network = format!(
        "{at}.sysctls[0].name: Invalid value: \"net/ipv4/x\": may not be specified when 'hostNetwork' is true"
    );
    let ipc = format!(
        "{at}.sysctls[0].name: Invalid value: \"kernel.shm_rmid_forced\": may not be specified when 'hostIPC' is true"
    );
    let sysctl = |name: &str| json!({"name": name, "value": "1"});
    let mut on_network = pod(json!({"sysctls": [sysctl("net/ipv4/x"), sysctl("netfilter.x")]}));
    on_network["hostNetwork"] = true.into();
    let mut with_ipc = pod(json!({"sysctls": [sysctl("kernel.shm_rmid_forced")]}));
    with_ipc["hostIPC"] = true.into();
    assert_errors(&[
        (pod(json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}})), &[]),
        (pod(json!({"appArmorProfile": {"type": "Localhost"}})), &[&local]),
        (
            pod(json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": " x"}})),
            &[&padded],
        ),
        (
            pod(json!({"appArmorProfile": {"type": "Unconfined", "localhostProfile": "x"}})),
            &[&only],
        ),
        (pod(json!({"appArmorProfile": {"type": ""}})), &[&missing]),
        (pod(json!({"seLinuxChangePolicy": "Now"})), &[&change]),
        (pod(json!({"sysctls": [sysctl("net.a"), sysctl("net.a")]})), &[&twice]),
        (on_network, &[&network]),
        (with_ipc, &[&ipc]),
        (
            json!({"shareProcessNamespace": true, "hostPID": true}),
            &[
                "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
            ],
        ),
    ]);
}

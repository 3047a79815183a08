//! The pod network.

use runtime::spec::*;

use super::node::*;

pub(crate) async fn bridge(node: &Node) -> BridgeSpec {
    let bridge = BridgeSpec { name: "wharf0".into(), address: "10.88.0.1/24".parse().unwrap() };
    node.runtime.ensure_bridge(&bridge).await.unwrap();
    bridge
}

pub(crate) fn pod(bridge: &BridgeSpec, host: u8) -> Network {
    Network::Pod {
        address: format!("10.88.0.{host}/24").parse().unwrap(),
        gateway: bridge.address.addr(),
        bridge: bridge.name.clone(),
    }
}

#[test]
fn pods_reach_the_node_and_each_other() {
    on_a_node(async |node| {
        let bridge = bridge(node).await;
        node.runtime.ensure_bridge(&bridge).await.expect("twice is fine");
        for (id, host) in [("one", 2), ("two", 3)] {
            node.runtime.create_sandbox(node.sandbox_spec(id, pod(&bridge, host))).await.unwrap();
        }
        let server = shell("server", "echo ready; echo hello from $(hostname) | nc -l -p 80");
        let server = node.runtime.start_container("two", server).await.unwrap();
        log_until(&server.log_path, |text| text.contains("ready")).await;
        let script = "ping -c1 -W5 10.88.0.1 >/dev/null && echo gateway; \
                      ping -c1 -W5 127.0.0.1 >/dev/null && echo self; \
                      ip -o -4 addr show eth0 | grep -o 'inet [^ ]*'; \
                      ip route; \
                      until nc 10.88.0.3 80; do :; done";
        let client = node.runtime.start_container("one", shell("client", script)).await.unwrap();
        node.exited("one", "client", 0).await;
        let output = log(&client.log_path).await;
        for expected in [
            "gateway\nself\ninet 10.88.0.2/24\n",
            "default via 10.88.0.1 dev eth0",
            "hello from host-two",
        ] {
            assert!(output.contains(expected), "{expected:?} in {output}");
        }
        // An unprivileged user may bind a low port: the namespace is the pod's.
        let mut spec = shell("low", "nc -l -p 81 & sleep 0.1; kill $! && echo bound");
        spec.user.uid = Some(1000);
        spec.security.drop_capabilities = vec!["ALL".into()];
        let low = node.runtime.start_container("one", spec).await.unwrap();
        node.exited("one", "low", 0).await;
        assert_eq!(log(&low.log_path).await, "bound\n");
        assert!(host("ip", &["-o", "link", "show", "master", "wharf0"]).lines().count() == 2);
    });
}

#[test]
fn a_bridge_that_is_not_ours_is_left_alone() {
    on_a_node(async |node| {
        let foreign =
            BridgeSpec { name: "docker0".into(), address: "10.1.0.1/24".parse().unwrap() };
        let error = node.runtime.ensure_bridge(&foreign).await.expect_err("refused");
        assert!(error.to_string().contains("docker0"), "{error}");
        // A sandbox whose bridge does not exist leaves nothing.
        let missing = BridgeSpec { name: "wharf9".into(), address: "10.9.0.1/24".parse().unwrap() };
        let error = node
            .runtime
            .create_sandbox(node.sandbox_spec("lost", pod(&missing, 2)))
            .await
            .expect_err("no bridge");
        assert!(error.to_string().contains("wharf9"), "{error}");
        assert!(!node.sandbox_dir("lost").exists());
        assert!(node.runtime.sandboxes().await.is_empty());
    });
}

#[test]
fn routes_of_ours_are_told_from_those_of_others() {
    tests::cluster::enter_network_namespace().unwrap();
    let bridge = BridgeSpec { name: "wharf0".into(), address: "10.88.0.1/24".parse().unwrap() };
    runtime::net::ensure_bridge(&bridge).unwrap();
    let route = |to: &str| runtime::net::Route {
        to: to.parse().unwrap(),
        via: "10.88.0.7".parse().unwrap(),
    };
    let (one, two) = (route("10.42.1.0/24"), route("10.42.2.0/24"));
    let have = |owner: &str| {
        let mut routes = runtime::net::routes(owner).unwrap();
        routes.sort();
        routes
    };
    assert_eq!(have("a"), []);
    for (owner, route) in [("a", one), ("a", two), ("a", two), ("b", two)] {
        runtime::net::add_route(owner, route).unwrap();
    }
    host("ip", &["route", "add", "10.42.3.0/24", "via", "10.88.0.7"]);
    assert_eq!((have("a"), have("b")), (vec![one, two], vec![two]));
    runtime::net::remove_route("a", two).unwrap();
    runtime::net::remove_route("a", two).expect("twice is fine");
    assert_eq!((have("a"), have("b")), (vec![one], vec![two]));
    assert!(host("ip", &["route"]).contains("10.42.3.0/24 via 10.88.0.7"));

    // More than one packet of the kernel's.
    let many = |number: u32| route(&format!("10.43.{}.{}/32", number / 256, number % 256));
    for number in 0..600 {
        runtime::net::add_route("many", many(number)).unwrap();
    }
    assert_eq!(have("many").len(), 600);

    let nowhere = runtime::net::Route { via: "203.0.113.1".parse().unwrap(), ..one };
    let refused = runtime::net::add_route("c", nowhere).unwrap_err();
    assert_eq!(refused.to_string(), "cannot add route to 10.42.1.0/24 via 203.0.113.1");
}

#[test]
fn settings_are_those_of_the_sandbox() {
    on_a_node(async |node| {
        let bridge = bridge(node).await;
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let own =
            ["/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/kernel/shm_rmid_forced"];
        let read = || own.map(|path| std::fs::read_to_string(path).unwrap());
        let before = read();
        let spec = SandboxSpec {
            sysctls: vec![
                set("net.ipv4.ip_unprivileged_port_start", "500"),
                set("kernel.shm_rmid_forced", "1"),
            ],
            ..node.sandbox_spec("s", pod(&bridge, 2))
        };
        node.runtime.create_sandbox(spec).await.unwrap();
        let (_, output) = node.run(&format!("cat {}", own.join(" "))).await;
        assert_eq!(output, "500\n1\n");
        assert_eq!(read(), before, "the host's are as they were");

        let sysctls = vec![set("net.ipv4.ip_unprivileged_port_start", "500")];
        let spec = SandboxSpec { sysctls, ..node.sandbox_spec("t", Network::Host) };
        let refused = node.runtime.create_sandbox(spec).await.unwrap_err().to_string();
        assert!(refused.contains("would be a setting of the host's"), "{refused}");
    });
}

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

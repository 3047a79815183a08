//! Commands in containers, and ports of pods.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, AttachParams, DeleteParams, PostParams};
use kube::runtime::conditions::is_pod_running;
use kube::runtime::wait::{await_condition, delete::delete_and_finalize};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::objects::object;
use super::patiently;

pub(super) async fn lead_into_pods(client: &Client) {
    let api: Api<Pod> = Api::default_namespaced(client.clone());
    // The command that is executed first makes the server begin.
    let script = "until test -e /go; do sleep 0.05; done; exec httpd -f -p 127.0.0.1:8000 -h /etc";
    let container =
        json!({"name": "c", "image": "test/busybox:v1", "command": ["sh", "-c", script]});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [container]});
    let pod = object(json!({"metadata": {"name": "talker"}, "spec": spec}));
    api.create(&PostParams::default(), &pod).await.unwrap();
    let running = await_condition(api.clone(), "talker", is_pod_running());
    patiently("the pod runs", running).await.unwrap();

    let script = "read line; echo got $line; echo wrong >&2; touch /go; \
                  until nc 127.0.0.1 8000 </dev/null 2>/dev/null; do sleep 0.05; done; exit 3";
    let how = AttachParams::default().stdin(true).stderr(true);
    let mut command = api.exec("talker", ["sh", "-c", script], &how).await.unwrap();
    let (mut out, mut err) = (command.stdout().unwrap(), command.stderr().unwrap());
    let (mut stdin, status) = (command.stdin().unwrap(), command.take_status().unwrap());
    stdin.write_all(b"word\n").await.unwrap();
    let (mut said, mut complained) = (String::new(), String::new());
    let read = async {
        out.read_to_string(&mut said).await.unwrap();
        err.read_to_string(&mut complained).await.unwrap();
    };
    patiently("the command says something", read).await;
    assert_eq!((said.as_str(), complained.as_str()), ("got word\n", "wrong\n"));
    let status = patiently("the command ends", status).await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
    assert_eq!(status.details.unwrap().causes.unwrap()[0].message.as_deref(), Some("3"));

    let mut forwarded = api.portforward("talker", &[8000]).await.unwrap();
    let mut stream = forwarded.take_stream(8000).unwrap();
    stream.write_all(b"GET /passwd HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    patiently("the server answers", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("root:x:0:0"), "{answer}");
    drop((stream, forwarded));

    let how = DeleteParams::default();
    let gone = delete_and_finalize(api, "talker", &how);
    patiently("the pod goes", gone).await.unwrap();
}

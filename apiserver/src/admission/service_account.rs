//! Admission plugin ServiceAccount: a pod runs as an account that exists, and has the account's token,
//! the cluster's CA and its namespace in files, where client libraries look for them.
//! Source: k8s.io/kubernetes/plugin/pkg/admission/serviceaccount.

use std::time::Duration;

use api::resources::GroupResource;
use api::status::Status;
use serde_json::{Value, json};

use crate::context::{Context, random};
use crate::dispatch::Target;

/// Where the files are.
const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The beginning of the volume's name.
const VOLUME: &str = "kube-api-access-";
/// For how long the token is asked for, in seconds; the kubelet renews it.
const SECONDS: i64 = 3607;
/// Marks a pod that only shows what a node runs by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The account `default` of a new namespace is made a moment after it: how often to look again, and
/// after which pause.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Completes a new pod that [`complete`](super::complete) has given the name of its account.
///
/// # Errors
/// 403 if there is no such account.
pub(crate) async fn admit(
    context: &Context,
    target: &Target,
    pod: &mut Value,
) -> Result<(), Status> {
    let is_pod = target.resource.group.is_empty() && target.resource.plural == "pods";
    let mirror = pod["metadata"]["annotations"].get(MIRROR).is_some();
    if !context.service_accounts || !is_pod || mirror || !pod["spec"].is_object() {
        return Ok(());
    }
    let name = pod["spec"]["serviceAccountName"].as_str().unwrap_or_default().to_owned();
    let Some(account) = find(context, &target.namespace, &name).await? else {
        let lost = Status::not_found(&GroupResource::new("", "serviceaccount"), &name);
        let detail =
            format!("error looking up service account {}/{name}: {lost}", target.namespace);
        let text = |field: &str| pod["metadata"][field].as_str().filter(|text| !text.is_empty());
        let pod_name = text("name").or_else(|| text("generateName")).unwrap_or_default();
        return Err(Status::forbidden(&target.resource.group_resource(), pod_name, &detail));
    };
    complete(pod, &account, &api::names::generate(VOLUME, random()));
    Ok(())
}

/// The account, even if it was made a moment ago.
async fn find(context: &Context, namespace: &str, name: &str) -> Result<Option<Value>, Status> {
    let cache = context.core("serviceaccounts");
    let key = format!("{namespace}/{name}");
    for look in 0..LOOKS {
        if let Some(found) = cache.get(&key) {
            return Ok(Some(found.encoded().parse()));
        }
        match look {
            0 => context.freshness.consistent().await?,
            // Others are made by people, who know.
            _ if name != "default" => break,
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
    Ok(None)
}

/// Gives the pod what the account has for it; `volume` is the name of a new volume.
fn complete(pod: &mut Value, account: &Value, volume: &str) {
    let spec = &mut pod["spec"];
    let wanted = |of: &Value| of["automountServiceAccountToken"].as_bool();
    if wanted(spec).or_else(|| wanted(account)).unwrap_or(true) {
        mount(spec, volume);
    }
    let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    if empty(&spec["imagePullSecrets"]) && !empty(&account["imagePullSecrets"]) {
        spec["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
}

/// Mounts the volume into every container that has nothing there yet.
fn mount(spec: &mut Value, volume: &str) {
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    let mut names = volumes
        .filter(|volume| volume["projected"].is_object())
        .filter_map(|volume| volume["name"].as_str());
    let existing = names.find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let name = existing.as_deref().unwrap_or(volume);
    let mut needed = false;
    for field in ["initContainers", "containers"] {
        let containers = spec.get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter(|one| one.is_object()) {
            let mounts = container["volumeMounts"].as_array();
            if mounts.is_some_and(|mounts| mounts.iter().any(|mount| mount["mountPath"] == PATH)) {
                continue;
            }
            needed = true;
            let mount = json!({"name": name, "readOnly": true, "mountPath": PATH});
            append(&mut container["volumeMounts"], mount);
        }
    }
    if needed && existing.is_none() {
        append(&mut spec["volumes"], files(volume));
    }
}

fn append(list: &mut Value, item: Value) {
    match list {
        Value::Array(list) => list.push(item),
        list => *list = Value::Array(vec![item]),
    }
}

/// The volume.
fn files(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_become_what_a_real_server_makes_of_them() {
        let mut compared = 0;
        for line in include_str!("../../../fixtures/wire/defaulting.jsonl").lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let (mut pod, golden) = (record["body"].clone(), &record["response"]["spec"]);
            if record["method"] != "POST" || pod["kind"] != "Pod" {
                continue;
            }
            let volumes = golden["volumes"].as_array().unwrap();
            let volume = volumes.last().unwrap();
            complete(&mut pod, &json!({}), volume["name"].as_str().unwrap());
            assert_eq!(pod["spec"]["volumes"].as_array().unwrap().last(), Some(volume));
            for field in ["containers", "initContainers"] {
                let ours = pod["spec"][field].as_array().into_iter().flatten();
                for (ours, theirs) in ours.zip(golden[field].as_array().into_iter().flatten()) {
                    assert_eq!(ours["volumeMounts"], theirs["volumeMounts"]);
                }
            }
            compared += 1;
        }
        assert!(compared >= 2, "{compared}");
    }

    #[test]
    fn accounts_and_pods_say_what_they_want() {
        let at = |path: &str| json!({"name": "own", "mountPath": path});
        let named = json!([{"name": "kube-api-access-x", "projected": {"sources": []}}]);
        for (spec, account, mounts, volumes) in [
            (json!({}), json!({}), "new", 1),
            (json!({}), json!({"automountServiceAccountToken": false}), "", 0),
            (
                json!({"automountServiceAccountToken": true}),
                json!({"automountServiceAccountToken": false}),
                "new",
                1,
            ),
            (json!({"automountServiceAccountToken": false}), json!({}), "", 0),
            (json!({"volumes": named}), json!({}), "kube-api-access-x", 1),
        ] {
            let mut pod = json!({"spec": spec});
            pod["spec"]["containers"] = json!([{"name": "c"}]);
            complete(&mut pod, &account, "new");
            let mount = &pod["spec"]["containers"][0]["volumeMounts"][0];
            assert_eq!(mount["name"].as_str().unwrap_or_default(), mounts, "{spec} {account}");
            assert_eq!(pod["spec"]["volumes"].as_array().map_or(0, Vec::len), volumes);
        }
        let mut pod = json!({"spec": {"containers": [
            {"name": "a", "volumeMounts": [at(PATH)]}, {"name": "b", "volumeMounts": [at("/x")]}]}});
        complete(&mut pod, &json!({"imagePullSecrets": [{"name": "s"}]}), "new");
        let mounts = |index: usize| pod["spec"]["containers"][index]["volumeMounts"].as_array();
        assert_eq!((mounts(0).unwrap().len(), mounts(1).unwrap().len()), (1, 2));
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "s"}]));
        let mut pod = json!({"spec": {"imagePullSecrets": [{"name": "own"}]}});
        complete(&mut pod, &json!({"imagePullSecrets": [{"name": "s"}]}), "new");
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "own"}]));
    }
}

//! What the cases share: a neighbour that must not notice, and a look at a container that waits.

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE};
use tests::{http, wait};

/// A pod that must not notice anything.
pub(crate) struct Witness {
    address: String,
    uid: Value,
}

impl Witness {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
        cluster
            .apply("apiVersion: v1\nkind: Pod\nmetadata: {name: witness}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: c, image: test/web:v1, livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}\n")
            .unwrap();
        let pod = cluster.until(&["pod", "witness"], |pod| pod["status"]["phase"] == "Running");
        let address = format!("{}:8080", pod["status"]["podIP"].as_str().unwrap());
        let witness = Self { address, uid: pod["metadata"]["uid"].clone() };
        wait::eventually("the witness answers", PATIENCE, || {
            http::get(&witness.address, "/").map_err(|error| format!("{error:#}"))
        });
        witness
    }

    pub(crate) fn is_undisturbed(&self, cluster: &Cluster) {
        assert_eq!(http::get(&self.address, "/status/202").unwrap().status, 202);
        let pod = cluster.get(&["pod", "witness"]).unwrap();
        assert_eq!(pod["metadata"]["uid"], self.uid);
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
        assert_eq!(pod["status"]["containerStatuses"][0]["ready"], true);
    }
}

/// A manifest of a pod of one container that runs once.
pub(crate) fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {{name: c, image: '{image}'}}\n---\n"
    )
}

/// Reason and message of the state in which the pod's container waits; empty if it does not.
pub(crate) fn waiting(pod: &Value) -> (&str, &str) {
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    (
        waiting["reason"].as_str().unwrap_or_default(),
        waiting["message"].as_str().unwrap_or_default(),
    )
}

/// Waits until the pod's container says that it cannot have its image, because of `words`; the event says it too.
pub(crate) fn cannot_have_its_image(cluster: &Cluster, name: &str, words: &[&str]) {
    let said = |text: &str| words.iter().all(|word| text.contains(word));
    cluster.until(&["pod", name], |pod| {
        assert_ne!(pod["status"]["phase"], "Running", "{name} runs");
        assert_ne!(pod["status"]["phase"], "Succeeded", "{name} ran");
        let (reason, message) = waiting(pod);
        matches!(reason, "ErrImagePull" | "ImagePullBackOff") && said(message)
    });
    let of_pod = format!("involvedObject.name={name},reason=Failed");
    cluster.until(&["events", "--field-selector", &of_pod], |list| {
        let events = list["items"].as_array().into_iter().flatten();
        events
            .into_iter()
            .any(|event| event["type"] == "Warning" && event["message"].as_str().is_some_and(said))
    });
}

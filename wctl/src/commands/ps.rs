//! `wctl ps`: the cluster's containers, one line each, as `docker ps` would.

use anyhow::Result;
use api::table::human_duration;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::{Global, Ps};
use crate::cluster::Cluster;
use crate::output::line;
use crate::output::table::Grid;
use crate::request;

/// Lists running containers, or all with `--all`.
pub(crate) async fn run(global: &Global, arguments: &Ps) -> Result<()> {
    let cluster = Cluster::connect(global).await?;
    let path = match &global.namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
        None => "/api/v1/pods".to_owned(),
    };
    let pods = request::get(&cluster.client, &path).await?;
    let now = Timestamp::now();
    let mut grid = Grid::new(&[
        "CONTAINER ID",
        "IMAGE",
        "STATUS",
        "RESTARTS",
        "NAMESPACE",
        "POD",
        "NAME",
        "IP",
    ]);
    for pod in pods["items"].as_array().into_iter().flatten() {
        for field in ["initContainerStatuses", "containerStatuses"] {
            for status in pod["status"][field].as_array().into_iter().flatten() {
                if arguments.all || status["state"]["running"].is_object() {
                    grid.row(row(pod, status, now));
                }
            }
        }
    }
    line(grid.render(true).trim_end())
}

fn row(pod: &Value, status: &Value, now: Timestamp) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("<none>").to_owned();
    let id = status["containerID"].as_str().unwrap_or("<none>");
    let id = id.rsplit("://").next().unwrap_or(id);
    vec![
        id.chars().take(12).collect(),
        text(&status["image"]),
        state(&status["state"], now),
        status["restartCount"].as_i64().unwrap_or(0).to_string(),
        text(&pod["metadata"]["namespace"]),
        text(&pod["metadata"]["name"]),
        text(&status["name"]),
        text(&pod["status"]["podIP"]),
    ]
}

fn state(state: &Value, now: Timestamp) -> String {
    if let Some(since) = state["running"]["startedAt"].as_str() {
        return format!("Up {}", age(since, now));
    }
    if let Some(code) = state["terminated"]["exitCode"].as_i64() {
        let since = state["terminated"]["finishedAt"].as_str().unwrap_or_default();
        return format!("Exited ({code}) {} ago", age(since, now));
    }
    state["waiting"]["reason"].as_str().unwrap_or("Waiting").to_owned()
}

fn age(since: &str, now: Timestamp) -> String {
    let since = since.parse::<Timestamp>().unwrap_or(now);
    human_duration((now.as_second() - since.as_second()).max(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn states_read_like_dockers() {
        let now: Timestamp = "2026-01-01T00:01:30Z".parse().unwrap();
        let at = "2026-01-01T00:00:00Z";
        assert_eq!(state(&json!({"running": {"startedAt": at}}), now), "Up 90s");
        assert_eq!(
            state(&json!({"terminated": {"exitCode": 3, "finishedAt": at}}), now),
            "Exited (3) 90s ago"
        );
        assert_eq!(state(&json!({"waiting": {"reason": "ErrImagePull"}}), now), "ErrImagePull");
        // A clock that was set back makes nobody younger than new.
        let later = "2026-01-01T00:09:00Z";
        assert_eq!(state(&json!({"running": {"startedAt": later}}), now), "Up 0s");
    }
}

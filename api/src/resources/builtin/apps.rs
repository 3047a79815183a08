//! The rows of `apps`.

use super::*;

const GROUP: &str = "apps";
const SCALE: (&str, &str, &str) = ("autoscaling", "v1", "Scale");

pub(super) fn rows() -> Vec<Resource> {
    use strategy::apps;
    vec![
        row(
            GROUP,
            "ControllerRevision",
            "controllerrevisions",
            "controllerrevision",
            apps::controller_revision::ControllerRevision,
        )
        .hash("85nkx63pcBU=")
        .schema("apps.v1.ControllerRevision")
        .printer(table::apps::CONTROLLER_REVISION),
        row(GROUP, "DaemonSet", "daemonsets", "daemonset", apps::daemon_set::DaemonSet)
            .short("ds")
            .category("all")
            .hash("dd7pWHUlMKQ=")
            .schema("apps.v1.DaemonSet")
            .printer(table::apps::DAEMON_SET)
            .sub("status", "DaemonSet", READ_WRITE),
        row(GROUP, "Deployment", "deployments", "deployment", apps::deployment::Deployment)
            .short("deploy")
            .category("all")
            .hash("8aSe+NMegvE=")
            .schema("apps.v1.Deployment")
            .printer(table::apps::DEPLOYMENT)
            .foreign_sub("scale", SCALE, READ_WRITE)
            .sub("status", "Deployment", READ_WRITE),
        row(GROUP, "ReplicaSet", "replicasets", "replicaset", apps::replica_set::ReplicaSet)
            .short("rs")
            .category("all")
            .hash("P1RzHs8/mWQ=")
            .schema("apps.v1.ReplicaSet")
            .printer(table::apps::REPLICA_SET)
            .foreign_sub("scale", SCALE, READ_WRITE)
            .sub("status", "ReplicaSet", READ_WRITE)
            .fields(&[("status.replicas", &["status.replicas"])]),
        row(GROUP, "StatefulSet", "statefulsets", "statefulset", apps::stateful_set::StatefulSet)
            .short("sts")
            .category("all")
            .hash("H+vl74LkKdo=")
            .schema("apps.v1.StatefulSet")
            .printer(table::apps::STATEFUL_SET)
            .foreign_sub("scale", SCALE, READ_WRITE)
            .sub("status", "StatefulSet", READ_WRITE),
    ]
}

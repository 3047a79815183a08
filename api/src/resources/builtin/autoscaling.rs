//! The rows of `autoscaling`: two versions of the same objects, stored as the newer one.

use super::*;

const GROUP: &str = "autoscaling";

pub(super) fn rows() -> Vec<Resource> {
    let autoscalers = |strategy: Arc<dyn Strategy>| {
        let mut row = row(
            GROUP,
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
            "horizontalpodautoscaler",
            strategy::autoscaling::V2,
        );
        row.strategy = strategy;
        row.short("hpa").category("all").hash("qwQve8ut294=").sub(
            "status",
            "HorizontalPodAutoscaler",
            READ_WRITE,
        )
    };
    vec![
        autoscalers(Arc::new(strategy::autoscaling::V2))
            .version("v2")
            .schema("autoscaling.v2.HorizontalPodAutoscaler")
            .printer(table::autoscaling::V2),
        autoscalers(Arc::new(strategy::autoscaling::V1))
            .stored_version("v2")
            .schema("autoscaling.v1.HorizontalPodAutoscaler")
            .printer(table::autoscaling::V1),
    ]
}

//! Prefers nodes that have the pod's images already.

use crate::cache::Cache;
use crate::framework::{Candidate, MAX_SCORE, Prepared, Score, ScoreState};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// Less than this in all is not worth a preference, in bytes.
const LITTLE: i64 = 23 * 1024 * 1024;
/// More than this per container is worth no more, in bytes.
const MUCH: i64 = 1000 * 1024 * 1024;

/// Score: bytes of the images a node has, each weighed with the share of the nodes that have it, so
/// that not all pods go where an image happened to be first.
#[derive(Debug)]
pub struct ImageLocality;

impl Score for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn pre_score<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
        _: &[Candidate<'a>],
    ) -> Prepared<Box<dyn ScoreState + 'a>> {
        let nodes = i64::try_from(cache.nodes().len()).unwrap_or(i64::MAX).max(1);
        let images: Vec<(&str, i64)> = pod
            .images
            .iter()
            .map(|name| (&**name, i64::try_from(cache.nodes_with_image(name)).unwrap_or(0)))
            .filter(|(_, have)| *have > 0)
            .collect();
        if images.is_empty() {
            return Prepared::Skip;
        }
        let containers = i64::try_from(pod.images.len()).unwrap_or(1);
        Prepared::State(Box::new(State { images, nodes, containers }))
    }
}

struct State<'a> {
    /// With the number of nodes that have it.
    images: Vec<(&'a str, i64)>,
    nodes: i64,
    containers: i64,
}

impl ScoreState for State<'_> {
    fn score(&self, _: &NodeInfo, offer: &Offer) -> i64 {
        let worth = |(name, have): &(&str, i64)| {
            let bytes = offer.images.get(*name).copied().unwrap_or(0);
            bytes.saturating_mul(*have) / self.nodes
        };
        let much = MUCH.saturating_mul(self.containers);
        let sum = self.images.iter().map(worth).sum::<i64>().clamp(LITTLE, much);
        MAX_SCORE * (sum - LITTLE) / (much - LITTLE)
    }

    fn normalize(&self, _: &[Candidate<'_>], _: &mut [i64]) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plugins::fixtures::{node, pod};
    use serde_json::json;

    #[test]
    fn large_images_draw_pods_by_the_share_of_nodes_that_have_them() {
        let mut cache = Cache::default();
        for (name, images) in [
            ("large", json!([{"names": ["r.io:5000/app:latest"], "sizeBytes": 2_048_000_000_i64}])),
            ("small", json!([{"names": ["r.io:5000/app:latest"], "sizeBytes": 1000}])),
            ("none", json!([])),
            ("other", json!([{"names": ["r.io:5000/app:v1"], "sizeBytes": 2_048_000_000_i64}])),
        ] {
            let offer = node(name, json!({"status": {"images": images}})).offer.unwrap();
            cache.set_node(&Arc::from(name), offer);
        }
        let scores = |image: &str| {
            let p = pod(json!({"containers": [{"name": "c", "image": image}]}));
            let Prepared::State(state) = ImageLocality.pre_score(&p, &cache, &[]) else {
                return None;
            };
            let score = |n: &NodeInfo| state.score(n, n.offer.as_ref().unwrap());
            Some(cache.nodes().iter().map(score).collect::<Vec<_>>())
        };
        // Half the nodes have it: 1,024,000,000 bytes count.
        assert_eq!(scores("r.io:5000/app"), Some(vec![97, 0, 0, 0]));
        assert_eq!(scores("r.io:5000/app:v1"), Some(vec![0, 0, 0, 47]));
        assert_eq!(scores("elsewhere"), None);
        cache.remove_node("other");
        assert_eq!(cache.nodes_with_image("r.io:5000/app:v1"), 0);
    }
}

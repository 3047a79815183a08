//! A pod that names its node goes there.

use crate::cache::Cache;
use crate::framework::{Change, Filter, FilterState, Prepared, Rejection};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// Refuses every node but the one in `spec.nodeName`.
#[derive(Debug)]
pub struct NodeName;

impl Filter for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        _: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        if pod.node_name.is_none() { Prepared::Skip } else { Prepared::Plain }
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, _: &Offer) -> Result<(), Rejection> {
        if pod.node_name.as_ref().is_none_or(|name| *name == node.name) {
            return Ok(());
        }
        Err(Rejection::unresolvable("node(s) didn't match the requested node name"))
    }

    fn helped_by(&self, change: Change) -> bool {
        change == Change::NodeAdded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::{node, pod};
    use serde_json::json;

    #[test]
    fn only_the_named_node_will_do() {
        for (spec, fits) in
            [(json!({}), true), (json!({"nodeName": "a"}), true), (json!({"nodeName": "b"}), false)]
        {
            let a = node("a", json!({}));
            let verdict = NodeName.filter(&pod(spec.clone()), &a, a.offer.as_ref().unwrap());
            assert_eq!(verdict.is_ok(), fits, "{spec}");
        }
    }
}

//! A ClusterRole with an `aggregationRule` has the rules of all ClusterRoles that its selectors
//! select: `admin`, `edit` and `view` are made that way.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles>.

use std::sync::Arc;

use api::selector::LabelSelector;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::Client;
use kube::api::{Api, PostParams};

use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request};

/// Name in logs.
pub(crate) const NAME: &str = "clusterrole-aggregation-controller";

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct ClusterRoleAggregation {
    client: Client,
    roles: Cache<ClusterRole>,
    queue: Arc<WorkQueue<Key>>,
}

impl ClusterRoleAggregation {
    /// Hooks into the informer; the queue is to be served with
    /// [`ClusterRoleAggregation::reconcile`].
    pub(crate) fn new(client: Client, roles: &mut Informer<ClusterRole>) -> Self {
        let this = Self { client, roles: roles.cache(), queue: Arc::new(WorkQueue::new()) };
        let (queue, cache) = (this.queue.clone(), this.roles.clone());
        // Whatever changed may be selected by any role that collects, or have been.
        roles.on_change(move |_, now| {
            if let Some(role) = now {
                queue.add(Key::of(&**role));
            }
            for role in cache.all().iter().filter(|role| role.aggregation_rule.is_some()) {
                queue.add(Key::of(&**role));
            }
        });
        this
    }

    /// The queue of roles to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Writes the rules that a role is to have.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(role) = self.roles.get(&key) else { return Ok(Next::OnChange) };
        let Some(rules) = plan(&role, &self.roles.all()) else { return Ok(Next::OnChange) };
        let mut updated = (*role).clone();
        updated.rules = Some(rules);
        let api: Api<ClusterRole> = Api::all(self.client.clone());
        let params = PostParams::default();
        let replaced = api.replace(&key.name, &params, &updated);
        match request("update", format!("cluster role {}", key.name), replaced).await {
            // The role has changed or gone; the watch tells of it.
            Err(error) if matches!(error.code(), Some(409 | 404)) => Ok(Next::OnChange),
            other => other.map(|_| Next::OnChange),
        }
    }
}

/// The rules that a role is to have; `None` if it has them, or collects none.
fn plan(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    let collects = role.aggregation_rule.as_ref()?;
    let mut selected: Vec<&Arc<ClusterRole>> = Vec::new();
    for selector in collects.cluster_role_selectors.iter().flatten() {
        let selector = serde_json::to_value(selector).ok()?;
        let selector = LabelSelector::from_object(&selector).ok()?;
        selected.extend(all.iter().filter(|other| {
            let labels = other.metadata.labels.as_ref();
            other.metadata.name != role.metadata.name
                && selector
                    .matches_with(|key| labels.and_then(|all| all.get(key)).map(String::as_str))
        }));
    }
    // In the same order whenever it is computed.
    selected.sort_by_key(|role| role.metadata.name.clone());
    let mut rules: Vec<PolicyRule> = Vec::new();
    for rule in selected.iter().flat_map(|role| role.rules.iter().flatten()) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    (role.rules.as_deref().unwrap_or_default() != rules).then_some(rules)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn role(name: &str, label: &str, resources: &[&str], collects: &str) -> Arc<ClusterRole> {
        let rule =
            |resource: &&str| json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource]});
        let rules: Vec<Value> = resources.iter().map(rule).collect();
        let mut role =
            json!({"metadata": {"name": name, "labels": {(label): "true"}}, "rules": rules});
        if !collects.is_empty() {
            let selector = json!({"matchLabels": {(collects): "true"}});
            role["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
        }
        Arc::new(serde_json::from_value(role).unwrap())
    }

    #[test]
    fn rules_are_collected_once_and_in_order() {
        for (view, others, want) in [
            (&[][..], vec![("a", "to-view", &["pods"][..])], Some("pods")),
            (
                &[],
                vec![("b", "to-view", &["maps"]), ("a", "to-view", &["pods"])],
                Some("pods maps"),
            ),
            (&[], vec![("a", "to-view", &["pods"]), ("b", "to-view", &["pods"])], Some("pods")),
            (&[], vec![("a", "other", &["pods"])], None),
            (&["pods"], vec![("a", "to-view", &["pods"])], None),
            (&["pods"], vec![], Some("")),
            (&["maps"], vec![("a", "to-view", &["pods"])], Some("pods")),
        ] {
            let view = role("view", "to-view", view, "to-view");
            let mut all: Vec<_> =
                others.iter().map(|(name, label, rules)| role(name, label, rules, "")).collect();
            all.push(view.clone());
            let planned = plan(&view, &all).map(|rules| {
                let names: Vec<_> =
                    rules.iter().flat_map(|r| r.resources.clone()).flatten().collect();
                names.join(" ")
            });
            assert_eq!(planned.as_deref(), want, "{others:?}");
            let plain = role("plain", "x", &[], "");
            assert_eq!(plan(&plain, &all), None);
        }
    }
}

//! GET of NodeMetrics and PodMetrics: what nodes and pods use, asked of the nodes' agents when it is read.
//!
//! Kubernetes leaves `metrics.k8s.io` to an add-on that asks every node every fifteen seconds, whether
//! anybody wants to know or not. This server asks when it is asked, and only the nodes that run what the
//! question is about, so that a cluster nobody looks at costs nothing ([`readings`]). Autoscalers ask every
//! fifteen seconds, and so have the same answers as with the add-on.
//!
//! | part | does |
//! |---|---|
//! | [`readings`] | asks agents, not more often than needed, and keeps two answers of each |
//! | [`history`] | pure: when to ask again, and the use between two answers |
//! | [`scrape`] | pure: reads an answer |
//!
//! Source: <https://github.com/kubernetes-sigs/metrics-server>, whose rules and words these are.

mod history;
mod readings;
mod scrape;

use std::collections::BTreeSet;
use std::sync::Arc;

use api::quantity::{Format, Quantity};
use api::resources::Resource;
use api::status::Status;
use api::{duration, meta};
use http::{StatusCode, header};
use jiff::{SignedDuration, Unit};
use serde_json::{Map, Value, json};

use self::history::Usage;
pub(crate) use self::readings::Readings;
use super::show::Shower;
use crate::cacher::{Cacher, Filter, Object};
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::options::ListOptions;
use crate::request::{Request, negotiate};
use crate::response::{Handled, json as answer};

const GROUP: &str = "metrics.k8s.io";

/// Whether objects of this row are measured here.
pub(crate) fn serves(resource: &Resource) -> bool {
    resource.group == GROUP
}

/// One of them.
pub(crate) async fn get(context: &Context, target: &Target, request: &Request) -> Handled {
    let accept = request.header(header::ACCEPT);
    let form = negotiate::accepted(accept, target.has_protobuf())?.form;
    context.freshness.consistent().await?;
    let subject = context.core(&target.resource.plural).get(&target.key());
    let shown = measure(context, target, Vec::from_iter(subject)).await.pop();
    let missing = || Status::not_found(&target.resource.group_resource(), &target.key());
    let mut shown = shown.ok_or_else(missing)?;
    let shown = match Shower::new(target, form)? {
        Some(shower) if matches!(form, negotiate::Form::Table(_)) => {
            shower.values(&[shown], json!({}))
        }
        Some(shower) => shower.partial(&shown),
        None => {
            shown["kind"] = (&*target.resource.kind).into();
            shown["apiVersion"] = target.resource.api_version().into();
            shown
        }
    };
    Ok(answer(StatusCode::OK, &shown))
}

/// Those that the request selects, in order of namespace and name.
pub(crate) async fn list(context: &Context, target: &Target, request: &Request) -> Handled {
    let accept = request.header(header::ACCEPT);
    let form = negotiate::accepted(accept, target.has_protobuf())?.form;
    let options = ListOptions::parse(&target.query)?;
    if options.watch {
        return Err(Status::method_not_allowed());
    }
    // Metrics have the name and the labels of what they are about, and no other fields.
    let filter = Filter::parse(&target.resource, &options.labels, &options.fields)?;
    context.freshness.consistent().await?;
    let snapshot = context.core(&target.resource.plural).now();
    let prefix = match &*target.namespace {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    };
    let subjects = snapshot.objects.from(&prefix);
    let subjects = subjects.take_while(|object| object.key().starts_with(&prefix));
    let subjects = subjects.filter(|object| filter.matches(object)).cloned().collect();
    let all = measure(context, target, subjects).await;
    let shown = match Shower::new(target, form)? {
        Some(shower) => shower.values(&all, json!({})),
        None => json!({
            "kind": target.resource.list_kind(), "apiVersion": target.resource.api_version(),
            "metadata": {}, "items": all,
        }),
    };
    Ok(answer(StatusCode::OK, &shown))
}

/// The metrics of nodes or pods, without kind. Those of which nothing is known are left out.
async fn measure(context: &Context, target: &Target, subjects: Vec<Arc<Object>>) -> Vec<Value> {
    let pods = target.resource.namespaced();
    let node = NodeOf::new(context.core("pods"));
    let subjects: Vec<_> = subjects
        .into_iter()
        .filter_map(|object| {
            let node = if pods { node.running(&object)? } else { object.name() };
            Some((node.to_owned(), object))
        })
        .collect();
    let nodes: BTreeSet<String> = subjects.iter().map(|(node, _)| node.clone()).collect();
    let readings = context.metrics.of(context, nodes).await;
    subjects
        .iter()
        .filter_map(|(node, object)| {
            let reading = readings.get(node)?;
            if pods {
                pod_metrics(object, reading.pods.get(object.key())?)
            } else {
                Some(node_metrics(object, reading.node.as_ref()?))
            }
        })
        .collect()
}

/// Where pods say on which node they run.
struct NodeOf {
    node: usize,
    phase: usize,
}

impl NodeOf {
    fn new(pods: &Cacher) -> Self {
        let fields = &pods.resource().selectable_fields;
        let at = |name: &str| fields.iter().position(|field| field.name == name);
        let known = "pods can be selected by node and phase";
        Self { node: at("spec.nodeName").expect(known), phase: at("status.phase").expect(known) }
    }

    fn running<'a>(&self, pod: &'a Object) -> Option<&'a str> {
        (pod.field(self.phase) == "Running").then(|| pod.field(self.node))
    }
}

fn node_metrics(node: &Object, usage: &Usage) -> Value {
    let mut shown = shown(node, usage);
    shown["usage"] = amounts(usage);
    shown
}

/// Containers in order of name. The time is that of the one that was measured first.
fn pod_metrics(pod: &Object, containers: &[(String, Usage)]) -> Option<Value> {
    let first = containers.iter().map(|(_, usage)| usage).min_by_key(|usage| usage.at)?;
    let mut shown = shown(pod, first);
    let entry = |(name, usage): &(String, Usage)| json!({"name": name, "usage": amounts(usage)});
    shown["containers"] = containers.iter().map(entry).collect();
    Some(shown)
}

fn shown(object: &Object, usage: &Usage) -> Value {
    let labels: Map<String, Value> =
        object.labels().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let mut metadata = json!({"name": object.name(), "creationTimestamp": meta::time(now())});
    if !object.namespace().is_empty() {
        metadata["namespace"] = object.namespace().into();
    }
    if !labels.is_empty() {
        metadata["labels"] = labels.into();
    }
    let window = usage.window.round(Unit::Millisecond).unwrap_or(SignedDuration::ZERO);
    json!({"metadata": metadata, "timestamp": meta::time(usage.at),
        "window": duration::format(window)})
}

fn amounts(usage: &Usage) -> Value {
    // Billionths of a core make a quantity, whatever their number.
    let cpu: Quantity = format!("{}n", usage.nano_cores).parse().unwrap_or(Quantity::ZERO);
    let bytes = i64::try_from(usage.memory_bytes).unwrap_or(i64::MAX);
    let memory = Quantity::from_value(bytes, Format::BinarySi);
    json!({"cpu": cpu.to_string(), "memory": memory.to_string()})
}

//! Reads metrics where they are served: `metrics.k8s.io` (CPU and memory of pods),
//! `custom.metrics.k8s.io` (of pods and other objects) and `external.metrics.k8s.io`.
//!
//! Each is an API of its own, served by whoever registers an APIService for it.

use api::quantity::Quantity;
use api::selector::LabelSelector;
use client::percent_encoded;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, MetricIdentifier};
use kube::Client;
use serde_json::{Value, json};

use super::replicas::{Sample, Samples};
use crate::reconcile::request;
use crate::scale_target::{self, Target};

/// The window of a sample that does not tell its own.
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Reads metrics in one namespace.
pub(super) struct Metrics<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
}

/// Why a metric could not be read, in Kubernetes' words.
type Failure = String;

impl Metrics<'_> {
    /// A resource of the pods, or of one container of each.
    pub(super) async fn resource(
        &self,
        name: &str,
        selector: &LabelSelector,
        container: Option<&str>,
    ) -> Result<Samples, Failure> {
        let path = format!(
            "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector={}",
            self.namespace,
            percent_encoded(&selector.to_string())
        );
        let list = self.get(&path, "pods.metrics.k8s.io").await.map_err(|error| {
            format!(
                "unable to get metrics for resource {name}: unable to fetch metrics from resource \
                 metrics API: {error}"
            )
        })?;
        let samples = pod_samples(&list, name, container);
        if samples.is_empty() {
            return Err(format!(
                "unable to get metrics for resource {name}: no metrics returned from resource \
                 metrics API"
            ));
        }
        Ok(samples)
    }

    /// A metric of each pod.
    pub(super) async fn pods(
        &self,
        metric: &MetricIdentifier,
        selector: &LabelSelector,
    ) -> Result<Samples, Failure> {
        let path = format!("pods/*/{}", metric.name);
        let list = self.custom(&path, metric, Some(selector)).await?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let samples: Samples = items
            .iter()
            .filter_map(|item| {
                let name = item["describedObject"]["name"].as_str()?.to_owned();
                let seconds = item["windowSeconds"].as_i64().map(SignedDuration::from_secs);
                let (value, at) = (milli(&item["value"])?, time(&item["timestamp"])?);
                Some((name, Sample { value, at, window: seconds.unwrap_or(WINDOW) }))
            })
            .collect();
        if samples.is_empty() {
            return Err(format!(
                "unable to get metric {}: no metrics returned from custom metrics API",
                metric.name
            ));
        }
        Ok(samples)
    }

    /// A metric of another object, thousandths.
    pub(super) async fn object(
        &self,
        metric: &MetricIdentifier,
        of: &CrossVersionObjectReference,
    ) -> Result<i64, Failure> {
        let version = of.api_version.as_deref().unwrap_or_default();
        let resource = match scale_target::find(self.client, version, &of.kind).await {
            Ok(Target::Scales(resource)) if resource.group.is_empty() => resource.plural,
            Ok(Target::Scales(resource)) => format!("{}.{}", resource.plural, resource.group),
            Ok(Target::Fixed(name)) => name,
            Ok(Target::Unknown) => return Err(format!("no matches for kind {:?}", of.kind)),
            Err(error) => return Err(error.message()),
        };
        let path = format!("{resource}/{}/{}", of.name, metric.name);
        let list = self.custom(&path, metric, None).await?;
        milli(&list["items"][0]["value"]).ok_or_else(|| {
            format!(
                "unable to get metric {}: it has no value for {} {}",
                metric.name, of.kind, of.name
            )
        })
    }

    async fn custom(
        &self,
        path: &str,
        metric: &MetricIdentifier,
        selector: Option<&LabelSelector>,
    ) -> Result<Value, Failure> {
        let mut url = format!(
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/{path}?metricLabelSelector={}",
            self.namespace,
            percent_encoded(&labels(metric))
        );
        if let Some(selector) = selector {
            url = format!("{url}&labelSelector={}", percent_encoded(&selector.to_string()));
        }
        self.get(&url, "custom.metrics.k8s.io").await.map_err(|error| {
            format!(
                "unable to get metric {}: unable to fetch metrics from custom metrics API: {error}",
                metric.name
            )
        })
    }

    /// The sum of a metric from outside the cluster, thousandths.
    pub(super) async fn external(&self, metric: &MetricIdentifier) -> Result<i64, Failure> {
        let (namespace, name) = (self.namespace, &metric.name);
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{name}?labelSelector={}",
            percent_encoded(&labels(metric))
        );
        let resource = format!("{name}.external.metrics.k8s.io");
        let fetched = self.get(&path, &resource).await;
        let list = fetched.map_err(|error| {
            format!(
                "unable to get external metric {namespace}/{name}: unable to fetch metrics from \
                 external metrics API: {error}"
            )
        })?;
        let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            return Err(format!(
                "unable to get external metric {namespace}/{name}: no metrics returned from \
                 external metrics API"
            ));
        }
        Ok(items.iter().filter_map(|item| milli(&item["value"])).sum())
    }

    async fn get(&self, path: &str, resource: &str) -> Result<Value, Failure> {
        let get = http::Request::get(path).body(Vec::new());
        let get = get.map_err(|error| format!("{path} is no path: {error}"))?;
        let answer = request("get", resource, self.client.request::<Value>(get)).await;
        answer.map_err(|error| match error.code() {
            Some(404) => {
                format!("the server could not find the requested resource (get {resource})")
            }
            _ => error.message(),
        })
    }
}

/// The pods' usage of one resource.
fn pod_samples(list: &Value, resource: &str, container: Option<&str>) -> Samples {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sample = |item: &Value| {
        let containers = item["containers"].as_array()?;
        let meant = containers.iter().filter(|c| container.is_none_or(|only| c["name"] == only));
        // A pod of which one container was not measured was not measured.
        let values: Option<Vec<i64>> = meant.map(|c| milli(&c["usage"][resource])).collect();
        let window = item["window"].as_str().and_then(|text| text.parse().ok()).unwrap_or(WINDOW);
        let (values, at) = (values.filter(|all| !all.is_empty())?, time(&item["timestamp"])?);
        let name = item["metadata"]["name"].as_str()?.to_owned();
        Some((name, Sample { value: values.iter().sum(), at, window }))
    };
    items.iter().filter_map(sample).collect()
}

fn milli(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<Quantity>().ok().map(Quantity::milli_value)
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn labels(metric: &MetricIdentifier) -> String {
    let selector = metric.selector.as_ref().map(|selector| json!(selector));
    let selector = selector.and_then(|selector| LabelSelector::from_object(&selector).ok());
    selector.map(|selector| selector.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_of_pods_is_added_up() {
        let list = json!({"items": [
            {"metadata": {"name": "a"}, "timestamp": "2026-01-01T00:00:00Z", "window": "30s",
                "containers": [{"name": "c", "usage": {"cpu": "100m"}},
                    {"name": "d", "usage": {"cpu": "1500000n"}}]},
            {"metadata": {"name": "half"}, "timestamp": "2026-01-01T00:00:00Z", "window": "30s",
                "containers": [{"name": "c", "usage": {"cpu": "100m"}}, {"name": "d", "usage": {}}]}]});
        let all = pod_samples(&list, "cpu", None);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!((all["a"].value, all["a"].window), (102, SignedDuration::from_secs(30)));
        let one = pod_samples(&list, "cpu", Some("c"));
        assert_eq!(one.values().map(|sample| sample.value).collect::<Vec<_>>(), [100, 100]);
        assert!(pod_samples(&list, "memory", None).is_empty());
    }

    #[test]
    fn selectors_go_into_queries() {
        assert_eq!(percent_encoded("a=b,c in (d,e)"), "a%3Db%2Cc%20in%20%28d%2Ce%29");
    }
}

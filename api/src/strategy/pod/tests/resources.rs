//! Requests, limits, claims and resize policies.

use serde_json::{Value, json};

use super::{assert_errors, container, errors_of};

fn resources(limits: Value, requests: Value) -> Value {
    container(json!({"resources": {"limits": limits, "requests": requests}}))
}

#[test]
fn what_cannot_be_shared_is_promised_as_it_is_limited() {
    const AT: &str = "spec.containers[0].resources";
    let at = |rest: &str| format!("{AT}.{rest}");
    let gpu = at("requests: Invalid value: \"1\": must be equal to x.io/gpu limit of 2");
    let no_limit = at("limits: Required value: Limit must be set for non overcommitable resources");
    let part = at("limits[x.io/gpu]: Invalid value: \"1500m\": must be an integer");
    let part_of = at("requests[x.io/gpu]: Invalid value: \"1500m\": must be an integer");
    let alone = format!("{AT}: Forbidden: HugePages require cpu or memory");
    let odd = "3Mi is not positive integer multiple of hugepages-2Mi";
    let odd_limit = at(&format!("limits[hugepages-2Mi]: Invalid value: \"3Mi\": {odd}"));
    let odd_request = at(&format!("requests[hugepages-2Mi]: Invalid value: \"3Mi\": {odd}"));
    let size = "1 is not positive integer multiple of hugepages-big";
    let bad_limit = at(&format!("limits[hugepages-big]: Invalid value: \"1\": {size}"));
    let bad_request = at(&format!("requests[hugepages-big]: Invalid value: \"1\": {size}"));
    let more = at("requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1");
    let standard = at(
        "limits[requests.x.io/gpu]: Invalid value: \"requests.x.io/gpu\": doesn't follow extended resource name standard",
    );
    let standard_request = standard.replace("limits[", "requests[");
    assert_errors(&[
        (resources(json!({"x.io/gpu": "2"}), json!({"x.io/gpu": "2"})), &[]),
        (resources(json!({"x.io/gpu": "2"}), json!({"x.io/gpu": "1"})), &[&gpu]),
        (resources(json!({}), json!({"x.io/gpu": "1"})), &[&no_limit]),
        (resources(json!({"x.io/gpu": "1500m"}), json!({})), &[&part, &part_of]),
        (resources(json!({"kubernetes.io/x": "2"}), json!({"kubernetes.io/x": "1"})), &[]),
        (resources(json!({"hugepages-2Mi": "4Mi", "cpu": "1"}), json!({})), &[]),
        (resources(json!({"hugepages-2Mi": "4Mi"}), json!({})), &[&alone]),
        (
            resources(json!({"hugepages-2Mi": "3Mi", "cpu": "1"}), json!({})),
            &[&odd_limit, &odd_request],
        ),
        (resources(json!({"cpu": "1"}), json!({"hugepages-2Mi": "2Mi"})), &[&no_limit]),
        (
            resources(json!({"hugepages-big": "1", "cpu": "1"}), json!({})),
            &[&bad_limit, &bad_request],
        ),
        (resources(json!({"cpu": "1"}), json!({"cpu": "2"})), &[&more]),
        (resources(json!({"requests.x.io/gpu": "1"}), json!({})), &[&standard, &standard_request]),
    ]);
}

#[test]
fn a_pod_as_a_whole_holds_its_containers() {
    let with = |of_pod: Value, of_container: Value| {
        let mut spec = container(json!({"resources": of_container}));
        spec["resources"] = of_pod;
        spec
    };
    let cpu = |which: &str, amount: &str| json!({which: {"cpu": amount}});
    assert_errors(&[
        (with(cpu("requests", "2"), cpu("requests", "1")), &[]),
        (
            with(cpu("requests", "1"), cpu("requests", "2")),
            &[
                "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
            ],
        ),
        (
            with(cpu("limits", "1"), json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}})),
            &[
                "spec.resources.containers[0][cpu].limits: Invalid value: \"2\": must be less than or equal to pod limits of 1",
            ],
        ),
        (
            with(json!({"limits": {"ephemeral-storage": "1Gi"}}), json!({})),
            &[
                "spec.resources.limits[ephemeral-storage]: Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"hugepages-\", \"memory\"",
            ],
        ),
        (
            with(json!({"claims": [{"name": "a"}]}), json!({})),
            &["spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level"],
        ),
    ]);
    let mut windows = with(cpu("limits", "1"), json!({}));
    windows["os"] = json!({"name": "windows"});
    assert_errors(&[(windows, &["spec.resources: Forbidden: may not be set for a windows pod"])]);
}

#[test]
fn claims_are_named_where_they_are_used() {
    let with = |claims: Value, used: Value| {
        let mut spec = container(json!({"resources": {"claims": used}}));
        spec["resourceClaims"] = claims;
        spec
    };
    let a = json!([{"name": "a", "resourceClaimName": "x"}]);
    let at = "spec.containers[0].resources.claims";
    let unknown = format!(
        "{at}[0]: Not found: \"b\": must be one of the names in pod.spec.resourceClaims: a"
    );
    let none = format!(
        "{at}[0]: Not found: \"b\": must be one of the names in pod.spec.resourceClaims which is empty"
    );
    let twice = format!("{at}[1]: Duplicate value: \"a\"");
    let request = format!("{at}[1]: Duplicate value: \"a/r\"");
    assert_errors(&[
        (with(a.clone(), json!([{"name": "a"}])), &[]),
        (
            with(a.clone(), json!([{"name": "a", "request": "r"}, {"name": "a", "request": "s"}])),
            &[],
        ),
        (with(a.clone(), json!([{"name": "b"}])), &[&unknown]),
        (with(json!([]), json!([{"name": "b"}])), &[&none]),
        (with(a.clone(), json!([{"name": "a", "request": "r"}, {"name": "a"}])), &[&twice]),
        (
            with(a, json!([{"name": "a", "request": "r"}, {"name": "a", "request": "r"}])),
            &[&request],
        ),
        (
            json!({"resourceClaims": [{"name": "a"}]}),
            &[
                "spec.resourceClaims[0]: Invalid value: {\"Name\":\"a\",\"ResourceClaimName\":null,\"ResourceClaimTemplateName\":null}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ],
        ),
        (
            json!({"resourceClaims": [{"name": "a", "resourceClaimName": "x"}, {"name": "a", "resourceClaimTemplateName": "X"}]}),
            &[
                "spec.resourceClaims[1].name: Duplicate value: \"a\"",
                "spec.resourceClaims[1].resourceClaimTemplateName: Invalid value: \"X\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        ),
    ]);
}

#[test]
fn resizing_follows_few_policies() {
    let policies = |policies: Value| container(json!({"resizePolicy": policies}));
    let policy =
        |resource: &str, restart: &str| json!({"resourceName": resource, "restartPolicy": restart});
    let at = "spec.containers[0].resizePolicy";
    let twice = format!("{at}[1]: Duplicate value: \"cpu\"");
    let storage = format!(
        "{at}: Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"memory\""
    );
    let maybe = format!(
        "{at}: Unsupported value: \"Maybe\": supported values: \"NotRequired\", \"RestartContainer\""
    );
    let never = format!(
        "{at}: Invalid value: \"RestartContainer\": must be 'NotRequired' when pod `restartPolicy` is 'Never'"
    );
    let mut ended = policies(json!([policy("cpu", "RestartContainer")]));
    assert_eq!(errors_of(&ended), Vec::<String>::new());
    ended["restartPolicy"] = "Never".into();
    assert_errors(&[
        (ended, &[&never]),
        (policies(json!([policy("cpu", "NotRequired"), policy("cpu", "NotRequired")])), &[&twice]),
        (policies(json!([policy("ephemeral-storage", "NotRequired")])), &[&storage]),
        (policies(json!([policy("cpu", "Maybe")])), &[&maybe]),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "resizePolicy": [policy("cpu", "RestartContainer")]}]}),
            &[
                "spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must not be set to 'RestartContainer' for non-sidecar initContainers",
            ],
        ),
    ]);
}

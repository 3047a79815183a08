//! Rows of Ingresses, network policies and service networks.

use super::*;
use crate::selector::LabelSelector;

/// Hosts shown before the rest is counted.
const SHOWN: usize = 3;

pub(crate) const INGRESS: Printer = Printer::new("Ingress", |object, now| {
    let class = text(object, "/spec/ingressClassName");
    let secure = object["spec"]["tls"].as_array().is_some_and(|tls| !tls.is_empty());
    vec![
        name(object),
        or(class, "<none>").into(),
        hosts(&object["spec"]["rules"]).into(),
        addresses(&object["status"]["loadBalancer"]).into(),
        if secure { "80, 443" } else { "80" }.into(),
        age(object, now),
    ]
});

fn hosts(rules: &Value) -> String {
    let rules = rules.as_array().map(Vec::as_slice).unwrap_or_default();
    let named = rules.iter().filter_map(|rule| rule["host"].as_str()).filter(|h| !h.is_empty());
    let shown: Vec<&str> = named.take(SHOWN).collect();
    match shown.len() {
        0 => "*".to_owned(),
        // Rules without a host count too, as in kubectl.
        SHOWN if rules.len() > SHOWN => {
            format!("{} + {} more...", shown.join(","), rules.len() - SHOWN)
        }
        _ => shown.join(","),
    }
}

/// The addresses that a load balancer reported, sorted.
fn addresses(status: &Value) -> String {
    let ingress = status["ingress"].as_array().into_iter().flatten();
    let mut all: Vec<&str> = ingress
        .map(|i| or(text(i, "/ip"), text(i, "/hostname")))
        .filter(|text| !text.is_empty())
        .collect();
    all.sort_unstable();
    all.dedup();
    all.join(",")
}

pub(crate) const INGRESS_CLASS: Printer = Printer::new("IngressClass", |object, now| {
    let parameters = &object["spec"]["parameters"];
    let shown = if parameters.is_null() {
        "<none>".to_owned()
    } else {
        let (kind, group) = (text(parameters, "/kind"), text(parameters, "/apiGroup"));
        let dot = if group.is_empty() { "" } else { "." };
        format!("{kind}{dot}{group}/{}", text(parameters, "/name"))
    };
    vec![name(object), cell(object, "/spec/controller"), shown.into(), age(object, now)]
});

pub(crate) const IP_ADDRESS: Printer = Printer::new("IPAddress", |object, _| {
    let parent = &object["spec"]["parentRef"];
    let shown = if parent.is_null() {
        "<none>".to_owned()
    } else {
        let (resource, group) = (text(parent, "/resource"), text(parent, "/group"));
        let dot = if group.is_empty() { "" } else { "." };
        let namespace = text(parent, "/namespace");
        let slash = if namespace.is_empty() { "" } else { "/" };
        format!("{resource}{dot}{group}{slash}{namespace}/{}", text(parent, "/name")).to_lowercase()
    };
    vec![name(object), shown.into()]
});

pub(crate) const NETWORK_POLICY: Printer = Printer::new("NetworkPolicy", |object, now| {
    let selector = match LabelSelector::from_object(&object["spec"]["podSelector"]) {
        Ok(selector) => selector.to_string(),
        Err(_) => "<error>".to_owned(),
    };
    vec![name(object), or(&selector, "<none>").into(), age(object, now)]
});

pub(crate) const SERVICE_CIDR: Printer = Printer::new("ServiceCIDR", |object, now| {
    let cidrs = object["spec"]["cidrs"].as_array().into_iter().flatten();
    let cidrs: Vec<&str> = cidrs.filter_map(Value::as_str).collect();
    vec![name(object), cidrs.join(",").into(), age(object, now)]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses() {
        let rules = |hosts: &[&str]| hosts.iter().map(|h| json!({"host": h})).collect::<Value>();
        for (rules, want) in [
            (rules(&[]), "*"),
            (rules(&["", ""]), "*"),
            (rules(&["a", "", "b"]), "a,b"),
            (rules(&["a", "b", "c"]), "a,b,c"),
            (rules(&["a", "b", "c", "d", "e"]), "a,b,c + 2 more..."),
        ] {
            assert_eq!(hosts(&rules), want, "{rules}");
        }
        let status =
            json!({"ingress": [{"hostname": "b"}, {"ip": "1.2.3.4"}, {"ip": "1.2.3.4"}, {}]});
        assert_eq!(addresses(&status), "1.2.3.4,b");
    }
}

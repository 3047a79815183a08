//! ServiceCIDR: a range of addresses for Services.
//!
//! Source: k8s.io/kubernetes/pkg/apis/networking/validation.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::parse_cidr;
use crate::field::{Errors, FieldError, Path};
use crate::strategy::{Strategy, set_default};

const IMMUTABLE: &str = "field is immutable";

#[derive(Debug)]
pub(crate) struct ServiceCidr;

impl Strategy for ServiceCidr {
    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(object, "status", json!({}));
    }

    fn first_status(&self) -> Option<Value> {
        Some(json!({}))
    }

    fn status_is_alone(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> Errors {
        let spec = &object["spec"];
        let path = path();
        let cidrs = cidrs(object);
        match cidrs.len() {
            0 => return vec![FieldError::required(&path, "at least one CIDR required")],
            1 | 2 => {}
            _ => {
                let detail = "may only hold up to 2 values";
                return vec![FieldError::invalid(&path, spec.clone(), detail)];
            }
        }
        let mut errors = Errors::new();
        let mut networks = Vec::new();
        for (n, text) in cidrs.iter().enumerate() {
            let path = path.index(n);
            match parse_cidr(text, &path) {
                Err(error) => errors.push(error),
                Ok(network) => {
                    errors.extend(not_canonical(network, text, &path));
                    networks.push(network);
                }
            }
        }
        if let [a, b] = networks[..]
            && a.addr().is_ipv4() == b.addr().is_ipv4()
        {
            let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
            errors.push(FieldError::invalid(&path, spec["cidrs"].clone(), detail));
        }
        errors
    }

    /// A range stays; one of the other family may be added.
    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let (had, has, path) = (cidrs(old), cidrs(new), path());
        let changed = |n: usize| FieldError::invalid(&path.index(n), has[n], IMMUTABLE);
        match (had.len(), has.len()) {
            (a, b) if a == b => (0..a).filter(|&n| had[n] != has[n]).map(changed).collect(),
            (1, 2) => {
                let mut errors: Errors =
                    (0..1).filter(|&n| had[n] != has[n]).map(changed).collect();
                errors.extend(self.validate(new));
                errors
            }
            _ => {
                vec![FieldError::invalid(&path, new["spec"]["cidrs"].clone(), IMMUTABLE)]
            }
        }
    }
}

fn path() -> Path {
    Path::new("spec").child("cidrs")
}

fn cidrs(object: &Value) -> Vec<&str> {
    object["spec"]["cidrs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// One network has one spelling.
fn not_canonical(network: IpNet, text: &str, path: &Path) -> Option<FieldError> {
    if network.trunc() != network {
        let detail = "must not have bits set beyond the prefix length";
        return Some(FieldError::invalid(path, text, detail));
    }
    let detail = format!("must be in canonical form (\"{network}\")");
    (network.to_string() != text).then(|| FieldError::invalid(path, text, &detail))
}

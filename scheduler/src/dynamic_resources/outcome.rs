//! The devices that were found for a claim, as the API has it. Pure.

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::api::resource::v1::{
    AllocationResult, DeviceAllocationConfiguration, DeviceAllocationResult,
    DeviceRequestAllocationResult, OpaqueDeviceConfiguration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::allocate::{Chosen, Solution};
use super::requests::Wanted;

/// The allocation of a claim.
pub(crate) fn allocation(solution: &Solution<'_>) -> AllocationResult {
    let results = solution.chosen.iter().map(|chosen| {
        let (wanted, id) = (wanted(solution, chosen), chosen.id());
        DeviceRequestAllocationResult {
            request: wanted.name(),
            driver: id.driver.to_string(),
            pool: id.pool.to_string(),
            device: id.device.to_string(),
            admin_access: wanted.admin.then_some(true),
            tolerations: (!wanted.tolerations.is_empty()).then(|| wanted.tolerations.to_vec()),
            ..DeviceRequestAllocationResult::default()
        }
    });
    let config = configuration(solution);
    AllocationResult {
        allocation_timestamp: None::<Time>,
        devices: Some(DeviceAllocationResult {
            results: Some(results.collect()),
            config: (!config.is_empty()).then_some(config),
        }),
        node_selector: nodes(&solution.chosen),
    }
}

fn wanted<'s>(solution: &'s Solution<'_>, chosen: &Chosen) -> &'s Wanted<'s> {
    &solution.wanted[chosen.request][chosen.alternative]
}

/// What drivers are told: the parameters of each class once, then those of the claim. One that is for all
/// requests names none.
fn configuration(solution: &Solution<'_>) -> Vec<DeviceAllocationConfiguration> {
    let mut all: Vec<DeviceAllocationConfiguration> = Vec::new();
    let mut classes: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    // A request that got devices, by the alternative that did.
    let picked: Vec<Option<&Wanted<'_>>> = (0..solution.wanted.len())
        .map(|request| {
            let chosen = solution.chosen.iter().find(|chosen| chosen.request == request)?;
            Some(wanted(solution, chosen))
        })
        .collect();
    let entry =
        |source: &str, requests: Vec<String>, opaque: &Option<OpaqueDeviceConfiguration>| {
            DeviceAllocationConfiguration {
                source: source.to_owned(),
                requests: Some(requests),
                opaque: opaque.clone(),
            }
        };
    for wanted in picked.iter().flatten() {
        let class = wanted.class.name_any();
        if let Some((_, known)) = classes.iter().find(|(name, _)| *name == class) {
            for config in &mut all[known.clone()] {
                config.requests.get_or_insert_default().push(wanted.name());
            }
            continue;
        }
        let from = all.len();
        let configs = wanted.class.spec.config.iter().flatten();
        all.extend(configs.map(|it| entry("FromClass", vec![wanted.name()], &it.opaque)));
        classes.push((class, from..all.len()));
    }
    let own =
        solution.claim.spec.devices.iter().flat_map(|devices| devices.config.iter().flatten());
    for config in own {
        let requests = config.requests.clone().unwrap_or_default();
        let concerned = |wanted: &&Wanted<'_>| wanted.is_among(&requests);
        let times = if requests.is_empty() {
            1
        } else {
            picked.iter().flatten().copied().filter(concerned).count()
        };
        all.extend((0..times).map(|_| entry("FromClaim", requests.clone(), &config.opaque)));
    }
    for config in &mut all {
        let named = config.requests.as_ref().map_or(0, Vec::len);
        if named == 0 || named == solution.wanted.len() {
            config.requests = None;
        }
    }
    all
}

/// The nodes from which all devices are reached; none if from everywhere.
fn nodes(chosen: &[Chosen]) -> Option<NodeSelector> {
    let mut term = NodeSelectorTerm::default();
    let extend = |to: &mut Option<Vec<NodeSelectorRequirement>>,
                  from: &Option<Vec<NodeSelectorRequirement>>| {
        for requirement in from.iter().flatten() {
            let all = to.get_or_insert_default();
            if !all.contains(requirement) {
                all.push(requirement.clone());
            }
        }
    };
    for chosen in chosen {
        let spec = &chosen.slice.spec;
        let (name, selector) = if spec.per_device_node_selection == Some(true) {
            let device = spec.devices.as_ref().and_then(|devices| devices.get(chosen.device));
            device.map_or((None, None), |d| (d.node_name.as_ref(), d.node_selector.as_ref()))
        } else {
            (spec.node_name.as_ref(), spec.node_selector.as_ref())
        };
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            // One device of one node: that is where they all are.
            let only = NodeSelectorRequirement {
                key: "metadata.name".to_owned(),
                operator: "In".to_owned(),
                values: Some(vec![name.clone()]),
            };
            let term = NodeSelectorTerm { match_fields: Some(vec![only]), match_expressions: None };
            return Some(NodeSelector { node_selector_terms: vec![term] });
        }
        if let Some(given) = selector.and_then(|selector| selector.node_selector_terms.first()) {
            extend(&mut term.match_fields, &given.match_fields);
            extend(&mut term.match_expressions, &given.match_expressions);
        }
    }
    let empty = term.match_fields.is_none() && term.match_expressions.is_none();
    (!empty).then(|| NodeSelector { node_selector_terms: vec![term] })
}

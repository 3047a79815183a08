//! Capabilities and seccomp: what the container's process may ask of the kernel.

use std::collections::HashSet;
use std::str::FromStr;

use caps::{CapSet, Capability, CapsHashSet};

use super::LaunchError;
use super::plan::Filter;

/// Keeps `keep` in the bounding, permitted and effective sets and empties the other two.
///
/// A capability that this host does not have itself (a nested host lacks some) is left out: nothing can
/// hand down what it does not have.
pub(super) fn limit_capabilities(keep: &[String]) -> Result<(), LaunchError> {
    let failed = |what: &'static str, e: caps::errors::CapsError| {
        LaunchError::step(what, "capabilities", std::io::Error::other(e.to_string()))
    };
    let wanted: HashSet<Capability> = keep
        .iter()
        .map(|name| Capability::from_str(name).map_err(|e| failed("name", e)))
        .collect::<Result<_, _>>()?;
    let permitted = caps::read(None, CapSet::Permitted).map_err(|e| failed("read", e))?;
    let bounding = caps::read(None, CapSet::Bounding).map_err(|e| failed("read", e))?;
    // Becoming another user emptied the effective set, and dropping needs it.
    caps::set(None, CapSet::Effective, &permitted).map_err(|e| failed("raise", e))?;
    if permitted.contains(&Capability::CAP_SETPCAP) {
        for capability in bounding.difference(&wanted) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(|e| failed("drop", e))?;
        }
    }
    let kept: CapsHashSet = wanted.intersection(&permitted).copied().collect();
    caps::clear(None, CapSet::Ambient).map_err(|e| failed("clear ambient", e))?;
    caps::clear(None, CapSet::Inheritable).map_err(|e| failed("clear inheritable", e))?;
    // Effective must stay within permitted: shrink it first, set it last.
    caps::clear(None, CapSet::Effective).map_err(|e| failed("clear effective", e))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(|e| failed("set permitted", e))?;
    caps::set(None, CapSet::Effective, &kept).map_err(|e| failed("set effective", e))
}

/// Installs a seccomp filter.
pub(super) fn install(filter: &Filter) -> Result<(), LaunchError> {
    let failed = |e: std::io::Error| LaunchError::step("install", "the seccomp filter", e);
    let programs = crate::seccomp::programs(filter)
        .map_err(|e| failed(std::io::Error::other(e.to_string())))?;
    programs.iter().try_for_each(|program| crate::sys::install_filter(program)).map_err(failed)
}

//! Which system calls a container may make.
//!
//! Two profiles. [`Filter::NativeDefault`] has the semantics of moby's default profile: an allowlist of
//! what programs need, `EPERM` for the rest, and more for the capabilities that a container was given:
//! namespaces and mounts with CAP_SYS_ADMIN, setting the clock with CAP_SYS_TIME.
//! [`Filter::WasmHost`] is a short allowlist for the Wasm host after it has isolated itself: a second
//! wall behind the engine's sandbox.
//!
//! Each profile becomes two BPF programs. The first only answers `ENOSYS` where a program is expected to
//! fall back (`clone3`, whose flags are behind a pointer that BPF cannot follow); the second is the
//! allowlist, which lets those pass: of several filters the kernel takes the severest answer. The
//! allowlist goes in last because it need not permit installing another.

mod native;
mod wasm;

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::launch::plan::Filter;

/// Rules by system call number; no rules means any arguments.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// A profile that cannot be compiled; a defect of this crate.
#[derive(Debug, thiserror::Error)]
#[error("cannot compile the seccomp profile: {0}")]
pub struct ProfileError(#[source] seccompiler::BackendError);

/// Those of a container's capabilities that the default profile knows.
pub(crate) fn unlocking(capabilities: &[String]) -> Vec<String> {
    capabilities.iter().filter(|name| native::knows(name)).cloned().collect()
}

/// The programs of a filter in the order of installation, each instruction as the kernel's 8 bytes.
pub fn programs(filter: &Filter) -> Result<Vec<Vec<u64>>, ProfileError> {
    let (allow, missing) = match filter {
        Filter::NativeDefault { capabilities } => {
            (native::rules(capabilities)?, native::missing(capabilities))
        }
        Filter::WasmHost => (wasm::rules()?, wasm::missing()),
    };
    let mut programs = Vec::new();
    if !missing.is_empty() {
        let rules = missing.iter().map(|number| (*number, Vec::new())).collect();
        let enosys = SeccompAction::Errno(libc::ENOSYS as u32);
        programs.push(compile(rules, SeccompAction::Allow, enosys)?);
    }
    programs.push(compile(allow, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)?);
    Ok(programs)
}

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<Vec<u64>, ProfileError> {
    let filter =
        SeccompFilter::new(rules, otherwise, matched, TargetArch::x86_64).map_err(ProfileError)?;
    let program: BpfProgram = filter.try_into().map_err(ProfileError)?;
    Ok(program
        .iter()
        .map(|instruction| {
            u64::from(instruction.code)
                | u64::from(instruction.jt) << 16
                | u64::from(instruction.jf) << 24
                | u64::from(instruction.k) << 32
        })
        .collect())
}

/// A rule on one argument's low 32 bits.
fn on_argument(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, ProfileError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(ProfileError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_compiles_within_the_kernels_limit() {
        let default =
            |name: &str| Filter::NativeDefault { capabilities: vec![format!("CAP_{name}")] };
        for (filter, count) in [
            (Filter::NativeDefault { capabilities: Vec::new() }, 2),
            (default("SYS_TIME"), 2),
            (default("SYS_ADMIN"), 1),
            (Filter::WasmHost, 2),
        ] {
            let programs = programs(&filter).unwrap();
            assert_eq!(programs.len(), count, "{filter:?}");
            for program in programs {
                assert!((5..4096).contains(&program.len()), "{} instructions", program.len());
            }
        }
    }
}

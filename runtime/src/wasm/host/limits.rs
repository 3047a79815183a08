//! Memory: the program's share of the container's limit, so that `memory.grow` fails before the kernel kills.
//!
//! What a program takes by growing it will touch, so that is counted in full, over all its instances. What
//! its memory starts with is mostly stack and zeroes that are never touched (compilers reserve 1 to 16 MiB),
//! so an instance is charged only [`TOUCHED_AT_START`] of it. A program that touches all of a large initial
//! memory in many instances at once can thus still meet the kernel's limit, and is then OOMKilled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

/// What the host process keeps of the container's limit for itself (heap, stacks, connections), unless
/// that were more than a quarter of it.
pub const HOST_RESERVE: u64 = 16 << 20;

/// How much of its initial memory an instance is expected to touch.
pub const TOUCHED_AT_START: u64 = 2 << 20;

/// Bytes per table element in the engine.
const TABLE_ELEMENT: u64 = 8;

/// What all instances of the container may have together.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// From the container's memory limit in bytes.
    pub(super) fn new(container_limit: Option<u64>) -> Arc<Self> {
        let limit = container_limit.map_or(u64::MAX, |all| all - HOST_RESERVE.min(all / 4));
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// How many instances that start with `initial` bytes may live at once; 0 if not even one fits.
    pub(super) fn instances(&self, initial: u64) -> u32 {
        match initial > self.limit {
            true => 0,
            false => u32::try_from(self.limit / charge(initial).max(1)).unwrap_or(u32::MAX),
        }
    }

    /// One instance's account.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), held: 0 }
    }

    fn take(&self, bytes: u64) -> bool {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.limit)
        });
        taken.is_ok()
    }
}

/// What is charged for a memory of `initial` bytes when it is made.
fn charge(initial: u64) -> u64 {
    initial.min(TOUCHED_AT_START)
}

/// What one store has taken; given back when the store is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    held: u64,
}

impl Share {
    fn take(&mut self, bytes: u64) -> bool {
        let granted = self.budget.take(bytes);
        self.held += if granted { bytes } else { 0 };
        granted
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// The engine may still fail to do what is granted here (address space, mappings); what was taken then
/// stays taken until the instance ends, which errs on the safe side.
impl ResourceLimiter for Share {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let (current, desired) = (current as u64, desired as u64);
        if maximum.is_some_and(|maximum| desired > maximum as u64) {
            return Ok(false);
        }
        Ok(match current {
            0 => desired <= self.budget.limit && self.take(charge(desired)),
            _ => desired <= self.budget.limit && self.take(desired.saturating_sub(current)),
        })
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current) as u64;
        Ok(self.take(elements.saturating_mul(TABLE_ELEMENT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn shares_draw_on_one_budget_and_give_back() {
        let budget = Budget::new(Some(64 << 20));
        let (mut one, mut two) = (budget.share(), budget.share());
        // 16 MiB at the start cost 2; growing costs what it is.
        assert!(one.memory_growing(0, 16 * MIB, None).unwrap());
        assert!(one.memory_growing(16 * MIB, 40 * MIB, None).unwrap());
        assert!(two.memory_growing(0, MIB, None).unwrap());
        assert!(two.memory_growing(MIB, 22 * MIB, None).unwrap());
        assert!(!two.memory_growing(22 * MIB, 23 * MIB, None).unwrap());
        assert!(!two.table_growing(0, 1000, None).unwrap());
        drop(one);
        assert!(two.memory_growing(22 * MIB, 48 * MIB, None).unwrap());
        drop(two);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn no_single_memory_is_larger_than_the_budget() {
        let budget = Budget::new(Some(32 << 20));
        assert_eq!(budget.limit, 24 << 20);
        assert!(!budget.share().memory_growing(0, 25 * MIB, None).unwrap());
        let mut share = budget.share();
        assert!(share.memory_growing(0, 20 * MIB, None).unwrap());
        assert!(!share.memory_growing(20 * MIB, 25 * MIB, None).unwrap());
        assert!(!share.memory_growing(20 * MIB, 22 * MIB, Some(21 * MIB)).unwrap());
    }

    #[test]
    fn the_budget_says_how_many_instances_fit() {
        let budget = Budget::new(Some(64 << 20));
        assert_eq!(budget.instances(64 << 10), 768);
        assert_eq!(budget.instances(16 << 20), 24);
        assert_eq!(budget.instances(49 << 20), 0);
        assert_eq!(Budget::new(None).instances(16 << 20), u32::MAX);
    }
}

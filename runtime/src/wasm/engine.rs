//! The engine: one configuration that compiling and running agree on, sized for one container.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

/// How many instances of an HTTP component may be alive at once when memory does not limit them further.
///
/// A slot costs address space only (4 GiB of 128 TiB), so the number is set by the other side: a request
/// that waits for something slow holds its instance, and beyond a hundred of those a pod is better
/// scaled out than stacked up. More requests wait in line.
pub const MAX_INSTANCES: u32 = 128;

/// Linear memory of an ended instance that is kept and zeroed by hand instead of given back to the
/// kernel. Below it, reusing a slot needs no system call and no page fault; above it the kernel is faster.
const KEEP_RESIDENT: usize = 256 * 1024;

/// Slots that stay warm (keep their mapping and up to [`KEEP_RESIDENT`]) while nothing uses them: what a
/// burst needs, without making the burst's memory permanent.
const WARM_SLOTS: u32 = 8;

/// Cores, tables and memories that one component may be made of. `wit-component` output has two to four
/// core modules; composed components have more.
const PARTS_PER_COMPONENT: u32 = 20;

/// Elements per table; language runtimes with large vtables (C#, Go) reach 10,000 and more.
const TABLE_ELEMENTS: usize = 100_000;

/// Everything that generated code depends on. Changing anything here changes [`compatibility`] and
/// thereby recompiles every image once.
fn config() -> Config {
    let mut config = Config::new();
    // Loops and function entries check the epoch, so that a guest which never returns to the host still
    // lets other requests run. No fuel: it costs more and nothing here is billed by instruction.
    config.epoch_interruption(true);
    config.memory_init_cow(true);
    // A trap's text carries function names from the name section; parsing DWARF at run time would cost
    // the host megabytes for line numbers that production modules rarely have.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // Only native debuggers and profilers read these tables; wasmtime walks frame pointers.
    config.native_unwind_info(false);
    // Nothing here uses the asynchronous component model, and stores are cheaper without it.
    config.concurrency_support(false);
    config
}

/// The engine that compiles. It has no pool: no instance ever lives in it.
///
/// # Errors
/// When the configuration does not suit this host.
pub fn compiler() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// The engine of a command: one instance, allocated on demand.
pub(super) fn for_command() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// The engine of an HTTP server: `instances` slots that are reused without system calls.
///
/// Where the address space is limited (`ulimit -v`, strict overcommit) the pool cannot be reserved; then
/// instances are allocated on demand, which is slower and otherwise the same.
pub(super) fn for_http(instances: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances * PARTS_PER_COMPONENT)
        .total_memories(instances * 2)
        .total_tables(instances * PARTS_PER_COMPONENT)
        .total_stacks(instances)
        .total_gc_heaps(instances)
        .max_memories_per_component(PARTS_PER_COMPONENT)
        .max_tables_per_component(PARTS_PER_COMPONENT)
        .max_core_instances_per_component(PARTS_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(WARM_SLOTS)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(16 * 1024)
        .async_stack_keep_resident(16 * 1024);
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&pooled).or_else(|_| Engine::new(&config()))
}

/// Names the code that `engine` generates on this processor: equal strings mean exchangeable files.
///
/// Hexadecimal SHA-256 (shortened to 128 bits) over the engine's own compatibility hash and the
/// processor's feature list.
pub fn compatibility(engine: &Engine) -> String {
    let mut hasher = Collect(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    processor_features().hash(&mut hasher);
    hasher.0.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The first `flags` (x86) or `Features` (arm) line of `/proc/cpuinfo`; empty where there is none, which
/// is safe: the engine itself refuses code for instructions that the processor lacks.
fn processor_features() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    cpuinfo
        .lines()
        .find(|line| line.starts_with("flags") || line.starts_with("Features"))
        .unwrap_or_default()
        .to_owned()
}

/// Feeds everything that is hashed into SHA-256: unlike the standard hashers, the same on every run.
struct Collect(Sha256);

impl Hasher for Collect {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_stable_and_the_same_for_compiling_and_running() {
        let compiled = compatibility(&compiler().unwrap());
        assert_eq!(compiled.len(), 32);
        assert_eq!(compiled, compatibility(&compiler().unwrap()));
        assert_eq!(compiled, compatibility(&for_command().unwrap()));
        assert_eq!(compiled, compatibility(&for_http(4).unwrap()));
    }
}

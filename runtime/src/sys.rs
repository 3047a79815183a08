//! The only module with `unsafe`: typed wrappers around system calls that neither rustix nor nix offers.
//!
//! Each wrapper does one operation, takes and returns owned types, and says why its block is sound.
//! Everything that rustix or nix can do safely is called there directly, not through here.
#![allow(unsafe_code, reason = "the one place where the crate talks to the kernel by hand")]

mod bpf;
mod clone;
mod descriptors;
mod mount_attr;
mod seccomp;
mod signals;
mod wasm_cache;

pub(crate) use bpf::{attach_device_program, load_device_program};
pub(crate) use clone::{CloneFlags, Cloned, clone_probe, clone_process, exit_now};
pub(crate) use descriptors::{
    adopt_descriptor, close_all_but, close_all_from, place_descriptor, watch_descriptor,
};
pub(crate) use mount_attr::{MountAttributes, set_mount_attributes};
pub(crate) use seccomp::install_filter;
pub(crate) use signals::{default_dispositions, ignore_children, send_signal};
pub(crate) use wasm_cache::*;

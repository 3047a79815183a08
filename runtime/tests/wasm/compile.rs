//! The compiler process and its cache.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use runtime::wasm::cache::{self, CompileError, ensure_compiled};

use crate::bench::{Bench, digest, exe, file, fixture};

#[tokio::test]
async fn a_module_is_compiled_once_for_all_who_ask() {
    let bench = Bench::new();
    let module = fixture("hello.wasm");
    let (cache, digest) = (bench.path("cache"), digest(&module));
    let ask = || ensure_compiled(&module, &digest, &cache, exe());
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    let path = one.unwrap();
    assert_eq!((&path, &path), (&two.unwrap(), &three.unwrap()));
    let made = fs::metadata(&path).unwrap();
    assert_eq!(made.mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
    // One file, nothing partial beside it, and asking again does not touch it.
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
    assert_eq!(ask().await.unwrap(), path);
    // A compiler that cannot run is not noticed: nothing is compiled any more.
    ensure_compiled(&module, &digest, &cache, Path::new("/nonexistent")).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), made.ino());
    assert!(cache::remove(&cache, &digest).unwrap());
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
}

#[tokio::test]
async fn bad_modules_are_refused_with_what_is_wrong_and_leave_nothing() {
    let bench = Bench::new();
    let cache = bench.path("cache");
    let mut invalid =
        wat::parse_str(r#"(module (func (export "_start") (drop (i32.const 1))))"#).unwrap();
    let body = invalid.len() - 2;
    invalid[body] = 0x6a; // i32.add, with nothing to add
    for (name, bytes, says) in [
        ("text.wasm", &b"hello"[..], "not WebAssembly"),
        ("elf.wasm", b"\x7fELF\x02\x01\x01", "ELF"),
        ("short.wasm", b"\0asm\x01\0\0", "malformed"),
        ("invalid.wasm", &invalid, ""),
    ] {
        let module = file(&bench, name, bytes);
        let error = ensure_compiled(&module, &digest(&module), &cache, exe()).await.unwrap_err();
        let CompileError::Invalid { message } = &error else { panic!("{name}: {error}") };
        assert!(message.contains(says), "{name}: {message}");
    }
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
}

#[tokio::test]
async fn a_cache_that_others_can_write_is_not_used() {
    let bench = Bench::new();
    let cache = bench.path("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let module = fixture("hello.wasm");
    let error = ensure_compiled(&module, &digest(&module), &cache, exe()).await.unwrap_err();
    assert!(matches!(error, CompileError::Untrusted { .. }), "{error}");
}

#[tokio::test]
async fn a_cancelled_compilation_leaves_nothing() {
    let bench = Bench::new();
    let cache = bench.path("cache");
    let module = fixture("hello.wasm");
    // A compiler that never ends.
    let endless = file(&bench, "endless", b"#!/bin/sh\n: > \"$3\"; exec sleep 3600\n");
    fs::set_permissions(&endless, fs::Permissions::from_mode(0o755)).unwrap();
    let digest = digest(&module);
    let compiling = ensure_compiled(&module, &digest, &cache, &endless);
    let begun = async {
        while fs::read_dir(&cache).map_or(0, Iterator::count) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        result = compiling => panic!("{result:?}"),
        () = begun => {}
    }
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    // And the way is free for the next.
    ensure_compiled(&module, &digest, &cache, exe()).await.unwrap();
}

#[tokio::test]
async fn a_compiler_that_dies_is_an_error_of_its_own() {
    let bench = Bench::new();
    let module = fixture("hello.wasm");
    let killed = file(&bench, "killed", b"#!/bin/sh\necho out of memory >&2; kill -9 $$\n");
    fs::set_permissions(&killed, fs::Permissions::from_mode(0o755)).unwrap();
    let error = ensure_compiled(&module, &digest(&module), &bench.path("cache"), &killed).await;
    let CompileError::Failed { how, message } = error.unwrap_err() else { panic!() };
    assert_eq!((how.as_str(), message.as_str()), ("signal 9", "out of memory"));
}

#[test]
fn the_compiler_limits_itself_before_it_reads() {
    let bench = Bench::new();
    // It reads its input from a pipe that nobody writes to, and can be looked at meanwhile.
    let (input, output) = (bench.path("input"), bench.path("out.code"));
    nix::unistd::mkfifo(&input, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let mut compiler =
        Command::new(exe()).arg("wasm-compile").args([&input, &output]).spawn().unwrap();
    // Opening the other end waits until the compiler has opened its own, which is after the limits.
    let other_end = fs::OpenOptions::new().write(true).open(&input).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", compiler.id())).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", compiler.id())).unwrap();
    drop(other_end);
    let status = compiler.wait().unwrap();
    for name in ["Max address space", "Max cpu time", "Max file size"] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(!line.contains("unlimited"), "{line}");
    }
    assert_eq!(stat.rsplit(')').next().unwrap().split(' ').nth(17), Some("19"), "nice: {stat}");
    assert_eq!(status.code(), Some(65), "an empty input is invalid");
}

#[test]
fn an_existing_output_is_neither_overwritten_nor_removed() {
    let bench = Bench::new();
    let output = file(&bench, "out.code", b"somebody else's");
    let run = Command::new(exe())
        .arg("wasm-compile")
        .args([&fixture("hello.wasm"), &output])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(74), "{run:?}");
    assert_eq!(fs::read(&output).unwrap(), b"somebody else's");
}

//! The committed fixtures are the ones that were measured and described.

use std::fs;

use crate::bench::{digest, fixture};

#[test]
fn every_fixture_has_the_digest_it_was_committed_with() {
    let sums = fs::read_to_string(fixture("SHA256SUMS")).unwrap();
    let mut listed: Vec<&str> = Vec::new();
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").expect("sha256sum's format");
        assert_eq!(digest(&fixture(name)), format!("sha256:{sum}"), "{name}");
        listed.push(name);
    }
    let mut found: Vec<String> = fs::read_dir(fixture(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".wasm"))
        .collect();
    found.sort();
    listed.sort_unstable();
    assert_eq!(found, listed, "every fixture is listed");
}

use std::os::unix::fs::PermissionsExt;

use super::*;

const DIGEST: &str = "sha256:945a7163b6a10ca4d919c729efc0e9a4cbbcebddcfd70a4a82aa2364b18453b3";

#[test]
fn only_digests_name_files() {
    assert!(file_name(DIGEST, "k").unwrap().starts_with("945a7163"));
    for bad in
        ["", "sha256:", "sha256:../../../../etc/passwd", "sha256:zz5a7163b6a10ca4d919c729efc0e9a4"]
    {
        assert!(matches!(file_name(bad, "k"), Err(CompileError::Digest { .. })), "{bad}");
    }
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("a/b");
    prepare_directory(&cache).unwrap();
    assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o700);
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o770)).unwrap();
    let error = prepare_directory(&cache).unwrap_err().to_string();
    assert!(error.contains("lets others write"), "{error}");
    let link = root.path().join("link");
    std::os::unix::fs::symlink(root.path(), &link).unwrap();
    assert!(matches!(prepare_directory(&link), Err(CompileError::Untrusted { .. })));
}

#[test]
fn a_file_that_others_could_have_written_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("x.code");
    assert!(!is_there(&file).unwrap());
    fs::write(&file, "code").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(is_there(&file).unwrap());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(is_there(&file).unwrap_err().to_string().contains("writable by others"));
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
    assert!(matches!(is_there(&file), Err(CompileError::Untrusted { .. })));
}

#[test]
fn removal_takes_every_version_of_one_module() {
    let root = tempfile::tempdir().unwrap();
    let other = DIGEST.replace("945a", "0000");
    for name in [file_name(DIGEST, "one"), file_name(DIGEST, "two"), file_name(&other, "one")] {
        fs::write(root.path().join(name.unwrap()), "code").unwrap();
    }
    assert!(remove(root.path(), DIGEST).unwrap());
    assert!(!remove(root.path(), DIGEST).unwrap());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    assert!(!remove(&root.path().join("none"), DIGEST).unwrap());
}

#[test]
fn last_words_are_the_end() {
    assert_eq!(last_words(b" what it said\n"), "what it said");
    let long = "ä".repeat(3000);
    assert!(last_words(long.as_bytes()).len() <= 2000);
}

//! hostPath: a path of the host, checked or made as its `type` says.
//!
//! Source: `pkg/volume/hostpath` (checkTypeInternal).

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::{VolumeError, chmod};

/// Checks the path against its type, and makes what `…OrCreate` asks for.
pub(super) fn check(source: &HostPathVolumeSource) -> Result<(), VolumeError> {
    if source.path.contains('\0') {
        return Err(VolumeError::Nul { path: source.path.replace('\0', "\\0") });
    }
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    if !path.exists() {
        match kind {
            // With no type the runtime makes a directory, as containerd and Docker do.
            "" | "DirectoryOrCreate" => {
                std::fs::create_dir_all(path).map_err(VolumeError::file("create", path))?;
                chmod(path, 0o755)?;
            }
            "FileOrCreate" => {
                std::fs::File::create_new(path).map_err(VolumeError::file("create", path))?;
                chmod(path, 0o644)?;
            }
            _ => {}
        }
    }
    let found = std::fs::metadata(path).ok().map(|metadata| metadata.file_type());
    let is = |test: fn(&std::fs::FileType) -> bool| found.as_ref().is_some_and(test);
    let (fits, wanted) = match kind {
        "Directory" | "DirectoryOrCreate" => (is(std::fs::FileType::is_dir), "a directory"),
        "File" | "FileOrCreate" => (is(std::fs::FileType::is_file), "a file"),
        "Socket" => (is(|kind| kind.is_socket()), "a socket"),
        "CharDevice" => (is(|kind| kind.is_char_device()), "a character device"),
        "BlockDevice" => (is(|kind| kind.is_block_device()), "a block device"),
        _ => (true, ""),
    };
    if fits { Ok(()) } else { Err(VolumeError::HostPathType { path: source.path.clone(), wanted }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), "").unwrap();
        let path = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
        for (name, kind, refused) in [
            ("file", "File", None),
            ("file", "Directory", Some("a directory")),
            ("file", "DirectoryOrCreate", Some("a directory")),
            ("file", "Socket", Some("a socket")),
            ("file", "", None),
            ("none", "Directory", Some("a directory")),
            ("none", "File", Some("a file")),
            ("made/deep", "DirectoryOrCreate", None),
            ("made/deep", "Directory", None),
            ("made/file", "FileOrCreate", None),
            ("made/file", "File", None),
            ("bare", "", None),
            ("bare", "Directory", None),
        ] {
            let source = HostPathVolumeSource { path: path(name), type_: Some(kind.to_owned()) };
            let got = check(&source).err().map(|error| error.to_string());
            let expected = refused.map(|wanted| {
                format!("hostPath type check failed: {} is not {wanted}", path(name))
            });
            assert_eq!(got, expected, "{name} as {kind:?}");
        }
        let null =
            HostPathVolumeSource { path: "/dev/null".into(), type_: Some("CharDevice".into()) };
        check(&null).unwrap();
        let text = check(&HostPathVolumeSource { path: "/a\0b".into(), type_: None }).unwrap_err();
        assert_eq!(text.to_string(), r"hostPath /a\0b holds a NUL character, which no path may");
    }
}

//! argv and environment, out of the image's and the specification's.

use crate::spec::ContainerSpec;

use super::defaults::PATH;

/// Entrypoint and command as Kubernetes combines them: a command drops the image's both, arguments only
/// its cmd.
pub fn argv(spec: &ContainerSpec, entrypoint: &[String], cmd: &[String]) -> Vec<String> {
    let (program, arguments) = match (spec.command.is_empty(), spec.args.is_empty()) {
        (false, _) => (spec.command.as_slice(), spec.args.as_slice()),
        (true, false) => (entrypoint, spec.args.as_slice()),
        (true, true) => (entrypoint, cmd),
    };
    program.iter().chain(arguments).cloned().collect()
}

/// The image's environment with the specification's on top, in order of first mention.
///
/// `PATH` and `HOSTNAME` are there unless someone says otherwise.
pub fn environment(
    spec: &ContainerSpec,
    image: &[(String, String)],
    hostname: &str,
) -> Vec<(String, String)> {
    let mut merged: Vec<(String, String)> =
        vec![("PATH".to_owned(), PATH.to_owned()), ("HOSTNAME".to_owned(), hostname.to_owned())];
    for (name, value) in image.iter().chain(&spec.env) {
        match merged.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => merged.push((name.clone(), value.clone())),
        }
    }
    merged
}

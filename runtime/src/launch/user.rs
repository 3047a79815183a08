//! Who the container's process becomes: the image's `USER`, looked up in the container's own files.
//!
//! Runs after the root is pivoted, so `/etc/passwd` and `/etc/group` are the container's, seen through
//! the whole overlay. The semantics are those of moby's user package, which Kubernetes documents.

use std::fs;
use std::io::Read;

use nix::unistd::{Gid, Uid};
use rustix::fs::{Mode, OFlags};

use super::LaunchError;
use super::plan::UserStep;
use crate::spec::Identity;

/// Largest passwd or group file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Largest id, as runc has it. The kernel takes 4294967295 for "leave it as it is": whoever asks for that
/// would stay root.
const MAX_ID: u32 = i32::MAX as u32;

/// The outcome of the lookup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) identity: Identity,
    /// From passwd.
    pub(super) home: Option<String>,
}

/// Sets groups, gid and uid.
///
/// Capabilities are kept over the change of uid so that a later step can choose among them.
pub(super) fn become_user(step: &UserStep) -> Result<Found, LaunchError> {
    let passwd = read_records("/etc/passwd")?;
    let group = read_records("/etc/group")?;
    let found = resolve(step, &passwd, &group)?;
    let identity = &found.identity;
    let failed =
        |what: &'static str, e: nix::Error| LaunchError::step("change", what.to_owned(), e);
    rustix::thread::set_keep_capabilities(true)
        .map_err(|e| LaunchError::step("keep", "capabilities", e))?;
    let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    nix::unistd::setgroups(&groups).map_err(|e| failed("the groups", e))?;
    let gid = Gid::from_raw(identity.gid);
    nix::unistd::setresgid(gid, gid, gid).map_err(|e| failed("the group", e))?;
    let uid = Uid::from_raw(identity.uid);
    nix::unistd::setresuid(uid, uid, uid).map_err(|e| failed("the user", e))?;
    Ok(found)
}

/// The image chose what is at `path`: no fifo may hold us up and no device fill the memory.
fn read_records(path: &str) -> Result<Vec<Vec<String>>, LaunchError> {
    let refused = |message: String| LaunchError::User { message };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return Ok(Vec::new()) };
    let file = fs::File::from(file);
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(refused(format!("{path} is not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| refused(format!("cannot read {path}: {e}")))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(refused(format!("{path} is larger than {} MiB", MAX_FILE >> 20)));
    }
    let records = String::from_utf8_lossy(&bytes);
    Ok(records.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
}

fn resolve(
    step: &UserStep,
    passwd: &[Vec<String>],
    group: &[Vec<String>],
) -> Result<Found, LaunchError> {
    let (image_user, image_group) = match step.image_user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (step.image_user.as_str(), None),
    };
    let uid_of = |record: &Vec<String>| record.get(2).and_then(|uid| uid.parse::<u32>().ok());
    let by_uid = |uid: u32| passwd.iter().find(|record| uid_of(record) == Some(uid));
    let by_name = |name: &str| {
        passwd
            .iter()
            .find(|record| record.first().is_some_and(|n| n == name) && uid_of(record).is_some())
    };

    let (uid, entry) = match (step.uid, image_user) {
        (Some(uid), _) => (uid, by_uid(uid)),
        (None, "") => (0, by_uid(0)),
        (None, user) => match by_name(user) {
            Some(entry) => (uid_of(entry).expect("by_name asks for a uid"), Some(entry)),
            None => match user.parse::<u32>() {
                Ok(uid) => (uid, by_uid(uid)),
                Err(_) => {
                    let message =
                        format!("unable to find user {user}: no matching entries in passwd file");
                    return Err(LaunchError::User { message });
                }
            },
        },
    };
    if step.must_be_non_root && uid == 0 {
        let message = "container has runAsNonRoot and image will run as root".to_owned();
        return Err(LaunchError::User { message });
    }

    let primary = entry.and_then(|record| record.get(3)).and_then(|gid| gid.parse().ok());
    let gid = match (step.gid, image_group) {
        (Some(gid), _) => gid,
        (None, Some(name)) if step.uid.is_none() && !name.is_empty() => {
            let found = group
                .iter()
                .find(|record| record.first().is_some_and(|n| n == name))
                .and_then(|record| record.get(2)?.parse().ok())
                .or_else(|| name.parse().ok());
            let Some(gid) = found else {
                let message =
                    format!("unable to find group {name}: no matching entries in group file");
                return Err(LaunchError::User { message });
            };
            gid
        }
        _ => primary.unwrap_or(0),
    };

    let mut groups = vec![gid];
    groups.extend(&step.supplementary_gids);
    // An explicit group in the image's USER drops the memberships, as docker does.
    let member_of_others = image_group.is_none() && !step.strict_groups;
    if let Some(name) = entry.and_then(|record| record.first()).filter(|_| member_of_others) {
        let member = |record: &&Vec<String>| {
            record.get(3).is_some_and(|members| members.split(',').any(|m| m == name))
        };
        groups.extend(group.iter().filter(member).filter_map(|r| r.get(2)?.parse::<u32>().ok()));
    }
    groups.sort_unstable();
    groups.dedup();
    if uid > MAX_ID || groups.iter().any(|gid| *gid > MAX_ID) {
        let message = format!("uids and gids must be in range 0-{MAX_ID}");
        return Err(LaunchError::User { message });
    }
    let home = entry.and_then(|record| record.get(5)).filter(|home| !home.is_empty()).cloned();
    Ok(Found { identity: Identity { uid, gid, groups }, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<Vec<String>> {
        text.lines().map(|l| l.split(':').map(str::to_owned).collect()).collect()
    }

    fn lookup(step: UserStep) -> Result<Found, String> {
        let passwd = records("root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/var/www:/bin/sh");
        let group = records("root:x:0:\nwww:x:44:\ndisk:x:6:web,root\nlog:x:50:web");
        resolve(&step, &passwd, &group).map_err(|e| e.to_string())
    }

    fn image(user: &str) -> UserStep {
        UserStep { image_user: user.to_owned(), ..UserStep::default() }
    }

    #[test]
    fn users_are_found_by_name_number_and_override() {
        let identity = |uid, gid, groups: &[u32], home: Option<&str>| {
            let identity = Identity { uid, gid, groups: groups.to_vec() };
            Ok(Found { identity, home: home.map(str::to_owned) })
        };
        assert_eq!(lookup(image("")), identity(0, 0, &[0, 6], Some("/root")));
        assert_eq!(lookup(image("web")), identity(33, 44, &[6, 44, 50], Some("/var/www")));
        assert_eq!(lookup(image("33")), identity(33, 44, &[6, 44, 50], Some("/var/www")));
        assert_eq!(lookup(image("web:log")), identity(33, 50, &[50], Some("/var/www")));
        assert_eq!(lookup(image("web:7")), identity(33, 7, &[7], Some("/var/www")));
        assert_eq!(lookup(image("4000")), identity(4000, 0, &[0], None));
        let strict = UserStep { strict_groups: true, ..image("web") };
        assert_eq!(lookup(strict), identity(33, 44, &[44], Some("/var/www")));
        let step = UserStep { uid: Some(1000), gid: Some(3000), ..image("web") };
        assert_eq!(
            lookup(UserStep { supplementary_gids: vec![9, 9], ..step }),
            identity(1000, 3000, &[9, 3000], None)
        );
    }

    #[test]
    fn unknown_names_and_forbidden_root_are_refused() {
        let message = |step| lookup(step).expect_err("refused");
        assert!(message(image("nobody")).contains("unable to find user nobody"));
        assert!(message(image("web:nope")).contains("unable to find group nope"));
        assert!(message(UserStep { must_be_non_root: true, ..image("") }).contains("runAsNonRoot"));
        assert!(lookup(UserStep { must_be_non_root: true, ..image("web") }).is_ok());
        // To setresuid(2) this means "unchanged", which is root.
        assert!(message(image("4294967295")).contains("in range 0-2147483647"));
        assert!(message(image("web:4294967295")).contains("in range"));
        let groups = UserStep { supplementary_gids: vec![u32::MAX], ..image("web") };
        assert!(message(groups).contains("in range"));
    }
}

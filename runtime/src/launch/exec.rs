//! The last step: becoming the program. Messages are runc's, because people search for them.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::fs::{Access, CWD, FileType};

use super::LaunchError;
use super::report::{CONFIG_FD, REPORT_FD};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Executes the image's program; returns only on failure.
pub(super) fn program(
    argv: &[String],
    env: &[(String, String)],
    home: Option<&str>,
) -> Result<Infallible, LaunchError> {
    let name = argv.first().map_or("", String::as_str);
    let problem = |problem: &str, errno: Errno| LaunchError::Exec {
        program: name.to_owned(),
        problem: problem.to_owned(),
        errno: errno as i32,
    };
    let search = env.iter().find(|(key, _)| key == "PATH").map_or(DEFAULT_PATH, |(_, v)| v);
    let path = look_up(name, search).map_err(|(text, errno)| problem(&text, errno))?;
    let c_string = |text: String| {
        CString::new(text).map_err(|_| problem("argument contains a zero byte", Errno::EINVAL))
    };
    let c_path = c_string(path.clone())?;
    let c_argv = argv.iter().cloned().map(c_string).collect::<Result<Vec<_>, _>>()?;
    let home = home.filter(|_| !env.iter().any(|(key, value)| key == "HOME" && !value.is_empty()));
    let c_env = env
        .iter()
        .filter(|(key, _)| home.is_none() || key != "HOME")
        .map(|(key, value)| format!("{key}={value}"))
        .chain(home.map(|home| format!("HOME={home}")))
        .map(c_string)
        .collect::<Result<Vec<_>, _>>()?;
    let Err(errno) = nix::unistd::execve(&c_path, &c_argv, &c_env);
    let text = match errno {
        // The file was there a moment ago: what is missing is its interpreter.
        Errno::ENOENT => "no such file or directory".to_owned(),
        Errno::EACCES => "permission denied".to_owned(),
        Errno::ENOEXEC => "exec format error".to_owned(),
        other => other.desc().to_lowercase(),
    };
    Err(problem(&text, errno))
}

/// The path to execute for argv 0.
fn look_up(name: &str, search: &str) -> Result<String, (String, Errno)> {
    if name.is_empty() {
        return Err(("no command specified".to_owned(), Errno::EINVAL));
    }
    if name.contains('/') {
        return match executable(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(Errno::ENOENT) => {
                Err((format!("stat {name}: no such file or directory"), Errno::ENOENT))
            }
            Err(Errno::EISDIR) => Err(("is a directory".to_owned(), Errno::EISDIR)),
            Err(errno @ Errno::EACCES) => Err(("permission denied".to_owned(), errno)),
            Err(errno) => Err((format!("stat {name}: {}", errno.desc().to_lowercase()), errno)),
        };
    }
    let mut denied = false;
    for directory in search.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{}/{name}", directory.trim_end_matches('/'));
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES) => denied = true,
            Err(_) => {}
        }
    }
    if denied {
        Err(("permission denied".to_owned(), Errno::EACCES))
    } else {
        Err(("executable file not found in $PATH".to_owned(), Errno::ENOENT))
    }
}

fn executable(path: &str) -> Result<(), Errno> {
    let errno = |e: rustix::io::Errno| Errno::from_raw(e.raw_os_error());
    let stat = rustix::fs::stat(path).map_err(errno)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::EISDIR);
    }
    // Root may "access" a file that has no execute bit only if some bit is set: ask for the bits too.
    if stat.st_mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, rustix::fs::AtFlags::EACCESS).map_err(errno)
}

/// Executes this same program as a Wasm host; returns only on failure.
pub(super) fn wasm_host(
    config: Option<OwnedFd>,
    report: &OwnedFd,
) -> Result<Infallible, LaunchError> {
    let failed = |operation: &'static str, e: nix::Error| {
        LaunchError::step(operation, "a descriptor for the Wasm host", e)
    };
    let Some(config) = config else {
        return Err(failed("find", Errno::EBADF));
    };
    // Either may sit where the other has to go, so both are lifted out of the way first.
    let lift = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 16);
    let lifted = lift(&config).and_then(|config| Ok((config, lift(report)?)));
    let (config, report) =
        lifted.map_err(|e| failed("duplicate", Errno::from_raw(e.raw_os_error())))?;
    for (fd, number) in [(config, CONFIG_FD), (report, REPORT_FD)] {
        crate::sys::place_descriptor(&fd, number)
            .map_err(|e| LaunchError::step("place", "a descriptor for the Wasm host", e))?;
    }
    let argv = [c"wharf-wasm".to_owned(), c"wasm-host".to_owned()];
    let Err(errno) = nix::unistd::execve(c"/proc/self/exe", &argv, &[] as &[CString]);
    Err(LaunchError::step("exec", "the Wasm host", errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_up_as_runc_does() {
        assert_eq!(look_up("sh", "/nonexistent:/bin").unwrap(), "/bin/sh");
        let text = |name| look_up(name, "/bin").unwrap_err().0;
        assert_eq!(text("no-such-program"), "executable file not found in $PATH");
        assert_eq!(text("/no/such"), "stat /no/such: no such file or directory");
        assert_eq!(text("/etc"), "is a directory");
        assert_eq!(text("/etc/passwd"), "permission denied");
        assert_eq!(text(""), "no command specified");
    }
}

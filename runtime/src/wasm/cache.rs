//! Native code, compiled once per image and kept in a directory that only this user can write.
//!
//! A file is named by the module's digest, the engine's configuration and the processor: whoever changes
//! one of them looks for another name, so a file's content never changes under its name and is never
//! stale. It appears by rename, complete, and is trusted only if nobody else can have written it: mapping
//! it is executing it. Several agents may share a directory; the loser of a race finds the winner's file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, LazyLock, OnceLock, Weak};

use parking_lot::Mutex as SyncMutex;
use tokio::process::Command;
use tokio::sync::{Mutex, Semaphore};

use super::compile::EXIT_INVALID;
use super::engine;
use crate::sys::TrustedCode;

/// Compilers at work at once. One already uses every core, and two large ones could exhaust a node.
static COMPILER: Semaphore = Semaphore::const_new(1);

/// One lock per output that somebody is waiting for, so that it is compiled once.
static FLIGHTS: LazyLock<SyncMutex<HashMap<PathBuf, Weak<Mutex<()>>>>> =
    LazyLock::new(SyncMutex::default);

/// Why there is no native code for a module.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The digest is not of the form that names files.
    #[error("{digest:?} is not a digest (expected sha256: and hexadecimal digits)")]
    Digest {
        /// What was given.
        digest: String,
    },
    /// The cache directory can be written by others, who could plant code in it.
    #[error("the code cache {} is not trustworthy: {problem}", path.display())]
    Untrusted {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file operation failed.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The compiler process could not be run.
    #[error("cannot run the compiler {}", exe.display())]
    Run {
        /// The executable.
        exe: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The module is at fault.
    #[error("the module does not compile: {message}")]
    Invalid {
        /// What the compiler says.
        message: String,
    },
    /// The compiler ended without a result: out of its memory or time, or a full disk.
    #[error("the compiler failed ({how}): {message}")]
    Failed {
        /// Exit code or signal.
        how: String,
        /// Its last words, possibly none.
        message: String,
    },
    /// The engine's configuration does not suit this host.
    #[error("the Wasm engine cannot be set up on this host: {message}")]
    Engine {
        /// What it says.
        message: String,
    },
}

/// Returns the path of `module`'s native code, compiling it if it is not in `cache_dir` yet.
///
/// `digest` (`sha256:…`) is the module's own; `exe` an executable that calls
/// [`crate::entry::dispatch`]. The directory is made (mode 0700) if need be. Calls for the same module
/// wait for one compilation, and modules are compiled one after another. Nothing here blocks the async
/// runtime. A cancelled call kills its compiler and leaves nothing behind.
///
/// # Errors
/// [`CompileError`]; a failed compilation is tried again by the next call.
pub async fn ensure_compiled(
    module: &Path,
    digest: &str,
    cache_dir: &Path,
    exe: &Path,
) -> Result<PathBuf, CompileError> {
    let output = cache_dir.join(file_name(digest, compatibility().await?)?);
    prepare_directory(cache_dir)?;
    if is_there(&output)? {
        return Ok(output);
    }
    let flight = join_flight(&output);
    let _flying = flight.lock().await;
    if is_there(&output)? {
        return Ok(output);
    }
    let _compiling = COMPILER.acquire().await.expect("the semaphore is never closed");
    let partial = Partial(with_suffix(&output, &format!(".{}.partial", std::process::id())));
    _ = fs::remove_file(&partial.0);
    compile(module, &partial.0, exe).await?;
    let (from, to, directory) = (partial, output.clone(), cache_dir.to_owned());
    // Waits for the disk, so not here.
    let kept = tokio::task::spawn_blocking(move || {
        fs::rename(&from.0, &to)
            .map_err(|source| file_error("move into the code cache", &to, source))?;
        sync_directory(&directory)
    });
    kept.await.unwrap_or_else(|error| {
        Err(CompileError::Failed { how: "interrupted".to_owned(), message: error.to_string() })
    })?;
    Ok(output)
}

/// Removes the native code of the module with `digest`, of every engine version; true if there was any.
///
/// Processes that run it keep it until they end.
///
/// # Errors
/// [`CompileError::File`] if the directory cannot be read or a file not be removed.
pub fn remove(cache_dir: &Path, digest: &str) -> Result<bool, CompileError> {
    let prefix = format!("{}-", hexadecimal(digest)?);
    let entries = match fs::read_dir(cache_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(file_error("read", cache_dir, source)),
    };
    let mut removed = false;
    for entry in entries {
        let entry = entry.map_err(|source| file_error("read", cache_dir, source))?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|source| file_error("remove", &path, source))?;
            removed = true;
        }
    }
    Ok(removed)
}

/// The engine's part of the key, found out once per process.
async fn compatibility() -> Result<&'static str, CompileError> {
    static KEY: OnceLock<String> = OnceLock::new();
    if let Some(key) = KEY.get() {
        return Ok(key);
    }
    let made = tokio::task::spawn_blocking(|| {
        engine::compiler()
            .map(|engine| engine::compatibility(&engine))
            .map_err(|error| CompileError::Engine { message: error.to_string() })
    });
    let key = made
        .await
        .unwrap_or_else(|error| Err(CompileError::Engine { message: error.to_string() }))?;
    Ok(KEY.get_or_init(|| key))
}

fn hexadecimal(digest: &str) -> Result<&str, CompileError> {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    match hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(hex),
        false => Err(CompileError::Digest { digest: digest.to_owned() }),
    }
}

fn file_name(digest: &str, compatibility: &str) -> Result<String, CompileError> {
    Ok(format!("{}-{compatibility}.code", hexadecimal(digest)?))
}

/// Makes the directory if need be and refuses it if others can write to it.
fn prepare_directory(path: &Path) -> Result<(), CompileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| file_error("create", path, source))?;
    let meta = fs::symlink_metadata(path).map_err(|source| file_error("stat", path, source))?;
    let own = rustix::process::geteuid().as_raw();
    let problem = if !meta.is_dir() {
        "not a directory".to_owned()
    } else if meta.uid() != own {
        format!("owned by uid {}, not by {own}", meta.uid())
    } else if meta.mode() & 0o022 != 0 {
        format!("mode {:o} lets others write", meta.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(CompileError::Untrusted { path: path.to_owned(), problem })
}

/// Whether `path` is there and trustworthy. An untrustworthy file is an error, not a reason to compile:
/// somebody can write where nobody should.
fn is_there(path: &Path) -> Result<bool, CompileError> {
    match TrustedCode::open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => {
            Err(CompileError::Untrusted { path: path.to_owned(), problem: error.to_string() })
        }
    }
}

fn join_flight(output: &Path) -> Arc<Mutex<()>> {
    let mut flights = FLIGHTS.lock();
    if let Some(flight) = flights.get(output).and_then(Weak::upgrade) {
        return flight;
    }
    flights.retain(|_, flight| flight.strong_count() > 0);
    let flight = Arc::new(Mutex::new(()));
    flights.insert(output.to_owned(), Arc::downgrade(&flight));
    flight
}

async fn compile(module: &Path, output: &Path, exe: &Path) -> Result<(), CompileError> {
    let child = Command::new(exe)
        .arg("wasm-compile")
        .arg(module)
        .arg(output)
        // Its environment would only let a node's settings change what the code is.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| CompileError::Run { exe: exe.to_owned(), source })?;
    let ended = child.wait_with_output().await;
    let ended = ended.map_err(|source| CompileError::Run { exe: exe.to_owned(), source })?;
    if ended.status.success() {
        return Ok(());
    }
    let message = last_words(&ended.stderr);
    match (ended.status.code(), ended.status.signal()) {
        (Some(code), _) if code == i32::from(EXIT_INVALID) => {
            Err(CompileError::Invalid { message })
        }
        (_, Some(signal)) => Err(CompileError::Failed { how: format!("signal {signal}"), message }),
        (code, None) => {
            let how = format!("exit code {}", code.unwrap_or_default());
            Err(CompileError::Failed { how, message })
        }
    }
}

/// The end of what it said; a panic's text is there.
fn last_words(stderr: &[u8]) -> String {
    const LONGEST: usize = 2000;
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    let mut start = text.len().saturating_sub(LONGEST);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}

/// An output in the making; removed unless it was renamed away.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_directory(path: &Path) -> Result<(), CompileError> {
    let synced = fs::File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|source| file_error("sync", path, source))
}

fn file_error(operation: &'static str, path: &Path, source: io::Error) -> CompileError {
    CompileError::File { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;

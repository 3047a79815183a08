//! Registries beyond loopback are spoken to over TLS, verified with the host's root certificates.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tests::images::Layout;
use tests::process::Guard;
use tests::{program, wait};

use crate::support::{Store, chain};

/// An address that is not loopback, in a network namespace of the test's own.
const ADDRESS: &str = "10.77.0.1";
const PORT: u16 = 5000;
/// Set for the test when it runs again as a child, with another set of root certificates.
const CHILD: &str = "WHARF_TEST_TLS_CHILD";

fn run(name: &str, arguments: &[&str]) {
    let output = Command::new(program::find(name).unwrap()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {output:?}");
}

/// A self-signed certificate for [`ADDRESS`].
fn certificate(key: &Path, certificate: &Path) {
    #[rustfmt::skip]
    run("openssl", &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", "2", "-subj", "/CN=registry", "-addext", &format!("subjectAltName=IP:{ADDRESS}"),
        "-addext", "basicConstraints=critical,CA:FALSE",
        "-keyout", &key.display().to_string(), "-out", &certificate.display().to_string()]);
}

/// A registry with a self-signed certificate, in the calling thread's network namespace.
fn secure_registry(folder: &Path) -> Guard {
    let at = |name: &str| folder.join(name).display().to_string();
    certificate(&folder.join("key.pem"), &folder.join("cert.pem"));
    let config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\n\
         http: {{addr: '{ADDRESS}:{PORT}', tls: {{certificate: {}, key: {}}}}}\n",
        at("data"),
        at("cert.pem"),
        at("key.pem")
    );
    fs::write(folder.join("config.yml"), config).unwrap();
    let mut command = Command::new(program::find("docker-registry").unwrap());
    command.arg("serve").arg(folder.join("config.yml"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let registry = Guard::spawn(&mut command).unwrap();
    wait::eventually("docker-registry listens", Duration::from_secs(30), || {
        std::net::TcpStream::connect((ADDRESS, PORT)).map_err(|error| error.to_string())
    });
    registry
}

#[test]
fn certificates_are_verified() {
    if let Ok(expected) = std::env::var(CHILD) {
        return pull_as_child(&expected);
    }
    std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (tests run as root)");
        run("ip", &["link", "set", "lo", "up"]);
        run("ip", &["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"]);
        let folder = tempfile::tempdir().unwrap();
        let _registry = secure_registry(folder.path());
        let layout = Layout::new().unwrap();
        layout.busybox("one").unwrap();
        layout.copy("one", &format!("docker://{ADDRESS}:{PORT}/one:latest"), &[]).unwrap();
        let trusting = folder.path().join("cert.pem");
        let other = folder.path().join("other.pem");
        certificate(&folder.path().join("other-key.pem"), &other);
        for (roots, expected) in
            [(trusting.as_path(), "pulled"), (other.as_path(), "cannot reach registry")]
        {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "tls::certificates_are_verified", "--nocapture"])
                .env(CHILD, expected)
                .env("SSL_CERT_FILE", roots)
                .env_remove("SSL_CERT_DIR")
                .output()
                .unwrap();
            assert!(child.status.success(), "{expected}: {child:?}");
        }
    })
    .join()
    .unwrap();
}

fn pull_as_child(expected: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::new().await;
        let text = match store.pull(&format!("{ADDRESS}:{PORT}/one")).await {
            Ok(_) => "pulled".to_owned(),
            Err(error) => chain(&error),
        };
        assert!(text.contains(expected), "{text}");
        if expected != "pulled" {
            assert!(text.contains("certificate"), "the cause is missing: {text}");
        }
    });
}

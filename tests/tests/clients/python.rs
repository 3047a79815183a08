//! The official Python client.

use std::path::Path;

use tests::clients;

#[test]
fn the_python_client() {
    // Before the cluster is started: its network leads nowhere.
    let packages = match clients::python() {
        Ok(packages) => packages,
        Err(why) => return clients::absent("Python client", &why),
    };
    let scripts = clients::scripts("python");
    let scripts = scripts.to_str().unwrap();
    crate::drive(
        "python3",
        &["-m", "unittest", "discover", "--verbose", "--start-directory", scripts],
        // It would leave its compiled scripts in the repository.
        &[("PYTHONPATH", &packages), ("PYTHONDONTWRITEBYTECODE", Path::new("1"))],
    );
}

//! The official JavaScript client.

use tests::clients;

#[test]
fn the_javascript_client() {
    // Before the cluster is started: its network leads nowhere.
    let packages = match clients::javascript() {
        Ok(packages) => packages,
        Err(why) => return clients::absent("JavaScript client", &why),
    };
    let files: Vec<String> = ["objects", "apply", "informer", "custom"]
        .map(|name| clients::scripts("javascript").join(format!("{name}.test.js")))
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let mut arguments = vec!["--test"];
    arguments.extend(files.iter().map(String::as_str));
    crate::drive("node", &arguments, &[("NODE_PATH", &packages)]);
}

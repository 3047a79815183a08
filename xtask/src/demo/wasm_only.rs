//! fixtures/demo.yaml for a host that permits no native containers.

/// The manifest without the container that starts with `- name: neighbour`.
pub(crate) fn without_native(manifest: &str) -> String {
    let mut kept = String::new();
    let mut inside: Option<usize> = None;
    for line in manifest.lines() {
        let indent = line.len() - line.trim_start().len();
        if line.trim_start().starts_with("- name: neighbour") {
            inside = Some(indent);
            continue;
        }
        if inside.is_some_and(|start| indent > start) {
            continue;
        }
        inside = None;
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_native_container_goes() {
        let manifest = include_str!("../../../fixtures/demo.yaml");
        let kept = super::without_native(manifest);
        assert!(!kept.contains("neighbour"));
        assert!(kept.contains("image: demo/web:v1"));
        assert!(kept.contains("kind: Service"));
        assert_eq!(manifest.lines().count() - kept.lines().count(), 7);
    }
}

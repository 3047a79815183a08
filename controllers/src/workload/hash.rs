//! The short text that stands for a template, in labels and at the end of names.
//!
//! It has the form of Kubernetes' hashes: up to ten letters and digits that make no words. Equal
//! templates have equal hashes; two templates with one hash are told apart by a collision count.

use k8s_openapi::api::core::v1::PodTemplateSpec;

/// FNV-1a, 32 bits: short enough for a name. Source: <http://www.isthe.com/chongo/tech/comp/fnv/>.
const OFFSET: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

/// No object's name is longer.
const LONGEST_NAME: usize = 253;

/// The hash of a template, after `collisions` others turned out to be taken.
pub(crate) fn of(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    // Fields come in a fixed order and maps are sorted; absent fields, those of a later version of
    // the API included, leave no trace.
    let mut bytes = serde_json::to_vec(template).unwrap_or_default();
    if let Some(collisions) = collisions {
        bytes.extend(collisions.to_le_bytes());
    }
    let sum = bytes.iter().fold(OFFSET, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(PRIME));
    api::names::safe_encode(&sum.to_string())
}

/// `<owner>-<hash>`, the owner's name shortened if the whole would be too long.
pub(crate) fn name(owner: &str, hash: &str) -> String {
    let room = LONGEST_NAME.saturating_sub(hash.len() + 1);
    let prefix: String = owner.chars().take(room).collect();
    format!("{prefix}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(image: &str) -> PodTemplateSpec {
        serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "image": image}]}}))
            .unwrap()
    }

    #[test]
    fn equal_templates_have_equal_hashes() {
        let hash = of(&template("a"), None);
        assert_eq!(hash, of(&template("a"), None));
        assert_ne!(hash, of(&template("b"), None));
        assert_ne!(hash, of(&template("a"), Some(0)));
        assert_ne!(of(&template("a"), Some(1)), of(&template("a"), Some(0)));
        assert!((1..=10).contains(&hash.len()), "{hash}");
        assert!(hash.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b)), "{hash}");
    }

    #[test]
    fn names_fit() {
        assert_eq!(name("web", "abc"), "web-abc");
        let long = name(&"x".repeat(253), "abc");
        assert_eq!(long.len(), LONGEST_NAME);
        assert!(long.ends_with("x-abc"));
    }
}

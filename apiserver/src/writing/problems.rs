//! What is odd about a body, or about the object in it: warnings, or under strict validation a refusal.

use api::resources::Resource;
use api::status::Status;
use serde_json::Value;

use super::Part;
use crate::request::options::FieldValidation;

/// Turns the problems that decoding found into warnings or a refusal, as the client asked.
///
/// # Errors
/// 400 `strict decoding error: …` under strict validation.
pub(crate) fn judge(
    resource: &Resource,
    validation: FieldValidation,
    problems: Vec<String>,
) -> Result<Vec<String>, Status> {
    judge_kind((&resource.kind, &resource.version), validation, problems)
}

/// [`judge`] for what is no resource of its own: a kind and its version.
///
/// # Errors
/// Those of [`judge`].
pub(crate) fn judge_kind(
    (kind, version): (&str, &str),
    validation: FieldValidation,
    problems: Vec<String>,
) -> Result<Vec<String>, Status> {
    match validation {
        _ if problems.is_empty() => Ok(problems),
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(told(problems)),
        FieldValidation::Strict => {
            let problems = problems.join(", ");
            Err(Status::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding \
                 error: {problems}"
            )))
        }
    }
}

/// Problems as warnings: what YAML has many of is one problem, and many warnings.
pub(crate) fn told(problems: Vec<String>) -> Vec<String> {
    let mut warnings = Vec::with_capacity(problems.len());
    for problem in problems {
        match problem.split_once("yaml: unmarshal errors:\n") {
            Some((_, lines)) => {
                warnings.extend(lines.lines().map(|line| line.trim().to_owned()));
            }
            None => warnings.push(problem),
        }
    }
    warnings
}

/// Takes out owners that an object names twice, and says so. `patched`: a patch has made the object.
pub(crate) fn dedup_owners(object: &mut Value, patched: bool) -> Option<String> {
    let uids = api::owner::dedup_references(object);
    if uids.is_empty() {
        return None;
    }
    let when = if patched { " after mutating admission happens" } else { "" };
    Some(format!(
        ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references \
         in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate \
         UID(s) observed: {}",
        uids.join(", ")
    ))
}

/// What a kind has to say about a write that is accepted; `old` is null for a new object. (That a
/// resource is deprecated is told with every answer.)
pub(crate) fn warnings(resource: &Resource, part: Part, new: &Value, old: &Value) -> Vec<String> {
    let strategy = &resource.strategy;
    match part {
        Part::Main | Part::Scale => {
            let mut told = strategy.warnings(new);
            told.extend(strategy.warnings_of_change(new, old));
            told
        }
        Part::Status => strategy.warnings_of_status(new),
        Part::Subresource(_) | Part::Finalize | Part::Raw => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_yaml_is_a_warning() {
        let twice = "yaml: unmarshal errors:\n  line 2: key \"a\" already set in map\n  line 3: x";
        for (problems, want) in [
            (vec!["unknown field \"a\""], vec!["unknown field \"a\""]),
            (vec![twice, "b"], vec!["line 2: key \"a\" already set in map", "line 3: x", "b"]),
        ] {
            assert_eq!(told(problems.into_iter().map(str::to_owned).collect()), want);
        }
    }
}

//! What is odd about a body, or about the object in it: warnings, or under strict validation a refusal.

use api::resources::Resource;
use api::status::Status;
use serde_json::Value;

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

/// All warnings about an object that is accepted. (That a resource is deprecated is told with every
/// answer.)
pub(crate) fn warnings(
    resource: &Resource,
    object: &Value,
    mut problems: Vec<String>,
) -> Vec<String> {
    problems.extend(resource.strategy.warnings(object));
    problems
}

/// All warnings about an object that is new.
pub(crate) fn warnings_of_new(
    resource: &Resource,
    object: &Value,
    problems: Vec<String>,
) -> Vec<String> {
    let mut all = warnings(resource, object, problems);
    all.extend(resource.strategy.warnings_of_change(object, &Value::Null));
    all
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

//! The parameters of list, watch and deletecollection, and which moment they are about.
//!
//! Rules and wording follow k8s.io/apimachinery/pkg/apis/meta/internalversion (validation and
//! defaults), k8s.io/apiserver/pkg/storage (ValidateListOptions) and the "API concepts" page
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/>).

use std::time::Duration;

use api::field::{FieldError, Path};
use api::resources::GroupKind;
use api::status::Status;
use store::Revision;

use super::{Query, no_number};

/// Which moment a read is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// As recent as the store: nothing was asked for.
    Consistent,
    /// Whatever is at hand: `resourceVersion=0`.
    Any,
    /// At least this recent.
    NotOlderThan(Revision),
    /// This one and no other.
    Exact(Revision),
}

/// The parameters of list, watch and deletecollection.
#[derive(Clone, Debug)]
pub(crate) struct ListOptions {
    /// `labelSelector`.
    pub(crate) labels: String,
    /// `fieldSelector`.
    pub(crate) fields: String,
    /// `limit`; none or 0 is no limit.
    pub(crate) limit: Option<usize>,
    /// `continue`, "" for the first page.
    pub(crate) continue_token: String,
    /// `resourceVersion` with `resourceVersionMatch`.
    pub(crate) moment: Moment,
    /// `watch=true`.
    pub(crate) watch: bool,
    /// `allowWatchBookmarks`.
    pub(crate) bookmarks: bool,
    /// `sendInitialEvents`, which a watch may say either way or not at all; one that names no
    /// version has said yes.
    pub(crate) initial_events: Option<bool>,
    /// `timeoutSeconds`.
    pub(crate) timeout: Option<Duration>,
}

impl ListOptions {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// 400 for a number that is none and for a version of a continued list, 422 for other
    /// combinations that mean nothing.
    pub(crate) fn parse(query: &Query) -> Result<ListOptions, Status> {
        let watch = query.flag("watch").unwrap_or(false);
        let (limit, timeout) = (query.number("limit")?, query.number("timeoutSeconds")?);
        let version = query.get("resourceVersion");
        let matching = query.get("resourceVersionMatch");
        let continue_token = query.get("continue").to_owned();
        let mut initial_events = query.flag("sendInitialEvents");
        check(watch, version, matching, &continue_token, initial_events)?;
        let revision = parse_version(version)?;
        // A watch from nowhere, or from anywhere, begins with everything there is, and says when
        // it has been through, as if that had been asked for.
        if watch && initial_events.is_none() && matches!(version, "" | "0") {
            initial_events = Some(true);
        }
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        let moment = match (revision, matching) {
            (None, _) => Moment::Consistent,
            (Some(revision), "Exact") => Moment::Exact(revision),
            (Some(Revision(0)), _) => Moment::Any,
            (Some(revision), "NotOlderThan") => Moment::NotOlderThan(revision),
            // Without a match rule a page of a list at a version is exact, a whole list is not.
            (Some(revision), _) if limit.is_some() && !watch => Moment::Exact(revision),
            (Some(revision), _) => Moment::NotOlderThan(revision),
        };
        Ok(ListOptions {
            labels: query.get("labelSelector").to_owned(),
            fields: query.get("fieldSelector").to_owned(),
            limit,
            continue_token,
            moment,
            watch,
            bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
            initial_events,
            timeout: timeout
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        })
    }
}

/// Reads a resourceVersion; "" is none.
///
/// # Errors
/// 400 in Kubernetes' (that is, Go's) words.
pub(crate) fn parse_version(version: &str) -> Result<Option<Revision>, Status> {
    read_version(version).map_err(|reason| {
        let quoted = api::field::go_quote(version);
        Status::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {quoted}: {reason}"
        ))
    })
}

/// Reads a resourceVersion; "" is none.
///
/// # Errors
/// The bare reason, in Go's words.
pub(crate) fn read_version(version: &str) -> Result<Option<Revision>, String> {
    if version.is_empty() {
        return Ok(None);
    }
    // Go takes no sign here; and what no revision can be is out of range.
    let digits = if version.starts_with(['+', '-']) { "" } else { version };
    let number = digits.parse::<i64>().map(|number| Some(Revision(number)));
    number.map_err(|error| no_number("Uint", version, &error))
}

/// Checks `resourceVersionMatch`, `sendInitialEvents` and what they may be combined with.
fn check(
    watch: bool,
    version: &str,
    matching: &str,
    continue_token: &str,
    initial_events: Option<bool>,
) -> Result<(), Status> {
    let mut errors = Vec::new();
    let path = Path::new("resourceVersionMatch");
    let mut forbid = |detail: &str| errors.push(FieldError::forbidden(&path, detail));
    if watch && initial_events.is_some() && matching != "NotOlderThan" {
        forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if !matching.is_empty() {
        if watch && initial_events.is_none() {
            forbid(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
        if !watch && version.is_empty() {
            forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if !watch && !continue_token.is_empty() {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        let supported: &[&str] =
            if watch { &["NotOlderThan"] } else { &["Exact", "NotOlderThan", ""] };
        if !supported.contains(&matching) {
            errors.push(FieldError::not_supported(&path, matching, supported));
        }
        if watch && !continue_token.is_empty() {
            let detail = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(&path, detail));
        }
        if !watch && matching == "Exact" && version == "0" {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    if !watch && initial_events.is_some() {
        let detail = "sendInitialEvents is forbidden for list";
        errors.push(FieldError::forbidden(&Path::new("sendInitialEvents"), detail));
    }
    if !errors.is_empty() {
        let kind = GroupKind::new("meta.k8s.io", "ListOptions");
        return Err(Status::invalid(&kind, "", &errors));
    }
    if !watch && !continue_token.is_empty() && !matches!(version, "" | "0") {
        let message = "specifying resource version is not allowed when using continue";
        return Err(Status::bad_request(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str) -> Result<ListOptions, Status> {
        ListOptions::parse(&Query::parse(query))
    }

    /// Every combination of the parameters that say which moment is meant, with what it means.
    #[test]
    fn moments() {
        use Moment::{Any, Consistent, Exact, NotOlderThan};
        let seven = Revision(7);
        for (version, limit, matching, list_means, watch_means) in [
            ("", "", "", Ok(Consistent), Ok(Consistent)),
            ("", "2", "", Ok(Consistent), Ok(Consistent)),
            ("", "", "Exact", Err(422), Err(422)),
            ("", "2", "Exact", Err(422), Err(422)),
            ("", "", "NotOlderThan", Err(422), Err(422)),
            ("", "2", "NotOlderThan", Err(422), Err(422)),
            ("0", "", "", Ok(Any), Ok(Any)),
            ("0", "2", "", Ok(Any), Ok(Any)),
            ("0", "", "Exact", Err(422), Err(422)),
            ("0", "2", "Exact", Err(422), Err(422)),
            ("0", "", "NotOlderThan", Ok(Any), Err(422)),
            ("0", "2", "NotOlderThan", Ok(Any), Err(422)),
            ("7", "", "", Ok(NotOlderThan(seven)), Ok(NotOlderThan(seven))),
            // Without a match rule a page of a list at a version is exact, a whole list is not.
            ("7", "2", "", Ok(Exact(seven)), Ok(NotOlderThan(seven))),
            ("7", "", "Exact", Ok(Exact(seven)), Err(422)),
            ("7", "2", "Exact", Ok(Exact(seven)), Err(422)),
            ("7", "", "NotOlderThan", Ok(NotOlderThan(seven)), Err(422)),
            ("7", "2", "NotOlderThan", Ok(NotOlderThan(seven)), Err(422)),
            ("7", "2", "Sometimes", Err(422), Err(422)),
            ("x", "", "", Err(400), Err(400)),
            ("-1", "", "", Err(400), Err(400)),
        ] {
            let mut query = String::new();
            for (key, value) in
                [("resourceVersion", version), ("limit", limit), ("resourceVersionMatch", matching)]
            {
                if !value.is_empty() {
                    query.push_str(&format!("&{key}={value}"));
                }
            }
            let moment = |query: &str| {
                list(query).map(|options| options.moment).map_err(|status| status.code)
            };
            assert_eq!(moment(&query), list_means, "list {query}");
            assert_eq!(moment(&format!("watch=1{query}")), watch_means, "watch {query}");
            if list_means.is_ok() {
                let continued = format!("continue=c{query}");
                let want = match (version, matching) {
                    (_, "Exact" | "NotOlderThan") => Err(422),
                    ("" | "0", _) => list_means,
                    _ => Err(400),
                };
                assert_eq!(moment(&continued), want, "continued {query}");
            }
        }
    }

    #[test]
    fn initial_events_are_asked_for() {
        let rule = "resourceVersionMatch=NotOlderThan";
        for (query, want) in [
            ("watch=1".to_owned(), Some(true)),
            ("watch=1&resourceVersion=0".to_owned(), Some(true)),
            ("watch=1&resourceVersion=7".to_owned(), None),
            (format!("watch=1&sendInitialEvents=true&{rule}"), Some(true)),
            (format!("watch=1&sendInitialEvents=false&{rule}"), Some(false)),
            (format!("watch=1&sendInitialEvents=true&resourceVersion=7&{rule}"), Some(true)),
            (String::new(), None),
        ] {
            assert_eq!(list(&query).expect("valid").initial_events, want, "{query}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let requires = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        let unless = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is \
                      provided";
        let continued = "resourceVersionMatch is forbidden when continue is provided";
        let versionless = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        let at = "resourceVersionMatch";
        for (query, want) in [
            ("watch=1&sendInitialEvents=false", format!("{at}: Forbidden: {requires}")),
            ("watch=1&resourceVersionMatch=NotOlderThan", format!("{at}: Forbidden: {unless}")),
            (
                "watch=1&sendInitialEvents=true&resourceVersionMatch=Exact",
                format!(
                    "[{at}: Forbidden: {requires}, {at}: Unsupported value: \"Exact\": supported \
                     values: \"NotOlderThan\"]"
                ),
            ),
            (
                "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=c",
                format!("{at}: Forbidden: {continued}"),
            ),
            (
                "continue=c&resourceVersionMatch=Exact",
                format!("[{at}: Forbidden: {versionless}, {at}: Forbidden: {continued}]"),
            ),
            (
                "resourceVersion=1&resourceVersionMatch=Sometimes",
                format!(
                    "{at}: Unsupported value: \"Sometimes\": supported values: \"Exact\", \
                     \"NotOlderThan\", \"\""
                ),
            ),
            (
                "sendInitialEvents=true",
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list".to_owned(),
            ),
        ] {
            let status = list(query).expect_err("refused");
            let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {want}");
            assert_eq!((status.code, status.message), (422, message), "{query}");
        }
        let status = list("continue=c&resourceVersion=7").expect_err("refused");
        let message = "specifying resource version is not allowed when using continue";
        assert_eq!((status.code, &*status.message), (400, message));
    }

    #[test]
    fn what_is_no_number_is_refused_as_go_refuses_it() {
        for (query, want) in [
            ("limit=abc", "strconv.ParseInt: parsing \"abc\": invalid syntax"),
            ("limit=", "strconv.ParseInt: parsing \"\": invalid syntax"),
            ("limit=1.5", "strconv.ParseInt: parsing \"1.5\": invalid syntax"),
            ("timeoutSeconds=5s", "strconv.ParseInt: parsing \"5s\": invalid syntax"),
            (
                "watch=1&timeoutSeconds=9223372036854775808",
                "strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
            ),
            (
                "resourceVersion=%2B5",
                "invalid resource version: resourceVersion: Invalid value: \"+5\": \
                 strconv.ParseUint: parsing \"+5\": invalid syntax",
            ),
            (
                "resourceVersion=99999999999999999999",
                "invalid resource version: resourceVersion: Invalid value: \
                 \"99999999999999999999\": strconv.ParseUint: parsing \
                 \"99999999999999999999\": value out of range",
            ),
        ] {
            let status = list(query).unwrap_err();
            assert_eq!((status.code, &*status.message), (400, want), "{query}");
            assert_eq!(status.reason, "BadRequest");
        }
        let options = list("limit=-1&timeoutSeconds=-5").unwrap();
        assert_eq!((options.limit, options.timeout), (None, None));
    }
}

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
    /// `sendInitialEvents`, which a watch may say either way or not at all.
    pub(crate) initial_events: Option<bool>,
    /// `timeoutSeconds`.
    pub(crate) timeout: Option<Duration>,
}

impl ListOptions {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    /// 400 for a number that is none, 422 for combinations that mean nothing.
    pub(crate) fn parse(query: &Query) -> Result<ListOptions, Status> {
        let watch = query.flag("watch").unwrap_or(false);
        let (limit, timeout) = (query.number("limit")?, query.number("timeoutSeconds")?);
        let version = query.get("resourceVersion");
        let matching = query.get("resourceVersionMatch");
        let continue_token = query.get("continue").to_owned();
        let initial_events = query.flag("sendInitialEvents");
        let revision = parse_version(version)?;
        check_match(watch, version, matching, &continue_token, initial_events)?;
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
    if version.is_empty() {
        return Ok(None);
    }
    // Go takes no sign here; and what no revision can be is out of range.
    let digits = if version.starts_with(['+', '-']) { "" } else { version };
    digits.parse::<i64>().map(|number| Some(Revision(number))).map_err(|error| {
        let quoted = api::field::go_quote(version);
        let detail = no_number("Uint", version, &error);
        Status::bad_request(format!(
            "invalid resource version: resourceVersion: Invalid value: {quoted}: {detail}"
        ))
    })
}

fn check_match(
    watch: bool,
    version: &str,
    matching: &str,
    continue_token: &str,
    initial_events: Option<bool>,
) -> Result<(), Status> {
    let mut errors = Vec::new();
    let path = Path::new("resourceVersionMatch");
    let mut forbid = |path: &Path, detail: &str| errors.push(FieldError::forbidden(path, detail));
    if watch {
        if initial_events.is_some() && matching.is_empty() {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            forbid(&path, detail);
        } else if initial_events.is_none() && !matching.is_empty() {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is \
                          provided";
            forbid(&path, detail);
        } else if !matches!(matching, "" | "NotOlderThan") {
            let values = ["NotOlderThan"];
            errors.push(FieldError::not_supported(&path, matching, &values));
        }
    } else {
        if initial_events.is_some() {
            let path = Path::new("sendInitialEvents");
            forbid(&path, "sendInitialEvents is forbidden for list");
        }
        if !matching.is_empty() && version.is_empty() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            forbid(&path, detail);
        } else if !matching.is_empty() && !continue_token.is_empty() {
            forbid(&path, "resourceVersionMatch is forbidden when continue is provided");
        } else if !matches!(matching, "" | "Exact" | "NotOlderThan") {
            let values = ["Exact", "NotOlderThan", ""];
            errors.push(FieldError::not_supported(&path, matching, &values));
        } else if matching == "Exact" && version == "0" {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            forbid(&path, detail);
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind::new("meta.k8s.io", "ListOptions");
    Err(Status::invalid(&kind, "", &errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str) -> Result<ListOptions, Status> {
        ListOptions::parse(&Query::parse(query))
    }

    #[test]
    fn moments() {
        for (query, want) in [
            ("", Moment::Consistent),
            ("limit=500", Moment::Consistent),
            ("resourceVersion=0", Moment::Any),
            ("resourceVersion=0&limit=500", Moment::Any),
            ("resourceVersion=7", Moment::NotOlderThan(Revision(7))),
            ("resourceVersion=7&limit=2", Moment::Exact(Revision(7))),
            (
                "resourceVersion=7&limit=2&resourceVersionMatch=NotOlderThan",
                Moment::NotOlderThan(Revision(7)),
            ),
            ("resourceVersion=7&resourceVersionMatch=Exact", Moment::Exact(Revision(7))),
            ("resourceVersion=7&limit=2&watch=1", Moment::NotOlderThan(Revision(7))),
        ] {
            assert_eq!(list(query).unwrap().moment, want, "{query}");
        }
    }

    #[test]
    fn combinations_that_mean_nothing() {
        for (query, code) in [
            ("resourceVersion=x", 400),
            ("resourceVersion=-1", 400),
            ("resourceVersionMatch=Exact", 422),
            ("resourceVersionMatch=Sometimes&resourceVersion=1", 422),
            ("resourceVersionMatch=Exact&resourceVersion=0", 422),
            ("sendInitialEvents=true", 422),
            ("watch=true&sendInitialEvents=true", 422),
            ("watch=true&resourceVersionMatch=NotOlderThan&resourceVersion=1", 422),
        ] {
            assert_eq!(list(query).map(|_| ()).unwrap_err().code, code, "{query}");
        }
        let ok = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(list(ok).unwrap().initial_events, Some(true));
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

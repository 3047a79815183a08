//! Accept and Content-Type: in which form to answer, in which form the body comes.
//!
//! Inside, everything is JSON. YAML and, for built-in objects, protobuf are translated at the edge:
//! bodies in [`super::payload`], answers in [`crate::response`]. What is no object (Tables,
//! discovery) and what has no built-in type (custom resources) has no protobuf form; the metadata
//! of any object is built in. A watch is not shown in YAML, whose documents have no end.

mod preference;

use api::protobuf::MEDIA_TYPE;
use api::status::Status;

use preference::by_preference;

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Object,
    /// As rows for people: `as=Table;g=meta.k8s.io`.
    Table(MetaVersion),
    /// Metadata only: `as=PartialObjectMetadata`.
    Metadata(MetaVersion),
    /// The metadata of a list's objects: `as=PartialObjectMetadataList`.
    MetadataList(MetaVersion),
}

/// The version of `meta.k8s.io` in which objects are shown as something else. They look the same in
/// both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaVersion {
    /// `v1`.
    V1,
    /// `v1beta1`, which clients from before 1.15 ask for.
    V1Beta1,
}

impl MetaVersion {
    /// As in the field `apiVersion`.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            MetaVersion::V1 => "meta.k8s.io/v1",
            MetaVersion::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// In which encoding objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

/// What was picked from an Accept header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// How to show objects.
    pub(crate) form: Form,
    /// In which encoding.
    pub(crate) media: Media,
}

/// What can be produced, as the 406 lists it.
const PRODUCES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
/// How the media type of a watch ends.
const STREAM: &str = ";stream=watch";
/// What can be read, as the 415 lists it.
const READS: &[&str] = &["application/json", "application/yaml", MEDIA_TYPE];

/// Picks the first clause of the Accept header that can be produced. `protobuf` says whether
/// objects of the resource have a protobuf form: all but custom resources.
///
/// # Errors
/// 406 if there is none.
pub(crate) fn accepted(accept: Option<&str>, protobuf: bool) -> Result<Accepted, Status> {
    pick(accept, protobuf, false).ok_or_else(|| refuse(accept, !protobuf, false))
}

/// [`accepted`] for what is no object, and has no protobuf form.
///
/// # Errors
/// 406 if there is none.
pub(crate) fn accepted_document(accept: Option<&str>) -> Result<Accepted, Status> {
    pick(accept, false, false).ok_or_else(|| Status::not_acceptable(PRODUCES))
}

/// [`accepted`] for what has no columns, and so cannot be a Table.
///
/// # Errors
/// 406 if there is none.
pub(crate) fn accepted_without_columns(
    accept: Option<&str>,
    protobuf: bool,
) -> Result<Accepted, Status> {
    let clauses = accept.unwrap_or_default().split(',');
    // A clause that asks for a Table is passed over, as one that nobody knows.
    let others: Vec<_> = clauses
        .filter(|clause| clause.split(';').all(|param| param.trim() != "as=Table"))
        .collect();
    match accept {
        Some(_) if others.is_empty() => Err(refuse(accept, !protobuf, false)),
        Some(_) => accepted(Some(&others.join(",")), protobuf),
        None => accepted(None, protobuf),
    }
}

/// Checks what a log may be, which then is text all the same.
///
/// # Errors
/// 406 for a client that takes text only.
pub(crate) fn check_log(accept: Option<&str>) -> Result<(), Status> {
    pick(accept, true, false).map(drop).ok_or_else(|| refuse(accept, true, false))
}

/// [`accepted`] for a watch.
///
/// # Errors
/// 406 if there is none.
pub(crate) fn accepted_stream(accept: Option<&str>, protobuf: bool) -> Result<Accepted, Status> {
    pick(accept, protobuf, true).ok_or_else(|| refuse(accept, !protobuf, true))
}

/// The 406. Requests for built-in resources come through a router that knows media types without
/// their parameters, and refuses those it does not know in its own words.
fn refuse(accept: Option<&str>, custom: bool, stream: bool) -> Status {
    let mut media = accept.unwrap_or_default().split(',').map(media_type);
    if !custom && !media.any(|media| media == "*/*" || PRODUCES.contains(&media)) {
        return Status::not_acceptable(PRODUCES);
    }
    let produced = PRODUCES.iter().filter(|media| media.ends_with(STREAM) == stream);
    Status::not_accepted(&produced.copied().collect::<Vec<_>>())
}

/// The media type of a clause, without its parameters.
fn media_type(clause: &str) -> &str {
    clause.split(';').next().unwrap_or_default().trim()
}

fn pick(accept: Option<&str>, protobuf: bool, stream: bool) -> Option<Accepted> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Some(Accepted { form: Form::Object, media: Media::Json });
    };
    for clause in by_preference(accept) {
        let mut params = clause.split(';').map(str::trim);
        let media = params.next().unwrap_or_default();
        let media = match media {
            "application/json" | "application/*" | "*/*" | "*" => Media::Json,
            "application/yaml" if !stream => Media::Yaml,
            MEDIA_TYPE => Media::Protobuf,
            _ => continue,
        };
        let mut shown_as = "";
        let mut group = "";
        let mut version = "";
        for param in params {
            match param.split_once('=') {
                Some(("as", value)) => shown_as = value,
                Some(("g", value)) => group = value,
                Some(("v", value)) => version = value,
                _ => {}
            }
        }
        let version = match version {
            "v1" if group == "meta.k8s.io" => Some(MetaVersion::V1),
            "v1beta1" if group == "meta.k8s.io" => Some(MetaVersion::V1Beta1),
            _ => None,
        };
        let form = match (shown_as, version) {
            ("", _) if media != Media::Protobuf || protobuf => Form::Object,
            ("Table", Some(version)) if media != Media::Protobuf => Form::Table(version),
            ("PartialObjectMetadata", Some(version)) => Form::Metadata(version),
            ("PartialObjectMetadataList", Some(version)) => Form::MetadataList(version),
            _ => continue,
        };
        return Some(Accepted { form, media });
    }
    None
}

/// The version in which the client wants the aggregated form of discovery, if it prefers that:
/// `v2`, or what older clients know, `v2beta1`.
pub(crate) fn aggregated_discovery(accept: Option<&str>) -> Option<&'static str> {
    for clause in by_preference(accept?) {
        let params: Vec<_> = clause.split(';').map(str::trim).collect();
        let says = |param: &str| params.contains(&param);
        if says("as=APIGroupDiscoveryList") && says("g=apidiscovery.k8s.io") {
            match ["v2", "v2beta1"].into_iter().find(|known| says(&format!("v={known}"))) {
                Some(version) => return Some(version),
                None => continue,
            }
        }
        if let ["application/json" | "application/yaml" | "*/*"] = params[..] {
            return None;
        }
    }
    None
}

/// The format of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes' protobuf.
    Protobuf,
}

/// The format that a Content-Type names; none is JSON. `protobuf`: whether objects of the resource
/// have a protobuf form.
///
/// # Errors
/// 415 for anything else.
pub(crate) fn format(content_type: Option<&str>, protobuf: bool) -> Result<Format, Status> {
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match media {
        "" | "application/json" => Ok(Format::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Format::Yaml),
        MEDIA_TYPE if protobuf => Ok(Format::Protobuf),
        _ => Err(Status::unsupported_media_type(if protobuf { READS } else { &READS[..2] })),
    }
}

/// Whether JSON is to be shown with a field per line: as the query says (`pretty=true`), or the Accept
/// header (`application/json;pretty=1`), else for what people read with. `agent`: the User-Agent.
/// Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation.
pub(crate) fn is_pretty(query: &str, accept: Option<&str>, agent: Option<&str>) -> bool {
    if accept.is_some_and(|accept| accept.split([',', ';']).any(|part| part.trim() == "pretty=1")) {
        return true;
    }
    let mut said = query.split('&').filter_map(|pair| pair.strip_prefix("pretty="));
    match said.next().unwrap_or_default() {
        "" => {
            let agent = agent.unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|human| agent.starts_with(human))
        }
        said => matches!(said, "1" | "t" | "T" | "TRUE" | "true" | "True"),
    }
}

/// Whether the client takes gzip.
pub(crate) fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    accept_encoding.is_some_and(|accepted| {
        accepted.split(',').any(|clause| {
            let mut params = clause.split(';').map(str::trim);
            params.next() == Some("gzip") && !params.any(|q| matches!(q, "q=0" | "q=0.0"))
        })
    })
}

/// Whether a patch of this Content-Type is a server-side apply. (CBOR, in which Kubernetes can be
/// asked to take one, is off there by default.)
pub(crate) fn is_apply(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim() == "application/apply-patch+yaml"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_is_no_table() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for (accept, code) in [
            (None, 0),
            (Some("application/json"), 0),
            (Some(table), 406),
            (Some("application/json;as=Table;v=v1;g=meta.k8s.io, application/json"), 0),
        ] {
            let got = accepted_without_columns(accept, true);
            assert_eq!(got.err().map_or(0, |status| status.code), code, "{accept:?}");
        }
    }

    #[test]
    fn what_is_liked_best_is_tried_first() {
        let both = "application/vnd.kubernetes.protobuf;q=0.5,application/yaml;q=0.7";
        assert_eq!(accepted(Some(both), true).expect("known").media, Media::Yaml);
        let plain = "application/json;q=0.5;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io,\
                     application/json";
        assert_eq!(aggregated_discovery(Some(plain)), None);
    }

    #[test]
    fn what_is_accepted() {
        use Media::{Json, Protobuf, Yaml};
        use MetaVersion::{V1, V1Beta1};
        let (object, rows, list) = (Form::Object, Form::Table(V1), Form::MetadataList(V1));

        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                     application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let both = "application/vnd.kubernetes.protobuf,application/json";
        let metadata = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        let metadata = [
            format!("application/json;{metadata}"),
            format!("application/vnd.kubernetes.protobuf;{metadata},application/json;{metadata}"),
        ];
        for (accept, built_in, custom) in [
            (None, Ok((object, Json)), Ok((object, Json))),
            (Some("application/json"), Ok((object, Json)), Ok((object, Json))),
            (Some("application/json, */*"), Ok((object, Json)), Ok((object, Json))),
            (Some(both), Ok((object, Protobuf)), Ok((object, Json))),
            (Some(MEDIA_TYPE), Ok((object, Protobuf)), Err(406)),
            (
                Some("application/vnd.kubernetes.protobuf;stream=watch"),
                Ok((object, Protobuf)),
                Err(406),
            ),
            (Some(table), Ok((rows, Json)), Ok((rows, Json))),
            (
                Some("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io"),
                Err(406),
                Err(406),
            ),
            (Some(&metadata[0]), Ok((list, Json)), Ok((list, Json))),
            (Some(&metadata[1]), Ok((list, Protobuf)), Ok((list, Protobuf))),
            (Some("application/yaml"), Ok((object, Yaml)), Ok((object, Yaml))),
            (Some("text/html, application/yaml, */*"), Ok((object, Yaml)), Ok((object, Yaml))),
            (
                Some("application/yaml;as=Table;v=v1;g=meta.k8s.io"),
                Ok((rows, Yaml)),
                Ok((rows, Yaml)),
            ),
            (
                Some("application/json;as=Table;v=v1beta1;g=meta.k8s.io"),
                Ok((Form::Table(V1Beta1), Json)),
                Ok((Form::Table(V1Beta1), Json)),
            ),
            (
                Some("application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io"),
                Ok((Form::Metadata(V1Beta1), Json)),
                Ok((Form::Metadata(V1Beta1), Json)),
            ),
            (Some("text/html"), Err(406), Err(406)),
        ] {
            for (protobuf, want) in [(true, built_in), (false, custom)] {
                let got = accepted(accept, protobuf).map(|got| (got.form, got.media));
                assert_eq!(got.map_err(|status| status.code), want, "{accept:?} {protobuf}");
            }
        }
    }

    #[test]
    fn who_refuses_a_media_type_says_so_in_its_own_words() {
        let routed = Status::not_acceptable(PRODUCES).message;
        let objects = "only the following media types are accepted: application/json, \
                       application/yaml, application/vnd.kubernetes.protobuf";
        for (accept, built_in, custom) in [
            ("text/html", &*routed, objects),
            ("text/html, application/yaml;as=Nothing;v=v1;g=meta.k8s.io", objects, objects),
            ("application/json;as=Table;v=v9;g=meta.k8s.io", objects, objects),
        ] {
            for (protobuf, want) in [(true, built_in), (false, custom)] {
                let status = accepted(Some(accept), protobuf).expect_err(accept);
                assert_eq!(status.message, want, "{accept} {protobuf}");
            }
        }
        let status = accepted(Some(MEDIA_TYPE), false).expect_err("no protobuf form");
        assert_eq!((&*status.message, status.details), (objects, None));
        let status = accepted_stream(Some("text/html"), true).expect_err("unknown");
        assert_eq!(status.message, routed);
    }

    #[test]
    fn people_get_lines() {
        for (query, accept, agent, want) in [
            ("", None, None, false),
            ("", None, Some("kubectl/v1.36.2 (linux/amd64)"), false),
            ("", None, Some("curl/8.5.0"), true),
            ("", None, Some("Wget/1.21"), true),
            ("", None, Some("Mozilla/5.0 (X11)"), true),
            ("limit=1&pretty=false", None, Some("curl/8.5.0"), false),
            ("pretty=0", None, Some("curl/8.5.0"), false),
            ("pretty=", None, Some("curl/8.5.0"), true),
            ("pretty=true", None, None, true),
            ("a=b&pretty=1", Some("application/json"), None, true),
            ("pretty=yes", None, None, false),
            ("", Some("application/json;pretty=1"), None, true),
            ("", Some("application/json; pretty=0"), None, false),
        ] {
            assert_eq!(is_pretty(query, accept, agent), want, "{query} {accept:?} {agent:?}");
        }
    }

    #[test]
    fn discovery_has_versions() {
        let aggregated = |version: &str| {
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
        };
        let (v2, beta) = (aggregated("v2"), aggregated("v2beta1"));
        for (accept, want) in [
            (format!("{v2},{beta},application/json"), Some("v2")),
            (format!("{beta},application/json"), Some("v2beta1")),
            (format!("{}, {v2}", aggregated("v3")), Some("v2")),
            (format!("application/json,{v2}"), None),
            (aggregated("v3"), None),
            ("application/json".to_owned(), None),
        ] {
            assert_eq!(aggregated_discovery(Some(&accept)), want, "{accept}");
        }
        assert_eq!(aggregated_discovery(None), None);
    }

    #[test]
    fn watches_are_not_shown_in_yaml() {
        let media = |accept| accepted_stream(Some(accept), true).map(|accepted| accepted.media);
        assert_eq!(media("application/yaml, application/json"), Ok(Media::Json));
        assert_eq!(media("application/vnd.kubernetes.protobuf"), Ok(Media::Protobuf));
        let status = media("application/yaml").expect_err("refused");
        assert_eq!(
            (status.code, &*status.message),
            (
                406,
                "only the following media types are accepted: application/json;stream=watch, \
                 application/vnd.kubernetes.protobuf;stream=watch"
            )
        );
    }

    #[test]
    fn formats_and_encodings() {
        for (content_type, protobuf, want) in [
            ("application/json; charset=utf-8", true, Ok(Format::Json)),
            ("application/yaml", false, Ok(Format::Yaml)),
            (MEDIA_TYPE, true, Ok(Format::Protobuf)),
            (MEDIA_TYPE, false, Err("application/json, application/yaml")),
            ("text/plain", false, Err("application/json, application/yaml")),
            (
                "text/plain",
                true,
                Err("application/json, application/yaml, application/vnd.kubernetes.protobuf"),
            ),
        ] {
            let got = format(Some(content_type), protobuf);
            let want = want.map_err(|known| {
                format!(
                    "the body of the request was in an unknown format - accepted media types \
                     include: {known}"
                )
            });
            assert_eq!(got.map_err(|status| status.message), want, "{content_type} {protobuf}");
        }
        assert!(accepts_gzip(Some("br, gzip")));
        assert!(!accepts_gzip(Some("gzip;q=0")));
        assert!(!accepts_gzip(None));
    }
}

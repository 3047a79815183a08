//! Accept and Content-Type: in which form to answer, in which form the body comes.
//!
//! JSON is what this server speaks. `application/vnd.kubernetes.protobuf` is always asked for
//! together with JSON by the clients that matter, which then get JSON.

use api::status::Status;

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Object,
    /// As rows for people: `as=Table;g=meta.k8s.io`.
    Table,
    /// Metadata only: `as=PartialObjectMetadata` or `…List`.
    Metadata,
}

/// What can be produced, as the 406 lists it.
const PRODUCES: &[&str] = &["application/json", "application/json;stream=watch"];
/// What can be read, as the 415 lists it.
const READS: &[&str] = &["application/json", "application/yaml"];

/// Picks the first form of the Accept header that can be produced.
///
/// # Errors
/// 406 if there is none.
pub(crate) fn form(accept: Option<&str>) -> Result<Form, Status> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Ok(Form::Object);
    };
    for clause in accept.split(',') {
        let mut params = clause.split(';').map(str::trim);
        let media = params.next().unwrap_or_default();
        if !matches!(media, "application/json" | "application/*" | "*/*") {
            continue;
        }
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
        let known = group == "meta.k8s.io" && matches!(version, "v1" | "v1beta1");
        match shown_as {
            "" => return Ok(Form::Object),
            "Table" if known => return Ok(Form::Table),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if known => {
                return Ok(Form::Metadata);
            }
            _ => {}
        }
    }
    Err(Status::not_acceptable(PRODUCES))
}

/// Whether the client asks for the aggregated form of discovery, and in which version.
pub(crate) fn aggregated_discovery(accept: Option<&str>) -> bool {
    accept.is_some_and(|accept| {
        accept.split(',').any(|clause| {
            clause.contains("as=APIGroupDiscoveryList")
                && clause.contains("v=v2")
                && !clause.contains("v=v2beta1")
        })
    })
}

/// The text format of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// The format that a Content-Type names; none is JSON.
///
/// # Errors
/// 415 for anything else.
pub(crate) fn format(content_type: Option<&str>) -> Result<Format, Status> {
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match media {
        "" | "application/json" => Ok(Format::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Format::Yaml),
        _ => Err(Status::unsupported_media_type(READS)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,\
                     application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        for (accept, want) in [
            (None, Ok(Form::Object)),
            (Some("application/json"), Ok(Form::Object)),
            (Some("application/json, */*"), Ok(Form::Object)),
            (Some("application/vnd.kubernetes.protobuf,application/json"), Ok(Form::Object)),
            (Some(table), Ok(Form::Table)),
            (
                Some("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
                Ok(Form::Metadata),
            ),
            (Some("text/html"), Err(406)),
            (Some("application/vnd.kubernetes.protobuf"), Err(406)),
        ] {
            assert_eq!(form(accept).map_err(|status| status.code), want, "{accept:?}");
        }
    }

    #[test]
    fn formats_and_encodings() {
        assert_eq!(format(Some("application/json; charset=utf-8")).unwrap(), Format::Json);
        assert_eq!(format(Some("application/yaml")).unwrap(), Format::Yaml);
        assert_eq!(format(Some("text/plain")).unwrap_err().code, 415);
        assert!(accepts_gzip(Some("br, gzip")));
        assert!(!accepts_gzip(Some("gzip;q=0")));
        assert!(!accepts_gzip(None));
    }
}

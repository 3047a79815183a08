//! `/openapi/v2` and `/openapi/v3`: what there is, in detail, for clients that check, explain or
//! generate.
//!
//! A document is made when it is first asked for and kept in compressed form, until a row that it
//! shows changes: rows are compared by identity, so a document costs nothing before it is wanted and
//! a new custom resource is documented at once. Addresses of version 3 carry a hash of the document,
//! for clients keep what they find there for ever.
//!
//! Source: k8s.io/kube-openapi/pkg/handler and handler3.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write};
use std::sync::Arc;

use api::openapi::{Descriptions, PROTOBUF_V2, Source, document_path};
use api::resources::Resource;
use api::status::Status;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderName, HeaderValue, StatusCode, header};
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use jiff::{Timestamp, ToSpan as _};
use parking_lot::Mutex;
use ring::digest;
use serde_json::{Map, Value, json};

use crate::context::{Context, now};
use crate::request::Request;
use crate::request::negotiate;
use crate::request::options::Query;
use crate::response::{self, Answer, json_bytes};
use crate::server::body::Body;

const JSON: &str = "application/json";
/// Media types that mean version 2 in protobuf: the second one breaks the rules for media types,
/// and is the one that Go clients send.
const PROTOBUF_NAMES: [&str; 2] =
    [PROTOBUF_V2, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"];
/// What version 2 comes in, as the 406 lists it.
const V2_PRODUCES: [&str; 2] = [JSON, PROTOBUF_V2];

/// A document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    /// Version 3: the group and version it is about.
    V3(String, String),
    /// Version 2.
    V2,
    /// Version 2 in protobuf.
    V2Protobuf,
}

/// The documents that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    kept: Mutex<BTreeMap<Name, Arc<Kept>>>,
}

/// A document and what it was made of.
#[derive(Debug)]
struct Kept {
    rows: Vec<Arc<Resource>>,
    hash: String,
    gzip: Bytes,
    made: Timestamp,
}

impl Kept {
    fn is_of(&self, rows: &[&Arc<Resource>]) -> bool {
        self.rows.len() == rows.len()
            && self.rows.iter().zip(rows).all(|(ours, theirs)| Arc::ptr_eq(ours, theirs))
    }
}

impl Documents {
    /// The document of that name, as the rows are now.
    fn get(&self, name: Name, source: Source<'_>) -> Arc<Kept> {
        let rows = match &name {
            Name::V3(group, version) => source.rows_of(group, version),
            Name::V2 | Name::V2Protobuf => source.rows.iter().collect(),
        };
        if let Some(kept) = self.kept.lock().get(&name).filter(|kept| kept.is_of(&rows)) {
            return kept.clone();
        }
        let made = Arc::new(make(&name, source, rows.into_iter().cloned().collect()));
        self.kept.lock().insert(name, made.clone());
        made
    }

    /// Whether all documents of version 3 are as the rows are now.
    fn are_made(&self, groups: &[(&str, &str)], source: Source<'_>) -> bool {
        let kept = self.kept.lock();
        groups.iter().all(|(group, version)| {
            let name = Name::V3((*group).to_owned(), (*version).to_owned());
            kept.get(&name).is_some_and(|kept| kept.is_of(&source.rows_of(group, version)))
        })
    }

    /// Forgets the documents of groups that are gone.
    fn retain(&self, groups: &[(&str, &str)]) {
        self.kept.lock().retain(|name, _| match name {
            Name::V3(group, version) => groups.contains(&(&**group, &**version)),
            Name::V2 | Name::V2Protobuf => true,
        });
    }
}

fn make(name: &Name, source: Source<'_>, rows: Vec<Arc<Resource>>) -> Kept {
    let sink = Sink {
        digest: digest::Context::new(&digest::SHA256),
        gzip: GzEncoder::new(Vec::new(), Compression::default()),
    };
    // Documents are written in small pieces.
    let mut out = io::BufWriter::with_capacity(16 * 1024, sink);
    let written = match name {
        Name::V3(group, version) => source.write_v3(group, version, &mut out),
        Name::V2 => source.write_v2(&mut out),
        Name::V2Protobuf => out.write_all(&source.v2_protobuf()),
    };
    let whole = "writing into memory does not fail";
    written.expect(whole);
    let sink = out.into_inner().map_err(io::IntoInnerError::into_error).expect(whole);
    let mut hash = String::new();
    for byte in sink.digest.finish().as_ref() {
        let _ = write!(hash, "{byte:02X}");
    }
    let gzip = sink.gzip.finish().expect(whole);
    Kept { rows, hash, gzip: gzip.into_boxed_slice().into(), made: now() }
}

/// Compresses and hashes what is written.
struct Sink {
    digest: digest::Context,
    gzip: GzEncoder<Vec<u8>>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.digest.update(bytes);
        self.gzip.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers a path below `/openapi`; `None` for any other, and for groups that do not exist.
///
/// # Errors
/// 406 if no form of the document is accepted.
pub(super) fn answer(
    context: &Context,
    request: &Request,
    path: &str,
) -> Result<Option<Answer>, Status> {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let custom = |row: &Resource| custom_schema(context, row);
    let rows = context.custom.rows();
    let source = Source { rows: &rows, custom: &custom };
    let accept = request.header(header::ACCEPT);
    let document = |name| context.openapi.get(name, source);
    match parts[..] {
        ["openapi", "v2"] => {
            let media = v2_media(accept)?;
            let name = if media == JSON { Name::V2 } else { Name::V2Protobuf };
            Ok(Some(conditional(request, &document(name), media)))
        }
        ["openapi", "v3"] => {
            negotiate::accepted_document(accept)?;
            Ok(Some(index(context, request, source)))
        }
        ["openapi", "v3", "api", version] => group(request, source, ("", version), &document),
        ["openapi", "v3", "apis", name, version] => {
            group(request, source, (name, version), &document)
        }
        _ => Ok(None),
    }
}

/// The schema that the definition of a custom resource has for the row's version.
fn custom_schema(context: &Context, row: &Resource) -> Option<Value> {
    let definitions = context.caches.iter().find(|cache| {
        let of = cache.resource();
        of.group == "apiextensions.k8s.io" && of.plural == "customresourcedefinitions"
    })?;
    let definition = definitions.get(&format!("{}.{}", row.plural, row.group))?;
    let mut definition = definition.encoded().parse();
    let versions = definition["spec"]["versions"].as_array_mut()?;
    let version = versions.iter_mut().find(|version| version["name"] == *row.version)?;
    let schema = version["schema"]["openAPIV3Schema"].take();
    (!schema.is_null()).then_some(schema)
}

/// The media type of version 2 that the client likes first.
fn v2_media(accept: Option<&str>) -> Result<&'static str, Status> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else { return Ok(JSON) };
    let media = |clause: &str| match clause.split(';').next().unwrap_or_default().trim() {
        JSON | "application/*" | "*/*" => Some(JSON),
        name if PROTOBUF_NAMES.contains(&name) => Some(PROTOBUF_V2),
        _ => None,
    };
    accept.split(',').find_map(media).ok_or_else(|| Status::not_acceptable(&V2_PRODUCES))
}

/// `GET /openapi/v3`: all documents of version 3, and where they are.
fn index(context: &Context, request: &Request, source: Source<'_>) -> Answer {
    let groups = source.group_versions();
    context.openapi.retain(&groups);
    // Read once, if at all, for all that have to be made.
    let _read = (!context.openapi.are_made(&groups, source)).then(Descriptions::shared);
    let mut paths = Map::new();
    let mut changed = Timestamp::MIN;
    for (group, version) in groups {
        let name = Name::V3(group.to_owned(), version.to_owned());
        let document = context.openapi.get(name, source);
        changed = changed.max(document.made);
        let url = address(group, version, &document.hash);
        paths.insert(document_path(group, version), json!({"serverRelativeURL": url}));
    }
    let bytes = json!({"paths": paths}).to_string().into_bytes();
    let mut hash = String::new();
    for byte in digest::digest(&digest::SHA256, &bytes).as_ref() {
        let _ = write!(hash, "{byte:02X}");
    }
    let headers = validators(&hash, changed);
    let mut answer = if is_known(request, &headers, changed) {
        not_modified()
    } else {
        json_bytes(StatusCode::OK, bytes)
    };
    answer.headers_mut().extend(headers);
    answer
}

fn address(group: &str, version: &str, hash: &str) -> String {
    format!("/openapi/v3/{}?hash={hash}", document_path(group, version))
}

/// A document of version 3. A client with the hash of an older one is sent to the present one.
fn group(
    request: &Request,
    source: Source<'_>,
    (group, version): (&str, &str),
    document: &dyn Fn(Name) -> Arc<Kept>,
) -> Result<Option<Answer>, Status> {
    if source.rows_of(group, version).is_empty() {
        return Ok(None);
    }
    negotiate::accepted_document(request.header(header::ACCEPT))?;
    let document = document(Name::V3(group.to_owned(), version.to_owned()));
    let query = Query::parse(request.query());
    let hash = query.get("hash");
    if !hash.is_empty() && hash != document.hash {
        let mut answer = response::text(StatusCode::MOVED_PERMANENTLY, "");
        let to = address(group, version, &document.hash);
        if let Ok(to) = HeaderValue::from_str(&to) {
            answer.headers_mut().insert(header::LOCATION, to);
        }
        return Ok(Some(answer));
    }
    let mut answer = conditional(request, &document, JSON);
    if !hash.is_empty() {
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let year = now().checked_add(8760.hours()).ok();
        if let Some(date) = year.and_then(http_date) {
            headers.insert(header::EXPIRES, date);
        }
    }
    Ok(Some(answer))
}

/// Answers with a document, or with 304 if the client has it.
fn conditional(request: &Request, document: &Kept, media: &'static str) -> Answer {
    let validators = validators(&document.hash, document.made);
    let mut answer = if is_known(request, &validators, document.made) {
        not_modified()
    } else {
        whole(request, document, media)
    };
    let headers = answer.headers_mut();
    headers.extend(validators);
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

fn whole(request: &Request, document: &Kept, media: &'static str) -> Answer {
    let zipped = negotiate::accepts_gzip(request.header(header::ACCEPT_ENCODING));
    let bytes = if zipped {
        document.gzip.clone()
    } else {
        let mut plain = Vec::new();
        GzDecoder::new(&document.gzip[..])
            .read_to_end(&mut plain)
            .expect("what was compressed here can be read");
        plain.into()
    };
    let mut answer = json_bytes(StatusCode::OK, bytes);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if zipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn not_modified() -> Answer {
    let mut answer = response::json_body(StatusCode::NOT_MODIFIED, Body::empty());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer
}

fn validators(hash: &str, made: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
    let tag = HeaderValue::from_str(&format!("\"{hash}\"")).ok();
    let validators = [(header::ETAG, tag), (header::LAST_MODIFIED, http_date(made))];
    validators.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn http_date(time: Timestamp) -> Option<HeaderValue> {
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()?;
    HeaderValue::from_str(&text).ok()
}

/// Whether the client has what it asks for: by tag if it names one, else by date (RFC 9110,
/// section 13.2.2).
fn is_known(request: &Request, own: &[(HeaderName, HeaderValue)], made: Timestamp) -> bool {
    if let Some(tags) = request.header(header::IF_NONE_MATCH) {
        let own = own.iter().find(|(name, _)| *name == header::ETAG);
        let own = own.and_then(|(_, tag)| tag.to_str().ok());
        // A tag is weak after somebody on the way has changed the encoding.
        return tags.split(',').any(|tag| Some(tag.trim().trim_start_matches("W/")) == own);
    }
    request
        .header(header::IF_MODIFIED_SINCE)
        .and_then(|since| DateTimeParser::new().parse_timestamp(since).ok())
        .is_some_and(|since| made.as_second() <= since.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source<'static> {
        Source { rows: api::resources::table(), custom: &|_| None }
    }

    #[test]
    fn documents_are_made_again_when_their_rows_change() {
        let documents = Documents::default();
        let core = || Name::V3(String::new(), "v1".to_owned());
        let first = documents.get(core(), source());
        assert!(Arc::ptr_eq(&first, &documents.get(core(), source())));
        assert!(documents.are_made(&[("", "v1")], source()));
        assert!(!documents.are_made(&[("", "v1"), ("apps", "v1")], source()));
        let fewer = Source { rows: &api::resources::table()[1..], ..source() };
        assert!(!documents.are_made(&[("", "v1")], fewer));
        let second = documents.get(core(), fewer);
        assert_ne!(first.hash, second.hash);
        let apps = Name::V3("apps".to_owned(), "v1".to_owned());
        let before = documents.get(apps.clone(), source());
        assert!(Arc::ptr_eq(&before, &documents.get(apps, fewer)), "no row of it has changed");
        documents.retain(&[("", "v1")]);
        assert_eq!(documents.kept.lock().len(), 1);
    }

    #[test]
    fn the_same_rows_make_the_same_document() {
        for name in [Name::V2, Name::V2Protobuf] {
            let make = || Documents::default().get(name.clone(), source());
            assert_eq!(make().hash, make().hash);
        }
    }

    #[test]
    fn media_types_of_version_2() {
        for (accept, want) in [
            (None, Ok(JSON)),
            (Some("application/json"), Ok(JSON)),
            (Some("*/*"), Ok(JSON)),
            (Some(PROTOBUF_NAMES[1]), Ok(PROTOBUF_V2)),
            (Some("application/com.github.proto-openapi.spec.v2.v1.0+protobuf"), Ok(PROTOBUF_V2)),
            (Some("text/html, application/json;q=0.5"), Ok(JSON)),
            (Some("text/html"), Err(406)),
        ] {
            assert_eq!(v2_media(accept).map_err(|status| status.code), want, "{accept:?}");
        }
    }
}

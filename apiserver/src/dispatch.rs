//! From a request to its handler, and from whatever the handler says to a response.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use api::resources::{Resource, Verb};
use api::status::Status;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use crate::authn;
use crate::authz::{Attributes, authorize, authorize_selected};
use crate::cacher::Cacher;
use crate::context::Context;
use crate::flow::Class;
use crate::handlers;
use crate::request::Request;
use crate::request::audit;
use crate::request::deadline;
use crate::request::info::{self, ResourcePath};
use crate::request::legacy_watch;
use crate::request::negotiate::{self, Media};
use crate::request::options::Query;
use crate::request::payload;
use crate::response::{self, Answer, Handled};

mod labels;

/// What a request for a resource is about.
pub(crate) struct Target {
    /// The row of the table.
    pub(crate) resource: Arc<Resource>,
    /// Its cache.
    pub(crate) cache: Arc<Cacher>,
    /// Namespace, "" for cluster scope and for all namespaces.
    pub(crate) namespace: String,
    /// Name, "" for collections.
    pub(crate) name: String,
    /// The query parameters.
    pub(crate) query: Query,
}

impl Target {
    /// The cache's key of an object of this resource and namespace.
    pub(crate) fn key_of(&self, name: &str) -> String {
        if self.namespace.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.namespace)
        }
    }

    /// The cache's key of the object that is asked for.
    pub(crate) fn key(&self) -> String {
        self.key_of(&self.name)
    }

    /// Whether objects of this resource have a protobuf form: the built-in ones.
    pub(crate) fn has_protobuf(&self) -> bool {
        !self.resource.schema_type.is_empty()
    }

    /// 404 about the object that is asked for.
    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(&self.resource.group_resource(), &self.name)
    }
}

/// Answers a request. Panics are caught here: they cost the one request, and are logged.
///
/// Boxed here, once: the handlers' futures are large, and their types would otherwise end up in
/// every connection's.
pub(crate) fn dispatch(context: Arc<Context>, request: Request) -> BoxFuture<'static, Answer> {
    Box::pin(async move { answer(&context, request).await })
}

async fn answer(context: &Context, mut request: Request) -> Answer {
    let _in_flight = context.telemetry.enter(&request.parts.method);
    let audit_id = audit::id(&request.parts.headers);
    let gzip = negotiate::accepts_gzip(request.header(header::ACCEPT_ENCODING));
    let (accept, agent) = (request.header(header::ACCEPT), request.header(header::USER_AGENT));
    let pretty = negotiate::is_pretty(request.query(), accept, agent);
    let method = request.parts.method.clone();
    let path = request.parts.uri.path().to_owned();
    let handled = AssertUnwindSafe(in_time(context, &mut request)).catch_unwind().await;
    let answer = match handled {
        Ok(Ok(answer)) => answer,
        Ok(Err(status)) => response::refusal(&status),
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            tracing::error!(%method, path, panic = text, "a handler panicked");
            let message =
                "this request caused the API server to panic, look in its log for details";
            response::refusal(&Status::internal_error(message))
        }
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        payload::read_rest(&mut request).await;
    }
    let answer =
        if is_shown_in_lines(&answer, &path, pretty) { response::indented(answer) } else { answer };
    let answer = if gzip { compressed(answer) } else { answer };
    let mut answer = if method == Method::HEAD { response::head_only(answer) } else { answer };
    answer.headers_mut().entry(audit::HEADER).or_insert(audit_id);
    answer
}

/// Whether an answer is indented, if that is what its reader likes: objects, discovery, refusals. The
/// version always is, and documents (OpenAPI, keys) never are.
fn is_shown_in_lines(answer: &Answer, path: &str, pretty: bool) -> bool {
    let refused = answer.status().is_client_error() || answer.status().is_server_error();
    path == "/version" || (pretty && (refused || path == "/" || path.starts_with("/api")))
}

/// Compresses bodies that are known to be large; watches are never held back by a compressor.
fn compressed(answer: Answer) -> Answer {
    let large = answer.body().least_length() > response::GZIP_ABOVE;
    if !large || answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let mut answer = answer.map(crate::server::body::Body::gzip);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.remove(header::CONTENT_LENGTH);
    answer
}

/// Answers within the time that a request has.
async fn in_time(context: &Context, request: &mut Request) -> Handled {
    if matches!(request.parts.method, Method::GET | Method::HEAD)
        && let Some(modern) = legacy_watch::modern(&request.parts.uri)
    {
        request.parts.uri = modern;
    }
    let mut class = None;
    let handled = match deadline::limit(request)? {
        None => route(context, request, &mut class).await,
        Some(limit) => {
            let late = "request did not complete within the allotted timeout";
            let routed = tokio::time::timeout(limit, route(context, request, &mut class)).await;
            routed.unwrap_or_else(|_| Err(Status::timeout(late, 0)))
        }
    };
    let Some(class) = class else { return handled };
    let mut answer = handled.unwrap_or_else(|status| response::refusal(&status));
    class.mark(answer.headers_mut());
    Ok(answer)
}

/// Answers; `class` becomes what the request was taken for.
async fn route(
    context: &Context,
    request: &mut Request,
    class: &mut Option<Arc<Class>>,
) -> Handled {
    let started = Instant::now();
    authn::authenticate(context, request).await?;
    authn::impersonate(context, request)?;
    let path = request.parts.uri.path();
    let method = &request.parts.method;
    let Some(named) = info::parse(path) else {
        let verb = method.as_str().to_ascii_lowercase();
        let attributes = Attributes::Path { verb: &verb, path };
        let _seat = match context.flow.enter(&request.user, &attributes).await {
            Ok(entered) => {
                *class = entered.class;
                entered.seat
            }
            Err(later) => return Ok(later),
        };
        authorize(context, &request.user, &attributes)?;
        let mut measured = labels::of_path(method, path)
            .and_then(|labels| context.telemetry.measure(&labels, started, false));
        let answer = handlers::paths(context, request)
            .await
            .unwrap_or_else(|refused| response::refusal(&refused));
        if let Some(measured) = &mut measured {
            measured.answered(answer.status());
        }
        return Ok(answer);
    };
    let query = Query::parse(request.query());
    let watch = query.flag("watch").unwrap_or(false);
    // A list of the one object of a name is a question about that object.
    let selected = info::selected_name(query.get("fieldSelector"));
    let full = if named.subresource.is_empty() {
        named.resource.clone()
    } else {
        // What follows (as in `proxy/a/b`) is for whoever it is sent to.
        let below = named.subresource.split('/').next().unwrap_or_default();
        format!("{}/{below}", named.resource)
    };
    let verb = info::verb(method, &named, watch);
    let of_itself = named.group.is_empty() && named.resource == "namespaces";
    let attributes = Attributes::Resource {
        verb,
        group: &named.group,
        resource: &full,
        // Whoever has rights in a namespace may have some on the namespace itself.
        namespace: if of_itself { &named.name } else { &named.namespace },
        name: if named.name.is_empty() && verb != "create" { &selected } else { &named.name },
    };
    let _seat = if info::is_relayed(&named) {
        None
    } else {
        match context.flow.enter(&request.user, &attributes).await {
            Ok(entered) => {
                *class = entered.class;
                entered.seat
            }
            Err(later) => return Ok(later),
        }
    };
    let fields = if named.name.is_empty() { query.get("fieldSelector") } else { "" };
    authorize_selected(context, &request.user, &attributes, fields)?;
    let long = verb == "watch" || info::is_relayed(&named);
    let asked = labels::Asked::new(request, &named, verb, &query);
    match find(context, named, query)? {
        Some((target, subresource))
            if request.parts.method == Method::HEAD
                && subresource != "proxy"
                && !target.resource.is_custom() =>
        {
            // Kubernetes knows HEAD only where it asks somebody else, and of what definitions serve.
            Err(Status::method_not_allowed())
        }
        Some((target, subresource)) => {
            if request.parts.method == Method::HEAD && target.resource.is_custom() {
                // The body is left out in the end.
                request.parts.method = Method::GET;
            }
            let accept = request.header(header::ACCEPT);
            let accepted = negotiate::accepted(accept, target.has_protobuf());
            let row = target.resource.clone();
            let labels = asked.labels(&row, &subresource);
            let mut measured = context.telemetry.measure(&labels, started, long);
            // Reads look at what is accepted when they have something to show.
            let writes = !long && !matches!(request.parts.method, Method::GET | Method::HEAD);
            let shower = match &accepted {
                Ok(accepted) if writes => handlers::shower(&target, request, accepted.form),
                Err(status) if writes => Err(status.clone()),
                _ => Ok(None),
            };
            let (shower, refused) = match shower {
                Ok(shower) => (shower, None),
                Err(status) => (None, Some(status)),
            };
            let handled = if let Some(refused) = refused {
                Err(refused)
            } else if subresource.is_empty() {
                resource(context, target, request).await
            } else {
                handlers::subresource(context, target, &subresource, request).await
            };
            let mut answer = handled.unwrap_or_else(|status| response::refusal(&status));
            if let Some(shower) = shower {
                answer = shower.answer(answer);
            }
            // Whoever uses what is deprecated is told, whatever the request is.
            if !row.deprecation.is_empty() {
                answer = response::with_first_warning(answer, &row.deprecation);
            }
            // Handlers that show objects have refused what cannot be accepted.
            let media = accepted.map_or(Media::Json, |accepted| accepted.media);
            let answer = response::in_media(answer, media);
            if let Some(measured) = &mut measured {
                measured.answered(answer.status());
            }
            // A stream is over when its client has had enough.
            Ok(match measured {
                Some(measured) if measured.is_long() && answer.status().is_success() => {
                    answer.map(|body| body.measured(measured))
                }
                _ => answer,
            })
        }
        None => Ok(page_not_found()),
    }
}

/// What Kubernetes says to a path that nothing is behind.
pub(crate) fn page_not_found() -> Answer {
    response::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn find(
    context: &Context,
    path: ResourcePath,
    query: Query,
) -> Result<Option<(Target, String)>, Status> {
    let Some((row, cache)) = served(context, &path) else { return Ok(None) };
    let scoped = if row.namespaced() {
        // `/api/v1/pods` lists all namespaces; an object without its namespace is nothing.
        !path.namespace.is_empty() || path.name.is_empty()
    } else {
        path.namespace.is_empty()
    };
    // What follows `proxy` is for whoever is behind it.
    let below = match path.subresource.split_once('/') {
        Some((below @ "proxy", _)) => below,
        _ => &path.subresource,
    };
    if !scoped {
        return Ok(None);
    }
    if !below.is_empty() && row.subresource(below).is_none() {
        // Of a custom resource only the object is said not to be there.
        let missing = || Status::not_found(&row.group_resource(), &path.name);
        return if row.is_custom() { Err(missing()) } else { Ok(None) };
    }
    let below = below.to_owned();
    let target = Target { resource: row, cache, namespace: path.namespace, name: path.name, query };
    Ok(Some((target, below)))
}

/// The row of a path, built-in or custom, and its cache.
fn served(context: &Context, path: &ResourcePath) -> Option<(Arc<Resource>, Arc<Cacher>)> {
    let (group, version, plural) = (&path.group, &path.version, &path.resource);
    if let Some(row) = api::resources::by_path(group, version, plural) {
        // A row that stores nothing (bindings) acts on pods.
        let cache = context.cache(row).unwrap_or_else(|| context.core("pods"));
        return Some((row.clone(), cache.clone()));
    }
    let cache = context.custom.find(group, version, plural)?;
    Some((cache.resource().clone(), cache))
}

async fn resource(context: &Context, target: Target, request: &mut Request) -> Handled {
    let collection = target.name.is_empty();
    let anywhere = target.resource.namespaced() && target.namespace.is_empty();
    let verb = match (&request.parts.method, collection) {
        (&Method::GET, true) => Verb::List,
        (&Method::GET, false) => Verb::Get,
        (&Method::POST, true) if !anywhere => Verb::Create,
        (&Method::PUT, false) => Verb::Update,
        (&Method::PATCH, false) => Verb::Patch,
        (&Method::DELETE, false) => Verb::Delete,
        (&Method::DELETE, true) if !anywhere => Verb::DeleteCollection,
        _ if anywhere && target.resource.is_custom() => return Ok(page_not_found()),
        _ => return Err(Status::method_not_allowed()),
    };
    if !target.resource.allows(verb) {
        // While a definition is being deleted, fewer verbs are shown than served: nothing new is
        // created, and that is all.
        if !target.resource.is_custom() {
            return Err(Status::method_not_allowed());
        }
        if verb == Verb::Create {
            return Err(Status::definition_terminating(&target.resource.group_resource()));
        }
    }
    if matches!(verb, Verb::Create | Verb::Update) {
        let content_type = request.header(header::CONTENT_TYPE);
        negotiate::format(content_type, target.has_protobuf())?;
    }
    match verb {
        Verb::Get if handlers::metrics::serves(&target.resource) => {
            handlers::metrics::get(context, &target, request).await
        }
        Verb::List if handlers::metrics::serves(&target.resource) => {
            handlers::metrics::list(context, &target, request).await
        }
        Verb::Get if !target.resource.is_stored() => {
            handlers::component_status(context, &target, request).await
        }
        Verb::List if !target.resource.is_stored() => {
            handlers::component_statuses(context, &target, request).await
        }
        Verb::Get => handlers::get(context, &target, request).await,
        Verb::List | Verb::Watch => handlers::list(context, &target, request).await,
        Verb::Create if !target.resource.is_stored() => {
            handlers::review(context, &target, request).await
        }
        Verb::Create => handlers::create(context, &target, request).await,
        Verb::Update => handlers::update(context, &target, request).await,
        Verb::Patch => handlers::patch(context, &target, request).await,
        Verb::Delete => handlers::delete(context, &target, request).await,
        Verb::DeleteCollection => handlers::delete_collection(context, &target, request).await,
    }
}

//! `Impersonate-User` and its relatives: an authenticated user acts as another, if it may.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/>.

use std::collections::BTreeMap;

use api::field::go_quote;
use api::status::Status;
use http::HeaderMap;

use crate::authz::{Attributes, authorize};
use crate::context::Context;
use crate::request::Request;
use crate::request::info::decode;
use crate::user::User;

/// The beginning of the names of headers with extra values.
const EXTRA: &str = "impersonate-extra-";
/// The group of UIDs and extra values, as far as rules are concerned.
const GROUP: &str = "authentication.k8s.io";

/// Who is to be acted as.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// Replaces the user of a request by the one that it wants to act as, if it does.
///
/// # Errors
/// 403 if the user may not, 400 for groups or extra values without a user.
pub(crate) fn impersonate(context: &Context, request: &mut Request) -> Result<(), Status> {
    let Some(wanted) = read(&request.parts.headers)? else { return Ok(()) };
    for (group, resource, namespace, name) in asked(&wanted) {
        let verb = "impersonate";
        let (resource, namespace, name) = (&*resource, &*namespace, &*name);
        let attributes = Attributes::Resource { verb, group, resource, namespace, name };
        authorize(context, &request.user, &attributes)?;
    }
    tracing::debug!(user = request.user.name(), acts_as = wanted.user, "impersonation");
    request.user = user(wanted);
    Ok(())
}

fn read(headers: &HeaderMap) -> Result<Option<Wanted>, Status> {
    let all = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
    let mut wanted = Wanted {
        user: first("impersonate-user"),
        uid: first("impersonate-uid"),
        groups: all("impersonate-group"),
        extra: BTreeMap::new(),
    };
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            wanted.extra.insert(decode(key).to_lowercase(), all(name.as_str()));
        }
    }
    if !wanted.user.is_empty() {
        return Ok(Some(wanted));
    }
    if wanted == Wanted::default() {
        return Ok(None);
    }
    let message = format!("requested {} without impersonating a user name", shown(&wanted));
    Err(Status::bad_request(message))
}

/// Who is to be acted as, as Kubernetes' program shows it.
fn shown(wanted: &Wanted) -> String {
    let texts = |texts: &[String]| match texts {
        [] => "[]string(nil)".to_owned(),
        texts => {
            let texts: Vec<_> = texts.iter().map(|text| go_quote(text)).collect();
            format!("[]string{{{}}}", texts.join(", "))
        }
    };
    let extra =
        wanted.extra.iter().map(|(key, values)| format!("{}:{}", go_quote(key), texts(values)));
    let extra = match extra.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "(nil)".to_owned(),
        extra => format!("{{{extra}}}"),
    };
    let (uid, groups) = (go_quote(&wanted.uid), texts(&wanted.groups));
    format!(
        "&user.DefaultInfo{{Name:\"\", UID:{uid}, Groups:{groups}, Extra:map[string][]string{extra}}}"
    )
}

/// What the user must be allowed to impersonate: group, resource, namespace, name.
fn asked(wanted: &Wanted) -> Vec<(&'static str, String, String, String)> {
    let entry = |group, resource: &str, namespace: &str, name: &str| {
        (group, resource.to_owned(), namespace.to_owned(), name.to_owned())
    };
    let mut asked = Vec::new();
    match account(&wanted.user) {
        Some((namespace, name)) => asked.push(entry("", "serviceaccounts", namespace, name)),
        None => asked.push(entry("", "users", "", &wanted.user)),
    }
    asked.extend(wanted.groups.iter().map(|group| entry("", "groups", "", group)));
    for (key, values) in &wanted.extra {
        let resource = format!("userextras/{key}");
        asked.extend(values.iter().map(|value| entry(GROUP, &resource, "", value)));
    }
    if !wanted.uid.is_empty() {
        asked.push(entry(GROUP, "uids", "", &wanted.uid));
    }
    asked
}

/// Namespace and name of a ServiceAccount's user.
fn account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

fn user(wanted: Wanted) -> User {
    let Wanted { user, uid, mut groups, extra } = wanted;
    if let Some((namespace, _)) = account(&user)
        && groups.is_empty()
    {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    let anonymous = "system:unauthenticated";
    let made = if user == "system:anonymous" {
        if !groups.iter().any(|group| group == anonymous) {
            groups.push(anonymous.to_owned());
        }
        User::exactly(user, groups)
    } else if groups.iter().any(|group| group == anonymous) {
        User::exactly(user, groups)
    } else {
        User::new(user, groups)
    };
    made.with_uid(uid).with_extra(extra)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn headers_say_who() {
        assert_eq!(read(&headers(&[("accept", "*/*")])), Ok(None));
        let none = "Extra:map[string][]string(nil)";
        for (alone, want) in [
            (("impersonate-group", "g"), format!("UID:\"\", Groups:[]string{{\"g\"}}, {none}")),
            (("impersonate-uid", "u"), format!("UID:\"u\", Groups:[]string(nil), {none}")),
            (
                ("impersonate-extra-k", "v"),
                "UID:\"\", Groups:[]string(nil), \
                 Extra:map[string][]string{\"k\":[]string{\"v\"}}"
                    .to_owned(),
            ),
        ] {
            let status = read(&headers(&[alone])).unwrap_err();
            let want = format!(
                "requested &user.DefaultInfo{{Name:\"\", {want}}} without impersonating a user name"
            );
            assert_eq!((status.code, status.message), (400, want));
        }
        let all = [
            ("Impersonate-User", "ann"),
            ("Impersonate-Group", "g"),
            ("Impersonate-Group", "h"),
            ("Impersonate-Uid", "u"),
            ("Impersonate-Extra-Example.com%2fKey", "v"),
        ];
        let wanted = read(&headers(&all)).unwrap().unwrap();
        let asked: Vec<_> =
            asked(&wanted).into_iter().map(|(g, r, _, n)| format!("{g} {r} {n}")).collect();
        assert_eq!(
            asked,
            [
                " users ann",
                " groups g",
                " groups h",
                "authentication.k8s.io userextras/example.com/key v",
                "authentication.k8s.io uids u",
            ]
        );
        let made = user(wanted);
        assert_eq!((made.name(), made.uid()), ("ann", "u"));
        assert_eq!(made.groups(), ["g", "h", "system:authenticated"]);
    }

    #[test]
    fn accounts_and_anonymous_have_their_groups() {
        for (name, groups) in [
            (
                "system:serviceaccount:n:a",
                vec!["system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"],
            ),
            ("system:anonymous", vec!["system:unauthenticated"]),
            ("ann", vec!["system:authenticated"]),
        ] {
            let wanted = read(&headers(&[("impersonate-user", name)])).unwrap().unwrap();
            let namespaced = asked(&wanted)[0].2 == "n";
            assert_eq!(namespaced, name.starts_with("system:serviceaccount:"));
            assert_eq!(user(wanted).groups(), groups, "{name}");
        }
    }
}

//! What a ServiceAccount token says, and when it is to be believed, as far as that can be told
//! without looking at objects. Source: k8s.io/kubernetes/pkg/serviceaccount/claims.go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::token::TokenError;
use crate::user::User;

/// Seconds that the injected volumes of pods ask for. Kubernetes gives such tokens a year, for
/// clients that read the file once, and notes when they should have been renewed.
const INJECTED: i64 = 3607;
/// Seconds that those tokens get.
const EXTENDED: i64 = 365 * 24 * 60 * 60;
/// Seconds by which clocks may differ.
const LEEWAY: i64 = 60;

/// An object by name and UID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// Its name.
    pub(crate) name: String,
    /// Its UID.
    pub(crate) uid: String,
}

/// What a token is bound to: it ends with the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The account alone.
    #[default]
    Account,
    /// A pod, and the node that it runs on, once it does.
    Pod(Subject, Option<Subject>),
    /// A Secret.
    Secret(Subject),
    /// A node.
    Node(Subject),
}

/// A token to be made.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// `iss`.
    pub(crate) issuer: String,
    /// `aud`.
    pub(crate) audiences: Vec<String>,
    /// `jti`: a fresh UUID.
    pub(crate) id: String,
    /// The account's namespace.
    pub(crate) namespace: String,
    /// The account.
    pub(crate) account: Subject,
    /// What it is bound to.
    pub(crate) bound: Bound,
    /// Seconds since 1970.
    pub(crate) now: i64,
    /// For how many seconds.
    pub(crate) seconds: i64,
}

/// The claims of a token, in Kubernetes' form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Private,
    nbf: i64,
    pub(super) sub: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Private {
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Subject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Subject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Subject>,
    serviceaccount: Subject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warnafter: Option<i64>,
}

impl Claims {
    /// The claims of a token to be made.
    pub(crate) fn new(grant: &Grant) -> Claims {
        let own = grant.audiences == [grant.issuer.clone()];
        let pod = matches!(grant.bound, Bound::Pod(..));
        let extended = pod && own && grant.seconds == INJECTED;
        let (pod, node, secret) = match grant.bound.clone() {
            Bound::Account => (None, None, None),
            Bound::Pod(pod, node) => (Some(pod), node, None),
            Bound::Secret(secret) => (None, None, Some(secret)),
            Bound::Node(node) => (None, Some(node), None),
        };
        Claims {
            aud: grant.audiences.clone(),
            exp: grant.now + if extended { EXTENDED } else { grant.seconds },
            iat: grant.now,
            iss: grant.issuer.clone(),
            jti: grant.id.clone(),
            kubernetes: Private {
                namespace: grant.namespace.clone(),
                node,
                pod,
                secret,
                serviceaccount: grant.account.clone(),
                warnafter: extended.then_some(grant.now + INJECTED),
            },
            nbf: grant.now,
            sub: username(&grant.namespace, &grant.account.name),
        }
    }

    /// Checks issuer, times and audiences at `now` (seconds since 1970), and returns those of
    /// `audiences` that the token is meant for.
    ///
    /// # Errors
    /// The [`TokenError`] of the first that does not hold.
    pub(super) fn check(
        &self,
        issuer: &str,
        audiences: &[String],
        now: i64,
    ) -> Result<Vec<String>, TokenError> {
        let account = &self.kubernetes.serviceaccount.name;
        if self.iss != issuer || self.sub != username(&self.kubernetes.namespace, account) {
            return Err(TokenError::Unknown);
        }
        if now > self.exp + LEEWAY {
            return Err(TokenError::Expired);
        }
        if now + LEEWAY < self.nbf {
            return Err(TokenError::NotYet);
        }
        let meant = audiences.iter().filter(|audience| self.aud.contains(audience));
        let meant: Vec<String> = meant.cloned().collect();
        if meant.is_empty() { Err(TokenError::Audience) } else { Ok(meant) }
    }

    /// The namespace of the account and of what the token is bound to.
    pub(super) fn namespace(&self) -> &str {
        &self.kubernetes.namespace
    }

    /// The account.
    pub(super) fn account(&self) -> &Subject {
        &self.kubernetes.serviceaccount
    }

    /// What the token is bound to.
    pub(super) fn bound(&self) -> Bound {
        let Private { pod, node, secret, .. } = self.kubernetes.clone();
        match (pod, secret, node) {
            (Some(pod), _, node) => Bound::Pod(pod, node),
            (None, Some(secret), _) => Bound::Secret(secret),
            (None, None, Some(node)) => Bound::Node(node),
            (None, None, None) => Bound::Account,
        }
    }

    /// The user that the token stands for.
    pub(super) fn user(&self) -> User {
        let namespace = &self.kubernetes.namespace;
        let groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
        let mut extra = BTreeMap::new();
        let mut tell = |key: &str, value: &str| {
            extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        };
        tell("credential-id", &format!("JTI={}", self.jti));
        for (key, subject) in [("pod", &self.kubernetes.pod), ("node", &self.kubernetes.node)] {
            if let Some(subject) = subject {
                tell(&format!("{key}-name"), &subject.name);
                tell(&format!("{key}-uid"), &subject.uid);
            }
        }
        User::new(self.sub.clone(), groups)
            .with_uid(self.kubernetes.serviceaccount.uid.clone())
            .with_extra(extra)
    }
}

fn username(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An hour for the account `a/b`, bound to nothing.
    pub(in crate::authn) fn grant() -> Grant {
        Grant {
            issuer: "https://own".to_owned(),
            audiences: vec!["https://own".to_owned()],
            id: "id".to_owned(),
            namespace: "a".to_owned(),
            account: Subject { name: "b".to_owned(), uid: "u".to_owned() },
            bound: Bound::Account,
            now: 1000,
            seconds: 3600,
        }
    }

    #[test]
    fn a_token_is_good_for_its_time_and_audience() {
        let claims = Claims::new(&grant());
        let (own, other) = ("https://own".to_owned(), "other".to_owned());
        for (issuer, audiences, now, want) in [
            ("https://own", vec![own.clone()], 1000, Ok(vec![own.clone()])),
            ("https://own", vec![other.clone(), own.clone()], 4600, Ok(vec![own.clone()])),
            ("https://own", vec![own.clone()], 4661, Err(TokenError::Expired)),
            ("https://own", vec![own.clone()], 939, Err(TokenError::NotYet)),
            ("https://own", vec![other], 1000, Err(TokenError::Audience)),
            ("https://own", vec![], 1000, Err(TokenError::Audience)),
            ("https://other", vec![own], 1000, Err(TokenError::Unknown)),
        ] {
            assert_eq!(claims.check(issuer, &audiences, now), want, "{issuer} {now}");
        }
    }

    #[test]
    fn injected_tokens_of_pods_live_longer() {
        let pod = Bound::Pod(Subject::default(), None);
        let injected = Grant { bound: pod.clone(), seconds: 3607, ..grant() };
        for (grant, lives) in [
            (grant(), 3600),
            (Grant { seconds: 3607, ..grant() }, 3607),
            (Grant { bound: pod, ..grant() }, 3600),
            (Grant { audiences: vec!["x".to_owned()], ..injected.clone() }, 3607),
            (injected, EXTENDED),
        ] {
            let claims = Claims::new(&grant);
            assert_eq!(claims.exp - claims.iat, lives);
            assert_eq!(claims.kubernetes.warnafter.is_some(), lives == EXTENDED);
        }
    }

    #[test]
    fn tokens_say_who_and_where() {
        let pod = Subject { name: "p".to_owned(), uid: "pu".to_owned() };
        let node = Subject { name: "n".to_owned(), uid: "nu".to_owned() };
        let claims = Claims::new(&Grant { bound: Bound::Pod(pod, Some(node)), ..grant() });
        let user = claims.user();
        assert_eq!((user.name(), user.uid()), ("system:serviceaccount:a:b", "u"));
        let groups = ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"];
        assert_eq!(user.groups(), groups);
        let extra: Vec<_> = user.extra().iter().map(|(k, v)| format!("{k}={}", v[0])).collect();
        assert_eq!(
            extra,
            [
                "authentication.kubernetes.io/credential-id=JTI=id",
                "authentication.kubernetes.io/node-name=n",
                "authentication.kubernetes.io/node-uid=nu",
                "authentication.kubernetes.io/pod-name=p",
                "authentication.kubernetes.io/pod-uid=pu",
            ]
        );
    }
}

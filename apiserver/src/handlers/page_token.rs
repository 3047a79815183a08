//! The continue token: where the next page of a list begins, and of which moment it is a page.
//!
//! The same encoding as kube-apiserver's (k8s.io/apiserver/pkg/storage/continue.go), so that
//! tools which look inside find what they expect: base64 of
//! `{"v":"meta.k8s.io/v1","rv":REVISION,"start":"KEY\u0000"}`.

use api::status::Status;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use store::Revision;

/// A decoded token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageToken {
    /// The list's moment; `None` continues with whatever is there now (after the moment's history
    /// was lost).
    pub(super) revision: Option<Revision>,
    /// The first key that may be in the page.
    pub(super) start: String,
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    v: String,
    rv: i64,
    start: String,
}

impl PageToken {
    /// The page after `last` of a list at `revision`.
    pub(super) fn after(last: &str, revision: Option<Revision>) -> PageToken {
        PageToken { revision, start: format!("{last}\0") }
    }

    /// The token as a client gets it.
    pub(super) fn encode(&self) -> String {
        let token = Encoded {
            v: "meta.k8s.io/v1".to_owned(),
            rv: self.revision.map_or(-1, |revision| revision.0),
            start: self.start.clone(),
        };
        let json = serde_json::to_vec(&token).expect("numbers and strings always encode");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads a token that a client sent back.
    ///
    /// # Errors
    /// 400 for anything that this server has not made.
    pub(super) fn decode(text: &str) -> Result<PageToken, Status> {
        let refuse = |detail: String| {
            Status::bad_request(format!(
                "invalid continue token: continue key is not valid: {detail}"
            ))
        };
        let json = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|error| refuse(error.to_string()))?;
        let token: Encoded =
            serde_json::from_slice(&json).map_err(|error| refuse(error.to_string()))?;
        if token.v != "meta.k8s.io/v1" {
            return Err(refuse(format!(
                "server does not recognize this encoded version {}",
                token.v
            )));
        }
        if token.start.is_empty() {
            return Err(refuse("encoded start key empty".to_owned()));
        }
        if token.rv == 0 {
            return Err(refuse("incorrect encoded start resourceVersion".to_owned()));
        }
        let revision = (token.rv > 0).then_some(Revision(token.rv));
        Ok(PageToken { revision, start: token.start })
    }
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::Config as ProptestConfig;

    use super::*;

    #[test]
    fn tokens_survive_the_round_trip() {
        for revision in [Some(Revision(7)), None] {
            let token = PageToken::after("default/web", revision);
            assert_eq!(PageToken::decode(&token.encode()).unwrap(), token);
        }
        assert!("default/web\0" > "default/web" && "default/web\0" < "default/web-0");
        for bad in ["zzz", "!", "", "e30"] {
            assert_eq!(PageToken::decode(bad).unwrap_err().code, 400, "{bad}");
        }
    }

    proptest::proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_key_comes_back_and_any_text_is_read_or_refused(key in ".{1,30}", text in ".{0,40}", at in -5..5_i64) {
            let token = PageToken::after(&key, (at > 0).then_some(Revision(at)));
            proptest::prop_assert_eq!(PageToken::decode(&token.encode()), Ok(token));
            for json in [text.clone(), format!(r#"{{"v":"meta.k8s.io/v1","rv":{at},"start":{text:?}}}"#)] {
                if let Err(status) = PageToken::decode(&URL_SAFE_NO_PAD.encode(json)) {
                    proptest::prop_assert_eq!(status.code, 400);
                }
            }
            if let Err(status) = PageToken::decode(&text) {
                proptest::prop_assert_eq!(status.code, 400);
            }
        }
    }
}

//! The continue token: where the next page of a list begins, and of which moment it is a page.
//!
//! The same encoding as kube-apiserver's (k8s.io/apiserver/pkg/storage/continue.go), so that
//! tools which look inside find what they expect: base64 of
//! `{"v":"meta.k8s.io/v1","rv":REVISION,"start":"KEY\u0000"}`.

use api::status::Status;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::{DecodeError, Engine as _};
use serde_json::{Value, json};
use store::Revision;

/// The form of the token.
const VERSION: &str = "meta.k8s.io/v1";
/// Reads what Go reads: bits that are over may be anything.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// A decoded token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageToken {
    /// The list's moment; `None` continues with whatever is there now (after the moment's history
    /// was lost).
    pub(super) revision: Option<Revision>,
    /// The first key that may be in the page.
    pub(super) start: String,
}

impl PageToken {
    /// The page after `last` of a list at `revision`.
    pub(super) fn after(last: &str, revision: Option<Revision>) -> PageToken {
        PageToken { revision, start: format!("{last}\0") }
    }

    /// The token as a client gets it.
    pub(super) fn encode(&self) -> String {
        let revision = self.revision.map_or(-1, |revision| revision.0);
        let token = json!({"v": VERSION, "rv": revision, "start": self.start});
        LENIENT.encode(token.to_string())
    }

    /// Reads a token that a client sent back.
    ///
    /// # Errors
    /// 400 for anything that this server cannot have made.
    pub(super) fn decode(text: &str) -> Result<PageToken, Status> {
        read(text).map_err(|reason| {
            let message = "invalid continue token: continue key is not valid";
            Status::bad_request(format!("{message}: {reason}"))
        })
    }
}

/// Reads a token; otherwise says what is wrong with it, in the words of Kubernetes and Go.
fn read(text: &str) -> Result<PageToken, String> {
    let json = LENIENT.decode(text).map_err(|error| {
        let at = match error {
            DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
            DecodeError::InvalidLength(length) => length.saturating_sub(1),
            DecodeError::InvalidPadding => text.find('=').unwrap_or(text.len()),
        };
        format!("illegal base64 data at input byte {at}")
    })?;
    let token = api::decode::json(&json)?;
    if !token.is_object() && !token.is_null() {
        let kind = api::decode::json_type(&token);
        return Err(format!(
            "json: cannot unmarshal {kind} into Go value of type storage.continueToken"
        ));
    }
    let mistyped = |field: &str, value: &Value, wanted: &str| {
        let mut kind = api::decode::json_type(value).to_owned();
        if value.is_number() && wanted == "int64" {
            kind = format!("number {value}");
        }
        format!(
            "json: cannot unmarshal {kind} into Go struct field continueToken.{field} of type {wanted}"
        )
    };
    let text = |field: &str| match &token[field] {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text.as_str()),
        other => Err(mistyped(field, other, "string")),
    };
    let (version, start) = (text("v")?, text("start")?);
    let revision = match &token["rv"] {
        Value::Null => 0,
        value => value.as_i64().ok_or_else(|| mistyped("rv", value, "int64"))?,
    };
    if version != VERSION {
        return Err(format!("server does not recognize this encoded version {version}"));
    }
    if revision == 0 {
        return Err(format!("incorrect encoded start resourceVersion (version {VERSION})"));
    }
    if start.is_empty() {
        return Err(format!("encoded start key empty (version {VERSION})"));
    }
    let key = start.strip_prefix('/').unwrap_or(start);
    // As a path it must not lead out of the list.
    if key.is_empty() || key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(start.to_owned());
    }
    let revision = (revision > 0).then_some(Revision(revision));
    Ok(PageToken { revision, start: key.to_owned() })
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
        let of = |json: &str| LENIENT.encode(json);
        let place = "into Go struct field continueToken";
        for (text, want) in [
            ("zzz".to_owned(), "invalid character 'Ï' looking for beginning of value"),
            ("!".to_owned(), "illegal base64 data at input byte 0"),
            ("e30=".to_owned(), "illegal base64 data at input byte 3"),
            ("e30ab".to_owned(), "illegal base64 data at input byte 4"),
            (String::new(), "unexpected end of JSON input"),
            (of("{}"), "server does not recognize this encoded version "),
            (of("{\"v\":\"v2\"}"), "server does not recognize this encoded version v2"),
            (
                of("{\"v\":\"meta.k8s.io/v1\",\"start\":\"a\"}"),
                "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (
                of("{\"v\":\"meta.k8s.io/v1\",\"rv\":1}"),
                "encoded start key empty (version meta.k8s.io/v1)",
            ),
            (of("{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"../b\"}"), "../b"),
            (of("{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"a//b\"}"), "a//b"),
            (of("{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"/a/\"}"), "/a/"),
            (of("{\"v\":1}"), &format!("json: cannot unmarshal number {place}.v of type string")),
            (
                of("{\"rv\":1.5}"),
                &format!("json: cannot unmarshal number 1.5 {place}.rv of type int64"),
            ),
            (of("[]"), "json: cannot unmarshal array into Go value of type storage.continueToken"),
        ] {
            let status = PageToken::decode(&text).unwrap_err();
            let want = format!("invalid continue token: continue key is not valid: {want}");
            assert_eq!((status.code, status.message), (400, want), "{text}");
        }
    }

    proptest::proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_key_comes_back_and_any_text_is_read_or_refused(key in "[^/]{3,30}(/[^/]{3,9})?", text in ".{0,40}", at in -5..5_i64) {
            let token = PageToken::after(&key, (at > 0).then_some(Revision(at)));
            proptest::prop_assert_eq!(PageToken::decode(&token.encode()), Ok(token));
            for json in [text.clone(), format!(r#"{{"v":"meta.k8s.io/v1","rv":{at},"start":{text:?}}}"#)] {
                if let Err(status) = PageToken::decode(&LENIENT.encode(json)) {
                    proptest::prop_assert_eq!(status.code, 400);
                }
            }
            if let Err(status) = PageToken::decode(&text) {
                proptest::prop_assert_eq!(status.code, 400);
            }
        }
    }
}

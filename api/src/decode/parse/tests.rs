//! Texts as Go reads them, and as another parser does.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &[u8]) -> Value {
    match parse(text) {
        Ok(parsed) => parsed.value,
        Err(reason) => panic!("{}: {reason}", String::from_utf8_lossy(text)),
    }
}

#[test]
fn what_is_no_character_is_replaced() {
    for (text, want) in [
        (&b"\"a\xffb\""[..], "a\u{fffd}b"),
        // A byte that belongs to none, each for itself.
        (b"\"\xe2\x82\"", "\u{fffd}\u{fffd}"),
        (b"\"\xed\xa0\x80\"", "\u{fffd}\u{fffd}\u{fffd}"),
        (b"\"\xc3\\u00e4\xa4\"", "\u{fffd}\u{e4}\u{fffd}"),
        (br#""\ud800""#, "\u{fffd}"),
        (br#""\udc00\ud800x""#, "\u{fffd}\u{fffd}x"),
        (br#""\ud800\u0041""#, "\u{fffd}A"),
        (br#""\ud83d\ude00\ud83d""#, "\u{1f600}\u{fffd}"),
        (br#""\b\f\n\r\t\\\/\"\u00e4""#, "\u{8}\u{c}\n\r\t\\/\"ä"),
    ] {
        assert_eq!(read(text), json!(want), "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(read(b"{\"\xff\": 1}"), json!({"\u{fffd}": 1}));
    assert!(parse(br#""\ud800\u00""#).is_err(), "half an escape after half a pair");
}

#[test]
fn depth_costs_no_stack_and_leaves_its_mark() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let parsed = parse(nested(DEEPEST).as_bytes()).expect("shallow enough");
    assert_eq!((depth(&parsed.value), parsed.deep), (DEEPEST, false));
    for deeper in [DEEPEST + 1, DEEPEST + 2, 9_999, 10_000] {
        let parsed = parse(nested(deeper).as_bytes()).expect("as in Go");
        assert_eq!((depth(&parsed.value), parsed.deep), (DEEPEST + 1, true), "{deeper}");
        let (open, close) = ("{\"a\":".repeat(deeper), "}".repeat(deeper));
        let text = format!("{{\"b\":[1],\"c\":{open}0{close}}}");
        match parse(text.as_bytes()) {
            Ok(parsed) => assert_eq!(depth(&parsed.value), DEEPEST + 1, "{deeper}"),
            Err(reason) => assert_eq!((deeper, reason.contains("max depth")), (10_000, true)),
        }
    }
    for text in [nested(10_001), "[".repeat(3_000_000), "{\"a\":".repeat(500_000)] {
        let reason = parse(text.as_bytes()).expect_err("too deep");
        assert!(reason.ends_with("exceeded max depth"), "{reason}");
    }
}

#[test]
fn keys_that_occur_twice_are_told() {
    let text = br#"{"a": 1, "b": [{"c": 1}, {"c": 1, "d": {"e": 1, "e": 2}, "c": 2}], "a": 3}"#;
    let parsed = parse(text).expect("JSON");
    assert_eq!(parsed.twice, ["b[1].d.e", "b[1].c", "a"]);
    assert_eq!(parsed.value, json!({"a": 3, "b": [{"c": 1}, {"c": 2, "d": {"e": 2}}]}));
}

#[test]
fn numbers_keep_what_they_are() {
    for (text, want) in [
        ("-0", json!(-0.0)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.50", json!(1.5)),
        ("1e3", json!(1000.0)),
    ] {
        assert_eq!(read(text.as_bytes()), want, "{text}");
    }
    let reason = parse(b"[1e999]").expect_err("no float64");
    assert_eq!(reason, "json: cannot unmarshal number 1e999 into Go value of type float64");
}

/// JSON, and texts that are nearly so.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|bit| bit.to_string()),
        any::<f64>().prop_map(|number| json!(number).to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,6}".prop_map(|text| json!(text).to_string()),
        r#"[\[\]{},: "a0.e+tn\\-]{0,8}"#,
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            prop::collection::vec(("[a-c]{0,2}", inner), 0..4).prop_map(|fields| {
                let shown = fields.iter().map(|(key, value)| format!("\"{key}\" :{value}"));
                format!("{{{}}}", shown.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Another parser takes the same texts for the same values.
    #[test]
    fn it_reads_what_others_read(text in texts()) {
        let ours = parse(text.as_bytes());
        let theirs = serde_json::from_str::<Value>(&text);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours.value, theirs),
            // Half a surrogate pair is nothing to them.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("surrogate")),
            (Err(reason), Ok(_)) => prop_assert!(false, "{}: {}", text, reason),
            (Err(reason), Err(_)) => prop_assert!(!reason.is_empty()),
        }
    }

    /// Whatever the bytes are, they are read or refused.
    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
        let quoted = [b"\"", &bytes[..], b"\""].concat();
        let _ = parse(&quoted);
    }
}

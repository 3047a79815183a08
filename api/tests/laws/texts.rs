//! Texts in query strings and fields.

use proptest::prelude::*;

use super::checks;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn label_selectors(text in "(a|b|a\\.b/c|in|notin|exists|\\(|\\)|,|=|==|!=|!|>|<| |x|1|\"|é){0,12}") {
        checks::label_selector(&text);
    }

    #[test]
    fn field_selectors(text in r"(metadata\.name|spec\.nodeName|a|=|==|!=|!|,|\\|\\=|\\,| |é){0,10}") {
        checks::field_selector(&text);
    }

    #[test]
    fn quantities(
        text in r"[+-]?[0-9]{0,21}(\.[0-9]{0,12})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,4})?",
    ) {
        checks::quantity(&text);
    }

    #[test]
    fn any_text(text in "(?s).{0,30}|[\\x00-\\x7f]{0,12}") {
        checks::label_selector(&text);
        checks::field_selector(&text);
        checks::quantity(&text);
    }
}

/// A form feed is white to some and a word to others; a lexer of two minds about it never ended.
#[test]
fn a_form_feed_in_a_label_selector_comes_to_an_end() {
    for text in ["\u{c}", "a\u{c}", "a in (b,\u{c})", "\u{8}\0\u{c}M-1/"] {
        checks::label_selector(text);
        assert!(api::selector::LabelSelector::parse(text).is_err(), "{text:?}");
    }
}

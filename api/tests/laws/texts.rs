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
    fn expressions(
        text in "(device|\\.driver|\\.attributes|\\['d\\.io'\\]|\\.a|\\.b|\\.c|\\.capacity|\\.memory|\
                 \\(|\\)|\\[|\\]|\\{|\\}|,|:|\\?|\\.|&&|\\|\\||!|-|\\+|==|<| in |1|2u|1\\.5|'x'|b'x'|true|null|\
                 \\.all\\(x, |\\.map\\(x, |x|has\\(|size\\(|\\.matches\\('x+'\\)|quantity\\('1'\\)|\
                 semver\\('1\\.2\\.3'\\)|cel\\.bind\\(x, |\\.\\?a|\\.orValue\\(1\\)|\\.split\\(''\\)|//|\n){0,16}",
    ) {
        checks::cel(&text);
    }

    #[test]
    fn comparisons(
        text in "(1|2\\.5|'x'|true|device\\.attributes\\['d\\.io'\\]\\.[abc]|device\\.driver|\\[1, 'x'\\]|\
                 device\\.capacity\\['d\\.io'\\]\\.memory|quantity\\('1Gi'\\)|semver\\('1\\.2\\.3'\\))\
                 ( (==|!=|<|>=|in|&&|\\|\\||\\+|-|%|\\? 1 :) (1|'x'|true|dyn\\(2u\\)|\\[true\\]|\
                 device\\.attributes\\['d\\.io'\\]\\.[abc]|semver\\('2\\.0\\.0'\\))){0,4}",
    ) {
        checks::cel(&text);
    }

    #[test]
    fn any_text(text in "(?s).{0,30}|[\\x00-\\x7f]{0,12}") {
        checks::label_selector(&text);
        checks::field_selector(&text);
        checks::quantity(&text);
        checks::cel(&text);
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

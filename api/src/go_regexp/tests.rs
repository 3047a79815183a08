//! What Go's regular expressions match and refuse; the rows were written from its documentation
//! and from its parser.

use proptest::prelude::*;
use regex::Regex;

use super::*;

fn matches(pattern: &str, text: &str) -> bool {
    let translated = translate(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    Regex::new(&translated).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text)
}

#[test]
fn patterns_match_what_they_match_in_go() {
    // Pattern, texts that match, texts that do not.
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("", &["", "a"], &[]),
        ("a", &["a", "bab"], &["", "A"]),
        ("^a+$", &["a", "aa"], &["", "ab", "a\n"]),
        ("^(a|b)*$", &["", "abba"], &["c"]),
        ("^a||b$", &["x"], &[]),
        ("^.$", &["é", "."], &["\n", "ab"]),
        // Perl's classes are about ASCII.
        (r"^\d$", &["7"], &["٣", "a"]),
        (r"^\D$", &["٣", "a"], &["7"]),
        (r"^\w+$", &["aZ_0"], &["é", "ſ"]),
        (r"^\W$", &["é"], &["a"]),
        (r"^\s$", &[" ", "\t", "\n", "\r", "\u{c}"], &["\u{b}", "\u{a0}", "a"]),
        (r"^\S$", &["\u{b}", "\u{a0}"], &[" "]),
        (r"\bfoo\b", &["a foo.", "éfooé"], &["food", "_foo"]),
        (r"^a\Bb", &["ab"], &["a b"]),
        // In a class little means anything.
        ("^[[]$", &["["], &["]"]),
        ("^[a&&b]+$", &["a&b"], &["c"]),
        ("^[+--]+$", &["+,-"], &["*", "."]),
        ("^[--/]+$", &["-./"], &[","]),
        ("^[a~~b]+$", &["a~b"], &["c"]),
        ("^[]a]+$", &["]a"], &["b"]),
        ("^[^]a]$", &["b"], &["]", "a"]),
        ("^[a-]+$", &["a-"], &["b"]),
        ("^[-a]+$", &["-a"], &["b"]),
        ("^[a^]+$", &["a^"], &["b"]),
        (r"^[\d-z]+$", &["5-z"], &["a"]),
        (r"^[\]\\]+$", &[r"]\"], &["["]),
        (r"^[^\d\s]$", &["a"], &["1", " "]),
        (r"^[\W]$", &["-"], &["a"]),
        ("^[^a]$", &["\n", "b"], &["a"]),
        ("^[#-%]$", &["$"], &["&"]),
        ("^[é-ü]$", &["ê"], &["e"]),
        ("^[a b#]+$", &["a b#"], &["c"]),
        ("^[[:alpha:]]+$", &["aZ"], &["é", "1"]),
        ("^[[:^alpha:]]+$", &["é1"], &["a"]),
        ("^[[:space:]x]+$", &["\u{b}x "], &["y"]),
        ("^[[:word:][:punct:]]+$", &["a_!"], &[" "]),
        ("^[[:]+$", &["[:"], &["a"]),
        ("^[[:a]+$", &["[:a"], &["b"]),
        (r"^\pL+$", &["aé"], &["1"]),
        (r"^\p{Greek}+$", &["αβ"], &["a"]),
        (r"^\p{^Greek}+$", &["ab"], &["α"]),
        (r"^\P{Greek}+$", &["ab"], &["α"]),
        (r"^\P{^Greek}+$", &["αβ"], &["a"]),
        (r"^[\p{Lu}\P{L}]+$", &["A1"], &["a"]),
        (r"^\p{Any}$", &["\n", "a"], &[""]),
        (r"^[\P{Any}]$", &[], &["a", ""]),
        (r"^[^\P{Any}]$", &["a", "\n"], &[""]),
        (r"^\p{ASCII}$", &["a"], &["é"]),
        (r"^\p{uppercase letter}$", &["A"], &["a"]),
        (r"^\P{Cs}$", &["a"], &[]),
        (r"^\p{Cs}?$", &[""], &["a"]),
        // A brace that starts no repetition.
        ("^{$", &["{"], &[""]),
        ("^a{$", &["a{"], &["a"]),
        ("^a{,5}$", &["a{,5}"], &["aaa"]),
        ("^a{01}$", &["a{01}"], &["a"]),
        ("^a{1,b}$", &["a{1,b}"], &["a"]),
        ("^a{2}b}$", &["aab}"], &["ab}"]),
        ("^a{2,3}$", &["aa", "aaa"], &["a", "aaaa"]),
        ("^a{2,}$", &["aa", "aaaa"], &["a"]),
        ("^a{0}$", &[""], &["a"]),
        ("^(a{2}){2}$", &["aaaa"], &["aaa"]),
        ("^a{1000}$", &[], &["a"]),
        ("^(a{1000}){0}$", &[""], &["a"]),
        ("]", &["]"], &["["]),
        // Lazy ones match the same texts.
        ("^a*?b+?c??$", &["aabc", "b"], &["a"]),
        ("^a{1,2}?$", &["a", "aa"], &["aaa"]),
        ("(?U)^a+?$", &["aa"], &["b"]),
        // Text that is meant.
        (r"^\Qa.b*\E+$", &["a.b*", "a.b**"], &["axb*"]),
        (r"^\Qa\b$", &[], &["a"]),
        (r"\Qa\b$", &[r"a\b$"], &["a"]),
        (r"^a*\Q\E*$", &["aa"], &["b"]),
        (r"^a\.b\_\-$", &["a.b_-"], &["aXb_-"]),
        (r"^\x41\x{1F600}\101\0$", &["A😀A\0"], &["A"]),
        (r"^\a\f\n\r\t\v$", &["\u{7}\u{c}\n\r\t\u{b}"], &["afnrtv"]),
        (r"^\x{D800}?[\x{D7FF}-\x{E000}]$", &["\u{d7ff}", "\u{e000}"], &["a"]),
        (r"^[\x{D800}]$", &[], &["a"]),
        (r"^[^\x{D800}]$", &["a"], &[""]),
        // Flags.
        ("(?i)^straSSe$", &["STRAsse"], &["strase"]),
        ("(?i)^[a-c]k$", &["BK", "b\u{212a}"], &["d"]),
        (r"(?i)^\w$", &["ſ", "s"], &["é"]),
        (r"(?i)^\W$", &["é"], &["ſ"]),
        (r"(?i)^\p{Lu}$", &["a"], &["1"]),
        ("^a(?i)b$", &["ab", "aB"], &["Ab"]),
        ("^(a(?i)b)c$", &["aBc"], &["aBC"]),
        ("^(?i:a)b$", &["Ab"], &["AB"]),
        ("^(?i)a(?-i)b$", &["Ab"], &["AB"]),
        ("(?i)a|(?-i)b", &["A", "b"], &["B"]),
        ("(?s)^.$", &["\n"], &[]),
        ("(?s-s)^.$", &["a"], &["\n"]),
        ("(?m)^b$", &["a\nb\nc"], &["ab"]),
        (r"(?m)\Ab\z", &["b"], &["a\nb"]),
        ("(?m-m)^b$", &["b"], &["a\nb"]),
        ("(?)a", &["a"], &["b"]),
        ("a(?i)*b", &["b", "aaB"], &["c"]),
        ("^(?P<name>a)(?<other_1>b)(?:c)$", &["abc"], &["ab"]),
        ("^(?P<n>a)(?P<n>b)$", &["ab"], &["a"]),
        ("^()*$", &[""], &["a"]),
        ("^(|a)+$", &["", "aa"], &["b"]),
        ("(^*a$*)", &["xa"], &["b"]),
        ("#x y", &["#x y"], &["#xy"]),
    ];
    for (pattern, good, bad) in rows {
        for text in *good {
            assert!(matches(pattern, text), "{pattern} should match {text:?}");
        }
        for text in *bad {
            assert!(!matches(pattern, text), "{pattern} should not match {text:?}");
        }
    }
}

#[test]
fn patterns_are_refused_in_the_words_of_go() {
    let missing = "missing argument to repetition operator";
    let class = "invalid character class range";
    let nested = "invalid nested repetition operator";
    let count = "invalid repeat count";
    let escape = "invalid escape sequence";
    let syntax = "invalid or unsupported Perl syntax";
    let name = "invalid named capture";
    for (pattern, problem, part) in [
        ("*", missing, "*"),
        ("+a", missing, "+"),
        ("a|*", missing, "*"),
        ("(*a)", missing, "*"),
        ("(?i)*?a", missing, "*?"),
        ("{2}", missing, "{2}"),
        ("a**", nested, "**"),
        ("xa*+", nested, "*+"),
        ("a+??", nested, "+??"),
        ("a{2}{3}b", nested, "{2}{3}"),
        ("a*?*", nested, "*?*"),
        ("a{1001}", count, "{1001}"),
        ("a{1001}?", count, "{1001}"),
        ("a{2,1}", count, "{2,1}"),
        ("a{99999999999}", count, "{99999999999}"),
        ("(a{100}){100}", count, "{100}"),
        ("((a{10}){10}|b){11}?", count, "{11}?"),
        ("(a", "missing closing )", "(a"),
        ("a(b|(c)", "missing closing )", "a(b|(c)"),
        ("a)", "unexpected )", "a)"),
        ("(a))b", "unexpected )", "(a))b"),
        ("x[a", "missing closing ]", "[a"),
        ("[]", "missing closing ]", "[]"),
        ("[^]", "missing closing ]", "[^]"),
        ("[a-", "missing closing ]", "[a-"),
        ("[z-a]", class, "z-a"),
        ("[a--c]", class, "a--"),
        (r"[b\x61-\x60]", class, r"\x61-\x60"),
        ("[[:foo:]]", class, "[:foo:]"),
        ("[[:^foo:]]", class, "[:^foo:]"),
        (r"\p{Klingon}a", class, r"\p{Klingon}"),
        (r"\pXa", class, r"\pX"),
        (r"a\p{Greek", class, r"\p{Greek"),
        (r"\p", class, r"\p"),
        (r"[\p{}]", class, r"\p{}"),
        (r"\p{IsGreek}", class, r"\p{IsGreek}"),
        (r"\p{sc=Greek}", class, r"\p{sc=Greek}"),
        (r"a\", "trailing backslash at end of expression", ""),
        (r"[a\", "trailing backslash at end of expression", ""),
        (r"\1", escape, r"\1"),
        (r"\8a", escape, r"\8"),
        (r"\y", escape, r"\y"),
        (r"\Z", escape, r"\Z"),
        (r"a\Cb", escape, r"\C"),
        (r"[\b]", escape, r"\b"),
        (r"[a-\d]", escape, r"\d"),
        (r"\é", escape, r"\é"),
        (r"\x", escape, r"\x"),
        (r"\x4", escape, r"\x4"),
        (r"\xg1a", escape, r"\xg1"),
        (r"\x{}", escape, r"\x{}"),
        (r"\x{12", escape, r"\x{12"),
        (r"\x{1g}", escape, r"\x{1g"),
        (r"\x{110000}", escape, r"\x{110000"),
        ("(?=a)", syntax, "(?="),
        ("(?!a)", syntax, "(?!"),
        ("(?<", syntax, "(?<"),
        ("(?P>a)", syntax, "(?P"),
        ("(?i", syntax, "(?i"),
        ("(?i-)", syntax, "(?i-)"),
        ("(?i--s)", syntax, "(?i--"),
        ("(?#a)", syntax, "(?#"),
        ("(?x)", syntax, "(?x"),
        ("(?<=a)b", name, "(?<=a)b"),
        ("(?<!a>)b", name, "(?<!a>"),
        ("(?P<>a)", name, "(?P<>"),
        ("(?P<a b>c)", name, "(?P<a b>"),
        ("(?P<a", name, "(?P<a"),
    ] {
        let refused = translate(pattern).expect_err(pattern).to_string();
        assert_eq!(refused, format!("error parsing regexp: {problem}: `{part}`"), "{pattern}");
    }
}

#[test]
fn a_match_is_as_long_as_in_go() {
    for (pattern, want) in [
        ("a+", "aaa"),
        ("a+?", "a"),
        ("(?U)a+", "a"),
        ("(?U)a+?", "aaa"),
        ("(?U:a{1,2})b?", "a"),
        ("a|aa", "a"),
        ("a{2}?", "aa"),
    ] {
        let regex = Regex::new(&translate(pattern).expect("a pattern")).expect("translated");
        let found = regex.find("aaab").map(|found| found.as_str());
        assert_eq!(found, Some(want), "{pattern}");
    }
}

/// A pattern as a tree, which can be written down and matched without any regular expression.
#[derive(Clone, Debug)]
enum Tree {
    Char(char),
    Any,
    Class(bool, Vec<(char, char)>),
    Then(Vec<Tree>),
    Or(Vec<Tree>),
    Repeat(Box<Tree>, usize, Option<usize>),
}

const LETTERS: &str = r"abZ0&-[]{}.\*^ é";

impl Tree {
    /// The pattern in Go's syntax.
    fn written(&self) -> String {
        let quoted = |c: &char| {
            if c.is_ascii_punctuation() { format!(r"\{c}") } else { c.to_string() }
        };
        match self {
            Tree::Char(c @ ('&' | '-' | ']' | '}')) => c.to_string(),
            Tree::Char(c) => quoted(c),
            Tree::Any => ".".to_owned(),
            Tree::Class(negated, ranges) => {
                let ranges: String = ranges
                    .iter()
                    .map(|(low, high)| match low == high {
                        true if matches!(low, '&' | '[' | '{') => low.to_string(),
                        true => quoted(low),
                        false => format!("{}-{}", quoted(low), quoted(high)),
                    })
                    .collect();
                format!("[{}{ranges}]", if *negated { "^" } else { "" })
            }
            Tree::Then(parts) => parts.iter().map(Tree::written).collect(),
            Tree::Or(parts) => {
                let parts: Vec<_> = parts.iter().map(Tree::written).collect();
                format!("({})", parts.join("|"))
            }
            Tree::Repeat(part, least, most) => {
                let sign = match (least, most) {
                    (0, None) => "*".to_owned(),
                    (1, None) => "+".to_owned(),
                    (0, Some(1)) => "?".to_owned(),
                    (least, None) => format!("{{{least},}}"),
                    (least, Some(most)) => format!("{{{least},{most}}}"),
                };
                format!("(?:{}){sign}", part.written())
            }
        }
    }

    /// Where a match that begins at `from` may end.
    fn ends(&self, text: &[char], from: usize) -> Vec<usize> {
        let one = |fits: bool| if fits { vec![from + 1] } else { Vec::new() };
        let mut ends = match self {
            Tree::Char(c) => one(text.get(from) == Some(c)),
            Tree::Any => one(text.get(from).is_some_and(|c| *c != '\n')),
            Tree::Class(negated, ranges) => {
                let within = |c: &char| ranges.iter().any(|(low, high)| (low..=high).contains(&c));
                one(text.get(from).is_some_and(|c| within(c) != *negated))
            }
            Tree::Then(parts) => parts.iter().fold(vec![from], |at, part| {
                at.into_iter().flat_map(|at| part.ends(text, at)).collect()
            }),
            Tree::Or(parts) => parts.iter().flat_map(|part| part.ends(text, from)).collect(),
            Tree::Repeat(part, least, most) => {
                let (mut ends, mut at) = (Vec::new(), vec![from]);
                for count in 0..=most.unwrap_or(text.len() + least) {
                    if count >= *least {
                        ends.extend(&at);
                    }
                    at = at.into_iter().flat_map(|at| part.ends(text, at)).collect();
                    at.sort_unstable();
                    at.dedup();
                }
                ends
            }
        };
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}

fn letter() -> impl Strategy<Value = char> {
    proptest::sample::select(LETTERS.chars().collect::<Vec<_>>())
}

fn tree() -> impl Strategy<Value = Tree> {
    let range = (letter(), letter()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let leaf = prop_oneof![
        4 => letter().prop_map(Tree::Char),
        1 => Just(Tree::Any),
        2 => (any::<bool>(), prop::collection::vec(range, 1..4)).prop_map(|(not, of)| Tree::Class(not, of)),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::Then),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Tree::Or),
            (inner, 0..3_usize, prop::option::of(0..3_usize)).prop_map(|(part, least, more)| {
                Tree::Repeat(Box::new(part), least, more.map(|more| least + more))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_pattern_matches_what_its_tree_matches(
        tree in tree(),
        text in prop::collection::vec(letter(), 0..6),
    ) {
        let pattern = format!("^(?:{})$", tree.written());
        let whole = tree.ends(&text, 0).contains(&text.len());
        let text: String = text.into_iter().collect();
        prop_assert_eq!(matches(&pattern, &text), whole, "{} {:?}", pattern, text);
    }

    #[test]
    fn whatever_is_no_pattern_is_refused_here(pattern in r"[abpQ\\\[\]\(\){}?*+|^$.:,<>=!&iU\-12é]{0,12}") {
        if let Ok(translated) = translate(&pattern) {
            let built = regex::RegexBuilder::new(&translated).nest_limit(1000).build();
            prop_assert!(
                !matches!(built, Err(regex::Error::Syntax(_))),
                "{} became {}: {:?}", pattern, translated, built
            );
        }
    }
}

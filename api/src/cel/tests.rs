//! Expressions on a device, and expressions that are none.

use serde_json::{Value, json};

use super::*;

fn device(value: Value) -> Device {
    let device: ApiDevice = serde_json::from_value(value).unwrap();
    Device::read("gpu.example.com", &device).unwrap()
}

fn gpu() -> Device {
    device(json!({"name": "gpu-0",
        "attributes": {
            "model": {"string": "LATEST-MODEL-A"}, "index": {"int": 3}, "ecc": {"bool": true},
            "driverVersion": {"version": "1.10.2-rc.1"}, "other.io/numa": {"int": 1},
            "links": {"strings": ["x", "y"]}},
        "capacity": {"memory": {"value": "40Gi"}, "other.io/lanes": {"value": "8"}}}))
}

fn said(expression: &str) -> Result<bool, String> {
    let selector = Selector::compile(expression).map_err(|problem| problem.to_string())?;
    selector.matches(&gpu()).map_err(|problem| problem.to_string())
}

#[test]
fn what_is_true_of_a_device() {
    for expression in [
        // The device.
        "device.driver == 'gpu.example.com'",
        "device.attributes['gpu.example.com'].model == 'LATEST-MODEL-A'",
        r#"device.attributes["gpu.example.com"].index in [1, 2, 3]"#,
        "device.attributes[device.driver].ecc",
        "device.attributes['other.io'].numa == 1 && device.attributes['other.io']['numa'] < 2.5",
        "has(device.attributes['other.io'].numa) && !has(device.attributes['other.io'].x)",
        "!has(device.attributes['nowhere.io'].x)",
        "'model' in device.attributes['gpu.example.com']",
        "!('model' in device.attributes['nowhere.io'])",
        "device.attributes['gpu.example.com'].links.exists(link, link == 'y')",
        "cel.bind(dra, device.attributes['gpu.example.com'], dra.ecc && dra.index == 3)",
        "device.attributes['gpu.example.com'].?model.orValue('none') == 'LATEST-MODEL-A'",
        "device.attributes['gpu.example.com'].?x.orValue('none') == 'none'",
        "device.attributes[?'gpu.example.com'].?x.hasValue() == false",
        // Quantities.
        "device.capacity['gpu.example.com'].memory.compareTo(quantity('40Gi')) == 0",
        "device.capacity['gpu.example.com'].memory.isGreaterThan(quantity('10Gi'))",
        "device.capacity['other.io'].lanes.isLessThan(quantity('1k'))",
        "device.capacity['gpu.example.com'].memory == quantity('40960Mi')",
        "quantity('1').add(quantity('500m')).sub(1).asApproximateFloat() == 0.5",
        "quantity('2k').isInteger() && quantity('2k').asInteger() == 2000",
        "quantity('-1').sign() == -1 && isQuantity('1Gi') && !isQuantity('1GG')",
        // Versions.
        "device.attributes['gpu.example.com'].driverVersion.isGreaterThan(semver('1.9.0'))",
        "device.attributes['gpu.example.com'].driverVersion.isLessThan(semver('1.10.2'))",
        "device.attributes['gpu.example.com'].driverVersion.compareTo(semver('1.10.2-rc.1')) == 0",
        "semver('v1.2', true).minor() == 2 && isSemver('1.2.3') && !isSemver('1.2')",
        "semver('01.2.3', true).major() == 1 && semver('1.2.3').patch() == 3",
        // Strings.
        "device.driver.startsWith('gpu.') && device.driver.endsWith('.com')",
        "device.driver.matches('^gpu[.].*com$') && device.driver.contains('example')",
        "'AbC'.lowerAscii() == 'abc' && 'AbC'.upperAscii() == 'ABC' && ' a '.trim() == 'a'",
        "'a-b-c'.split('-') == ['a', 'b', 'c'] && 'a-b-c'.split('-', 2) == ['a', 'b-c']",
        "['a', 'b'].join('/') == 'a/b' && 'abc'.substring(1) == 'bc' && 'abc'.charAt(1) == 'b'",
        "'aXbX'.replace('X', '-') == 'a-b-' && 'aXbX'.replace('X', '-', 1) == 'a-bX'",
        "'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3 && 'hello'.indexOf('z') == -1",
        "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22']",
        "size('\u{e9}t\u{e9}') == 3 && 'abc'.size() == 3 && 'a' + 'b' == 'ab' && 'a' < 'b'",
        r#"'\u00e9' == "é" && r'\n' == '\\n' && b'\x41' == b"A" && '''a'b''' == 'a\'b'"#,
        // Numbers.
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && -7 / 2 == -3 && -7 % 3 == -1 && 7u / 2u == 3u",
        "1 < 2.5 && 2u >= 1 && 1.5 + 1.5 == 3.0 && 1e3 == 1000.0 && .5 < 1.0 && 0x10 == 16",
        "-9223372036854775808 < 0 && int('42') == 42 && uint(3) == 3u && double(1) == 1.0",
        "string(12) == '12' && bool('true') && type(1) == type(2) && dyn(1) == dyn(1.0)",
        // Lists and maps.
        "[1, 2, 3].all(x, x > 0) && [1, 2].exists_one(x, x == 2) && !([].exists(x, true))",
        "[1, 2, 3].filter(x, x > 1).map(x, x * 2) == [4, 6]",
        "[1, 2, 3].map(x, x > 1, x + 1) == [3, 4] && [1] + [2] == [1, 2]",
        "{'a': 1, 'b': 2}['b'] == 2 && {'a': 1}.a == 1 && {1: 2}[1] == 2",
        "{'a': 1}.exists(key, key == 'a') && {'a': [1]} == {'a': [1]} && {'a': 1} != {'a': 2}",
        "[1, 2].isSorted() && [3, 1].max() == 3 && [3, 1].min() == 1 && [1, 2].sum() == 3",
        "sets.contains([1, 2], [2]) && sets.intersects([1], [1, 2]) && sets.equivalent([1], [1, 1])",
        "[?optional.none(), ?optional.of(1), 2] == [1, 2] && {?'a': optional.none()} == {}",
        "[1, 2].indexOf(2) == 1 && [2, 2].lastIndexOf(2) == 1",
        // Conditions; what fails does not matter where the other side decides.
        "(true ? 1 : 2) == 1 && (false ? false : true)",
        "1 / 0 > 1 || true",
        "!(1 / 0 > 1 && false)",
        "[0, 1].exists(x, 1 / x == 1)",
        "true // a comment\n && true",
        ".device.driver != ''",
    ] {
        assert_eq!(said(expression), Ok(true), "{expression}");
    }
}

#[test]
fn what_goes_wrong_is_said() {
    for (expression, why) in [
        ("device.attributes['gpu.example.com'].x == 1", "no such key: x"),
        ("device.attributes['gpu.example.com'].model > 1", "no such overload: _>_(string, int)"),
        ("device.attributes['gpu.example.com'].model", "CEL result of type string could not"),
        ("1 / 0 == 1", "division by zero"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("[1][1] == 1", "index out of bounds: 1"),
        ("quantity('x').sign() == 1", "quantities must match"),
        ("quantity('1n').asInteger() == 1", "cannot convert value to integer"),
        ("'abc'.substring(2, 1) == ''", "index out of range: 2, 1"),
        ("{'a': 1, 'a': 2} == {}", "Failed with repeated key a"),
        ("[1, 2].all(x, 1 / (x - 1) > 0)", "division by zero"),
    ] {
        let problem = said(expression).expect_err(expression);
        assert!(problem.contains(why), "{expression}: {problem}");
        assert!(!problem.contains("compilation"), "{expression}: {problem}");
    }
    let odd = json!({"name": "d", "attributes": {"v": {"version": "1.x"}}});
    let odd: ApiDevice = serde_json::from_value(odd).unwrap();
    let problem = Device::read("d.io", &odd).unwrap_err().to_string();
    assert!(problem.starts_with("attribute v: parse semantic version"), "{problem}");
}

#[test]
fn what_is_no_selector_is_refused_where_it_goes_wrong() {
    for (expression, at, why) in [
        ("", "1:1", "Syntax error: unexpected '<EOF>'"),
        ("noSuchVar", "1:1", "undeclared reference to 'noSuchVar' (in container '')"),
        ("true &&\n  nope()", "2:3", "undeclared reference to 'nope'"),
        ("device.nope == 1", "1:8", "undefined field 'nope'"),
        ("device.driver.nope", "1:15", "type 'string' does not support field selection"),
        ("device.driver == 1", "1:15", "'_==_' applied to '(string, int)'"),
        ("1 + 'a' == 'b'", "1:3", "'_+_' applied to '(int, string)'"),
        ("!1", "1:2", "expected type 'bool' but found 'int'"),
        ("true || 'a'", "1:9", "expected type 'bool' but found 'string'"),
        ("(true", "1:6", "Syntax error: expected ')'"),
        ("true true", "1:6", "Syntax error: extraneous input 'true'"),
        ("'abc", "1:5", "Syntax error: unterminated string"),
        ("true # no", "1:6", "Syntax error: token recognition error at: '#'"),
        ("for == 1", "1:1", "Syntax error: reserved identifier: for"),
        ("'a'.matches('(')", "1:5", "error parsing regexp: missing closing ): `(`"),
        ("'a'.matches('a**')", "1:5", "invalid nested repetition operator: `**`"),
        ("'a'.startsWith()", "1:5", "found no matching overload for 'startsWith'"),
        ("has(device)", "1:1", "invalid argument to has() macro"),
        ("[1].all(x, 1)", "1:12", "expected type 'bool' but found 'int'"),
        ("1.all(x, true)", "1:1", "cannot be range of a comprehension"),
        ("[1].all(x, y)", "1:12", "undeclared reference to 'y'"),
        ("9223372036854775808 > 0", "1:1", "unexpected '9223372036854775808'"),
    ] {
        let problem = Selector::compile(expression).expect_err(expression).to_string();
        let head = format!("compilation failed: ERROR: <input>:{at}: ");
        assert!(problem.starts_with(&head), "{expression}: {problem}");
        assert!(problem.contains(why), "{expression}: {problem}");
    }
    let problem = Selector::compile("device.driver").unwrap_err().to_string();
    assert_eq!(problem, "must evaluate to bool or the unknown type, not string");
}

#[test]
fn neither_depth_nor_size_nor_time_is_without_end() {
    let deep = "expression recursion limit exceeded";
    for (open, close) in [("(", ")"), ("[", "]"), ("!", ""), ("-", ""), ("{1: ", "}"), ("f(", ")")]
    {
        let expression = format!("{}1{}", open.repeat(3000), close.repeat(3000));
        let problem = Selector::compile(&expression).unwrap_err().to_string();
        assert!(problem.contains(deep), "{open}: {problem}");
    }
    for chain in [" + 1", ".a", "[1]", " == dyn(1)", ".map(x, x)", " ? 1 : dyn(1)"] {
        let expression = format!("dyn(1){}", chain.repeat(900));
        let problem = Selector::compile(&expression).unwrap_err().to_string();
        assert!(problem.contains(deep), "{chain}: {problem}");
    }
    let alternatives = vec!["device.driver == 'a'"; 400].join(" || ");
    assert_eq!(said(&alternatives), Ok(false), "a chain of alternatives is not deep");

    let spent = Err("operation cancelled: actual cost limit exceeded".to_owned());
    let ten = "[0,1,2,3,4,5,6,7,8,9]";
    let nested = |body: &str| {
        let around = |body: String, name: usize| format!("{ten}.all(x{name}, {body})");
        (0..9).fold(body.to_owned(), around)
    };
    assert_eq!(said(&nested("true")), spent);
    assert_eq!(said(&format!("{} || true", nested("true"))), spent);
    // Doubled thirty times over: text, lists, and lists of lists that are one and the same.
    let doubled = |first: &str, step: &str, last: &str| {
        let around = |body: String, name: usize| {
            format!(
                "cel.bind(x{}, {}, {body})",
                30 - name,
                step.replace('x', &format!("x{}", 29 - name))
            )
        };
        let body = (0..30).fold(last.replace('x', "x30"), around);
        format!("cel.bind(x0, {first}, {body})")
    };
    for (first, step, last) in [
        ("'aaaaaaaa'", "x + x", "size(x) > 0"),
        ("[1]", "x + x", "size(x) > 0"),
        ("[1]", "[x, x]", "x == x"),
        ("['aaaaaaaa']", "[x.join(''), x.join('')]", "size(x) > 0"),
        ("'aaaaaaaa'", "[x, x].sum()", "size(x) > 0"),
        ("'aa'", "x.replace('a', 'aaaaaaaaaaaaaaaaaa')", "size(x) > 0"),
    ] {
        assert_eq!(said(&doubled(first, step, last)), spent, "{step}");
    }
}

//! Numbers as a real server reads and shows them: those that fit into 64 bits are integers, others
//! are floats.
//!
//! Source: k8s.io/kube-openapi/pkg/validation/validate/values.go, github.com/go-openapi/swag.

use serde_json::Number;

/// The largest number up to which floats tell all integers apart.
const EXACT: f64 = 9_007_199_254_740_991.0;

/// A float as Go's `%v` prints it: the shortest digits, with an exponent from a million on.
pub(super) fn shown(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    number.to_string()
}

/// Whether a float stands for an integer, as far as floats can tell.
pub(super) fn is_whole(number: f64) -> bool {
    let floor = number.trunc();
    if !(-EXACT..=EXACT).contains(&number) {
        return false;
    }
    number == floor
        || (floor != 0.0 && (number - floor).abs() / (number.abs() + floor.abs()) < 1e-9)
}

/// Whether a number is one of the format; one that means nothing has all numbers.
pub(super) fn fits(format: &str, number: &Number) -> bool {
    let float = number.as_f64().unwrap_or(0.0);
    // Floats beyond these are beyond all formats.
    let whole = match number.as_i64() {
        Some(integer) => Some(i128::from(integer)),
        None if float.fract() == 0.0 && float.abs() < 1e30 => Some(float as i128),
        None => None,
    };
    match format {
        "int32" => whole.is_some_and(|whole| i32::try_from(whole).is_ok()),
        "int64" => whole.is_some_and(|whole| i64::try_from(whole).is_ok()),
        "float" => (float as f32).is_finite(),
        _ => true,
    }
}

/// Whether `number` is a multiple of `factor`, which is above zero.
pub(super) fn is_multiple(number: f64, factor: f64) -> bool {
    is_whole(if factor < 1.0 { 1.0 / factor * number } else { number / factor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_shown_as_in_go() {
        for (number, want) in [
            (1.0, "1"),
            (1.5, "1.5"),
            (-0.25, "-0.25"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (4_294_967_295.0, "4.294967295e+09"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.0, "0"),
        ] {
            assert_eq!(shown(number), want);
        }
    }

    #[test]
    fn some_floats_are_integers() {
        for (number, want) in [
            (1.0, true),
            (-3.0, true),
            (0.0, true),
            (1.5, false),
            (2.000_000_000_1, true),
            (1.999_999_999_9, false),
            (0.000_000_000_1, false),
            (9_007_199_254_740_991.0, true),
            (9_007_199_254_740_992.0, false),
            (1e300, false),
        ] {
            assert_eq!(is_whole(number), want, "{number}");
        }
    }

    #[test]
    fn formats_have_limits() {
        let number = |text: &str| serde_json::from_str::<Number>(text).expect("a number");
        for (format, within, beyond) in [
            ("int32", vec!["2147483647", "-2147483648", "1.0"], vec!["2147483648", "1.5", "1e300"]),
            (
                "int64",
                vec!["9223372036854775807", "3000000000"],
                vec!["9223372036854775808", "0.1"],
            ),
            ("float", vec!["3.4e38", "1.5"], vec!["3.5e38", "-1e300"]),
            ("double", vec!["1e300"], vec![]),
            ("", vec!["9223372036854775808"], vec![]),
        ] {
            for text in within {
                assert!(fits(format, &number(text)), "{format} {text}");
            }
            for text in beyond {
                assert!(!fits(format, &number(text)), "{format} {text}");
            }
        }
    }
}

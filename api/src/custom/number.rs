//! Numbers as the messages of a real server show them.

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

/// Whether `number` is a multiple of `factor`, as far as floats can tell.
pub(super) fn is_multiple(number: f64, factor: f64) -> bool {
    let quotient = number / factor;
    factor == 0.0 || (quotient - quotient.round()).abs() < 1e-9
}

//! Resource quantities: `500m`, `1Gi`, `2e3`.
//!
//! A quantity is a fixed-point number of billionths, at most 2^63-1 in magnitude; what is finer is
//! rounded away from zero. It remembers which family of suffixes it was written with and prints in
//! canonical form: no fraction, the largest suffix that loses nothing.
//! Source: k8s.io/apimachinery/pkg/api/resource.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

const NANO: i128 = 1_000_000_000;
const MAX: i128 = i64::MAX as i128 * NANO;
/// Digits before the point of the largest quantity; a number with more of them is larger.
const WHOLE_DIGITS: i64 = 19;

/// The family of suffixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Ki`, `Mi`, …: powers of 1024.
    BinarySi,
    /// `m`, ``, `k`, `M`, …: powers of 1000.
    DecimalSi,
    /// `e3`, `e6`, …
    DecimalExponent,
}

/// Why a text is no quantity, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number followed by a suffix.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// The suffix does not exist.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// The number has several points or no digit.
    #[error("unable to parse numeric part of quantity")]
    Number,
}

/// An amount of some resource. Compares by value, whatever the format.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// A whole number of units.
    #[must_use]
    pub fn from_value(value: i64, format: Format) -> Self {
        Self { nanos: i128::from(value) * NANO, format }
    }

    /// A number of thousandths.
    #[must_use]
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// Whole units, rounded up.
    #[must_use]
    pub fn value(self) -> i64 {
        clamp(ceil(self.nanos, NANO))
    }

    /// Thousandths (millicores for CPU), rounded up.
    #[must_use]
    pub fn milli_value(self) -> i64 {
        clamp(ceil(self.nanos, NANO / 1000))
    }

    /// Whether it is 0.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is below 0.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it has no fraction.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }

    /// Billionths.
    pub(crate) fn nanos(self) -> i128 {
        self.nanos
    }

    fn capped(nanos: i128, format: Format) -> Self {
        Self { nanos: nanos.clamp(-MAX, MAX), format }
    }
}

fn ceil(nanos: i128, unit: i128) -> i128 {
    nanos.div_euclid(unit) + i128::from(nanos.rem_euclid(unit) != 0)
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// Sums keep the format of the left side, unless that is zero.
impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self::capped(self.nanos + other.nanos, format)
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self::capped(self.nanos - other.nanos, format)
    }
}

impl TryFrom<&Text> for Quantity {
    type Error = QuantityError;

    fn try_from(text: &Text) -> Result<Self, QuantityError> {
        text.0.parse()
    }
}

impl From<Quantity> for Text {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.to_string())
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end =
            unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        if number.is_empty() {
            return Err(QuantityError::Format);
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(QuantityError::Number);
        }
        let (binary, decimal, format) = parse_suffix(suffix)?;
        let magnitude = magnitude(whole, fraction, binary, decimal);
        Ok(Self::capped(if negative { -magnitude } else { magnitude }, format))
    }
}

/// Power of 2, power of 10 and format of a suffix.
fn parse_suffix(suffix: &str) -> Result<(u32, i64, Format), QuantityError> {
    let decimal = |exponent| Ok((0, exponent, Format::DecimalSi));
    let binary = |exponent| Ok((exponent, 0, Format::BinarySi));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
            let digits = letters.strip_prefix(['+', '-']).unwrap_or(letters);
            if !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(QuantityError::Format);
            }
            match suffix.strip_prefix(['e', 'E']) {
                Some(exponent) => match exponent.parse::<i32>() {
                    Ok(exponent) => Ok((0, i64::from(exponent), Format::DecimalExponent)),
                    Err(_) => Err(QuantityError::Suffix),
                },
                None => Err(QuantityError::Suffix),
            }
        }
    }
}

/// Billionths of `whole.fraction * 2^binary * 10^decimal`, rounded up, at most [`MAX`].
fn magnitude(whole: &str, fraction: &str, binary: u32, decimal: i64) -> i128 {
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return 0;
    }
    // Where the point is, counted from the first digit that is not 0.
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let point = (length(digits) - length(fraction)).saturating_add(decimal);
    if point > WHOLE_DIGITS {
        return MAX;
    }
    let unit = NANO << binary;
    let digits: Vec<i128> = digits.bytes().map(|digit| i128::from(digit - b'0')).collect();
    let before = usize::try_from(point).unwrap_or(0);
    let whole = (0..before).fold(0, |sum, at| sum * 10 + digits.get(at).copied().unwrap_or(0));
    // What is behind the point, last digit first: each division drops what is less than a billionth
    // and notes that it was there.
    let (mut part, mut rest) = (0, false);
    for digit in digits.iter().skip(before).rev() {
        let sum: i128 = part + digit * unit;
        (part, rest) = (sum / 10, rest || sum % 10 != 0);
    }
    let mut zeros = point.saturating_neg();
    while zeros > 0 && part > 0 {
        (part, rest) = (part / 10, rest || part % 10 != 0);
        zeros -= 1;
    }
    let whole = i128::saturating_mul(whole, unit);
    whole.saturating_add(part).saturating_add(i128::from(rest)).min(MAX)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        if self.format == Format::BinarySi && !small && self.is_whole() {
            let (mut value, mut power) = (self.nanos / NANO, 0);
            while value % 1024 == 0 && power < 6 {
                value /= 1024;
                power += 1;
            }
            return write!(f, "{value}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]);
        }
        let (mut value, mut power) = (self.nanos, 0_usize);
        while value % 1000 == 0 && power < 9 {
            value /= 1000;
            power += 1;
        }
        if self.format == Format::DecimalExponent {
            let exponent = 3 * i32::try_from(power).unwrap_or(0) - 9;
            return if exponent == 0 {
                write!(f, "{value}")
            } else {
                write!(f, "{value}e{exponent}")
            };
        }
        write!(f, "{value}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][power])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn canonical_form() {
        let cases = [
            ("0", "0"),
            ("0Gi", "0"),
            ("-0", "0"),
            ("1", "1"),
            ("+1", "1"),
            ("1.5", "1500m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("1073741824", "1073741824"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1023", "1023"),
            ("1.1Ki", "1126400m"),
            ("1e3", "1e3"),
            ("1000e0", "1e3"),
            ("1E3", "1e3"),
            ("1E", "1E"),
            ("12e6", "12e6"),
            ("100e-1", "10"),
            ("0.1m", "100u"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("1.0000000001", "1000000001n"),
            ("-1.5Gi", "-1536Mi"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9223372036854775807"),
            ("100Ei", "9223372036854775807"),
            ("1e1000000", "9223372036854775807"),
            ("1e-1000000", "1e-9"),
            ("123456789012345678901234567890", "9223372036854775807"),
            ("10240000000000000102400n", "10240000000000000102400n"),
            ("10000000000.0000001Ki", "10240000000000000102400n"),
            ("1.000000000000000000000000001Ei", "1152921504606846976000000002n"),
            ("0.00000000000000000000000000000000001Ei", "1n"),
            ("0.0000000000000000000001e31", "1e9"),
        ];
        for (text, canonical) in cases {
            assert_eq!(parse(text).to_string(), canonical, "{text}");
            assert_eq!(parse(canonical), parse(text), "{canonical} parses to the same value");
        }
    }

    #[test]
    fn refuses() {
        use QuantityError as E;
        let cases = [
            ("", E::Format),
            ("x", E::Format),
            ("Gi", E::Format),
            ("-", E::Format),
            ("1x", E::Format),
            ("1 ", E::Format),
            ("1 Gi", E::Format),
            ("1é", E::Format),
            ("1Kii", E::Suffix),
            ("1e", E::Suffix),
            ("1e99999999999", E::Suffix),
            ("1mm", E::Suffix),
            ("1.2.3", E::Number),
            (".", E::Number),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Quantity>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn values_round_up_and_compare() {
        assert_eq!(parse("1500m").value(), 2);
        assert_eq!(parse("1500u").milli_value(), 2);
        assert_eq!(parse("-1500m").value(), -1);
        assert_eq!(parse("1Gi").value(), 1 << 30);
        assert_eq!(parse("9223372036854775807").milli_value(), i64::MAX);
        assert_eq!(parse("1024Ki"), parse("1Mi"));
        assert!(parse("1G") < parse("1Gi"));
        assert_eq!((parse("100m") + parse("1")).to_string(), "1100m");
        assert_eq!((parse("1Gi") - parse("1Mi")).to_string(), "1023Mi");
        assert_eq!((Quantity::ZERO + parse("1Ki")).to_string(), "1Ki");
        assert_eq!(Quantity::from_milli(1500).to_string(), "1500m");
        assert_eq!(Quantity::from_value(1 << 20, Format::BinarySi).to_string(), "1Mi");
    }
}

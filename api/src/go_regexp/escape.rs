//! Escaped characters: `\.`, `\n`, `\x41`, `\x{1F600}`, `\101`.

use super::Malformed;

/// The problem of an escape that there is not.
pub(super) const INVALID: &str = "invalid escape sequence";

/// The code point that an escape at the start of `text` stands for, and what follows it.
pub(super) fn point(text: &str) -> Result<(u32, &str), Malformed> {
    let mut chars = text.chars();
    chars.next();
    let Some(c) = chars.next() else {
        return Err(Malformed::new("trailing backslash at end of expression", ""));
    };
    let rest = chars.as_str();
    let refused = |rest: &str| Malformed::new(INVALID, &text[..text.len() - rest.len()]);
    let simple = match c {
        'a' => '\u{7}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '0' => return Ok(octal(&text[1..])),
        // A single digit would be a reference to a group, which there are none of.
        '1'..='7' if rest.starts_with(|c: char| matches!(c, '0'..='7')) => {
            return Ok(octal(&text[1..]));
        }
        'x' => return hexadecimal(rest).map_err(refused),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return Err(refused(rest)),
    };
    Ok((u32::from(simple), rest))
}

/// Up to three octal digits.
fn octal(text: &str) -> (u32, &str) {
    let digits = text.bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let (digits, rest) = text.split_at(digits);
    (u32::from_str_radix(digits, 8).unwrap_or_default(), rest)
}

/// Two digits, or any number in braces. What is refused ends before the text that comes back.
fn hexadecimal(text: &str) -> Result<(u32, &str), &str> {
    let mut chars = text.chars();
    if let Some(inside) = text.strip_prefix('{') {
        let (mut chars, mut point, mut digits) = (inside.chars(), 0, 0);
        loop {
            match chars.next().map(|c| (c, c.to_digit(16))) {
                Some(('}', _)) if digits > 0 => return Ok((point, chars.as_str())),
                Some((_, Some(digit))) => point = point * 16 + digit,
                _ => return Err(chars.as_str()),
            }
            if point > u32::from(char::MAX) {
                return Err(chars.as_str());
            }
            digits += 1;
        }
    }
    let mut digit = || chars.next().and_then(|c| c.to_digit(16));
    match (digit(), digit()) {
        (Some(high), Some(low)) => Ok((high * 16 + low, chars.as_str())),
        _ => Err(chars.as_str()),
    }
}

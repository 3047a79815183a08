//! Numbers with a digit that checks the others.
//!
//! Source: k8s.io/kube-openapi/third_party/forked/govalidator.

use super::{Known, known};

/// Of Visa, Mastercard, Discover, American Express, Diners Club, JCB and UnionPay.
static CREDIT_CARD: Known = Known::new(|| {
    known(
        "^(4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|(222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}|6(011|5[0-9]{2})[0-9]{12}|3[47][0-9]{13}|3(0[0-5]|[68][0-9])[0-9]{11}|(2131|1800|35[0-9]{3})[0-9]{11}|6[27][0-9]{14})$",
    )
});

/// A credit card's number, whatever is between its digits.
pub(super) fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !CREDIT_CARD.matches(&digits) {
        return false;
    }
    // Every other digit from the end counts twice, as the sum of its own digits.
    let twice = |digit: u32| if digit < 5 { 2 * digit } else { 2 * digit - 9 };
    let values = digits.chars().rev().filter_map(|digit| digit.to_digit(10)).enumerate();
    let sum: u32 = values.map(|(n, digit)| if n % 2 == 1 { twice(digit) } else { digit }).sum();
    sum.is_multiple_of(10)
}

/// The digits of a book's number, without what is between them; the last one may be an X. `None` if
/// it is not `length` long or something else.
fn digits(text: &str, length: usize) -> Option<Vec<u32>> {
    let between = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ' | '-');
    let plain: Vec<char> = text.chars().filter(|c| !between(*c)).collect();
    let digit = |(n, c): (usize, &char)| match c {
        'X' if length == 10 && n == 9 => Some(10),
        c => c.to_digit(10),
    };
    (plain.len() == length).then(|| plain.iter().enumerate().map(digit).collect())?
}

/// `0-321-75104-3`.
pub(super) fn is_isbn10(text: &str) -> bool {
    let Some(digits) = digits(text, 10) else { return false };
    let sum: u32 = (1..).zip(digits).map(|(weight, digit)| weight * digit).sum();
    sum.is_multiple_of(11)
}

/// `978-0321751041`.
pub(super) fn is_isbn13(text: &str) -> bool {
    let Some(digits) = digits(text, 13) else { return false };
    let weights = [1, 3].into_iter().cycle();
    weights.zip(digits).map(|(weight, digit)| weight * digit).sum::<u32>().is_multiple_of(10)
}

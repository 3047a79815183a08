//! Query strings.

/// The parameters of a query, in order, percent-decoded.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// Percent-decoding; what is no escape stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], code) {
            (b'%', Some(code)) => {
                out.push(code);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding() {
        assert_eq!(decode("a%20b+c%2Fd%zz%"), "a b c/d%zz%");
        assert_eq!(decode("%E2%82%AC"), "€");
    }

    #[test]
    fn parameters_are_decoded() {
        let all: Vec<_> = pairs("command=a%26b&command=&x").collect();
        let want = [("command", "a&b"), ("command", ""), ("x", "")];
        assert_eq!(all, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

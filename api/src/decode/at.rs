//! Where in a body a value is.

use std::fmt;

/// A place in a body. Spelled out only for what is reported: a path per value would multiply the
/// length of a key by the number of values below it.
pub(super) enum At<'a> {
    /// The whole body.
    Root,
    /// A field of an object.
    Field(&'a At<'a>, &'a str),
    /// A key of a map.
    Key(&'a At<'a>, &'a str),
    /// An item of a list.
    Item(&'a At<'a>, usize),
}

impl At<'_> {
    /// The path as Go reports it: without the keys of maps and the indices of lists.
    pub(super) fn fields(&self) -> String {
        match self {
            At::Root => String::new(),
            At::Key(of, _) | At::Item(of, _) => of.fields(),
            At::Field(of, name) => {
                let path = of.fields();
                if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") }
            }
        }
    }
}

/// As in `spec.containers[0].name`.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Field(At::Root, name) | At::Key(At::Root, name) => f.write_str(name),
            At::Field(of, name) | At::Key(of, name) => write!(f, "{of}.{name}"),
            At::Item(of, index) => write!(f, "{of}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::At;

    #[test]
    fn paths_are_shown_with_and_without_keys() {
        let at = At::Field(&At::Root, "spec");
        let at = At::Field(&at, "containers");
        let at = At::Item(&at, 1);
        let at = At::Field(&at, "limits");
        let at = At::Key(&at, "cpu");
        assert_eq!(at.to_string(), "spec.containers[1].limits.cpu");
        assert_eq!(at.fields(), "spec.containers.limits");
        assert_eq!((At::Root.to_string(), At::Root.fields()), (String::new(), String::new()));
    }
}

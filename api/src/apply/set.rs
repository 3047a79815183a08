//! A set of fields of an object, and the algebra on such sets.
//!
//! The set is a tree. A field may be a member itself, or only lead to members below it, or both:
//! owning `spec.securityContext` (that it is there at all) and owning something in it are two
//! things.

use std::cmp::Ordering;
use std::fmt;

use super::element::Element;

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Sorted by element; none of them is neither member nor parent of one.
    entries: Vec<Entry>,
}

/// What a set says about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) element: Element,
    /// Whether the field itself belongs to the set.
    pub(super) member: bool,
    /// What belongs to the set below the field.
    pub(super) below: FieldSet,
}

impl Entry {
    fn is_void(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    /// The set with these paths as members.
    pub fn of_paths<'a>(paths: impl IntoIterator<Item = &'a [&'a str]>) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<Element> = path.iter().map(|name| Element::field(name)).collect();
            set.insert(&path);
        }
        set
    }

    /// Whether nothing belongs to it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds the field at a path; nobody can own the whole object, so the empty path adds nothing.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let at = match self.find(first) {
            Ok(at) => at,
            Err(at) => {
                let below = Self::default();
                self.entries.insert(at, Entry { element: first.clone(), member: false, below });
                at
            }
        };
        let entry = &mut self.entries[at];
        if rest.is_empty() {
            entry.member = true;
        } else {
            entry.below.insert(rest);
        }
    }

    /// Adds what a set says about a field that comes after all others.
    pub(super) fn push(&mut self, element: Element, member: bool, below: Self) {
        let entry = Entry { element, member, below };
        if !entry.is_void() {
            debug_assert!(self.entries.last().is_none_or(|last| last.element < entry.element));
            self.entries.push(entry);
        }
    }

    /// A set of entries in any order, no two of the same element.
    pub(super) fn from_unsorted(mut entries: Vec<Entry>) -> Self {
        entries.retain(|entry| !entry.is_void());
        entries.sort_by(|a, b| a.element.cmp(&b.element));
        Self { entries }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn find(&self, element: &Element) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.element.cmp(element))
    }

    /// What the set says about a field.
    pub(super) fn entry(&self, element: &Element) -> Option<&Entry> {
        self.find(element).ok().map(|at| &self.entries[at])
    }

    /// Whether the field at a path belongs to it.
    #[must_use]
    pub fn has(&self, path: &[Element]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let parent = parents
            .iter()
            .try_fold(self, |set, element| set.entry(element).map(|entry| &entry.below));
        parent.and_then(|set| set.entry(last)).is_some_and(|entry| entry.member)
    }

    /// What belongs to either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| match (a, b) {
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (Some(a), Some(b)) => Some(Entry {
                element: a.element.clone(),
                member: a.member || b.member,
                below: a.below.union(&b.below),
            }),
            (None, None) => None,
        })
    }

    /// What belongs to both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |a, b| {
            let (a, b) = (a?, b?);
            Some(Entry {
                element: a.element.clone(),
                member: a.member && b.member,
                below: a.below.intersection(&b.below),
            })
        })
    }

    /// What belongs to this set and not to the other. A parent does not stand for its children.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.subtract(other);
        left
    }

    /// Leaves what [`difference`](Self::difference) gives.
    pub fn subtract(&mut self, other: &Self) {
        self.meet(other, |entry, taken| {
            entry.member &= !taken.member;
            entry.below.subtract(&taken.below);
        });
    }

    /// Like [`subtract`](Self::subtract), but a member of the other set takes with it all that is
    /// below.
    pub fn subtract_below(&mut self, other: &Self) {
        self.meet(other, |entry, taken| {
            if taken.member {
                (entry.member, entry.below) = (false, Self::default());
            } else {
                entry.below.subtract_below(&taken.below);
            }
        });
    }

    /// Changes the entries that the other set has, too; what becomes of them may be void.
    fn meet(&mut self, other: &Self, change: impl Fn(&mut Entry, &Entry)) {
        let mut others = other.entries.iter().peekable();
        self.entries.retain_mut(|entry| {
            while others.next_if(|other| other.element < entry.element).is_some() {}
            if let Some(other) = others.next_if(|other| other.element == entry.element) {
                change(entry, other);
            }
            !entry.is_void()
        });
    }

    /// What is at or below one of the paths; `*` stands for any item of a list.
    #[must_use]
    pub fn within(&self, paths: &[&[&str]]) -> Self {
        let entries = self.entries.iter().filter_map(|entry| {
            let leads = |name: &str| match &entry.element {
                Element::Field(field) => **field == *name,
                _ => name == "*",
            };
            let rest: Vec<&[&str]> = paths
                .iter()
                .filter_map(|path| path.split_first())
                .filter(|(first, _)| leads(first))
                .map(|(_, rest)| rest)
                .collect();
            if rest.iter().any(|rest| rest.is_empty()) {
                return Some(entry.clone());
            }
            let below = entry.below.within(&rest);
            let kept = Entry { element: entry.element.clone(), member: false, below };
            (!kept.is_void()).then_some(kept)
        });
        Self { entries: entries.collect() }
    }

    fn zip<'a>(
        &'a self,
        other: &'a Self,
        join: impl Fn(Option<&'a Entry>, Option<&'a Entry>) -> Option<Entry>,
    ) -> Self {
        let (mut left, mut right) =
            (self.entries.iter().peekable(), other.entries.iter().peekable());
        let mut entries = Vec::with_capacity(self.entries.len());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return Self { entries },
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.element.cmp(&b.element),
            };
            let a = if order.is_le() { left.next() } else { None };
            let b = if order.is_ge() { right.next() } else { None };
            entries.extend(join(a, b).filter(|entry| !entry.is_void()));
        }
    }

    /// All members' paths, as messages name them: those of a level before those below it.
    #[must_use]
    pub fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect_paths(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for entry in self.entries.iter().filter(|entry| entry.member) {
            let mut path = prefix.clone();
            path.push(entry.element.clone());
            paths.push(path);
        }
        for entry in &self.entries {
            prefix.push(entry.element.clone());
            entry.below.collect_paths(prefix, paths);
            prefix.pop();
        }
    }
}

/// A path as in messages: `.spec.containers[name="c"].image`.
pub(super) fn path_text(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}

/// One path a line.
impl fmt::Display for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for path in self.paths() {
            writeln!(f, "{}", path_text(&path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> FieldSet {
        let mut set = FieldSet::default();
        for path in paths {
            let path: Vec<Element> = path.split('.').map(Element::field).collect();
            set.insert(&path);
        }
        set
    }

    #[test]
    fn algebra() {
        let (a, b) = (set(&["a", "a.b", "a.c", "d.e"]), set(&["a", "a.c.x", "d.e", "f"]));
        let below = |other: &FieldSet| {
            let mut left = a.clone();
            left.subtract_below(other);
            left
        };
        let cases = [
            ("union", a.union(&b), set(&["a", "a.b", "a.c", "a.c.x", "d.e", "f"])),
            ("intersection", a.intersection(&b), set(&["a", "d.e"])),
            ("difference", a.difference(&b), set(&["a.b", "a.c"])),
            ("the other way", b.difference(&a), set(&["a.c.x", "f"])),
            ("with all below", below(&b), set(&[])),
            ("with all below a leaf", below(&set(&["a.b", "d"])), set(&["a", "a.c"])),
            ("with nothing", a.difference(&set(&[])), a.clone()),
        ];
        for (name, got, want) in cases {
            assert_eq!(got, want, "{name}");
        }
        assert!(a.difference(&a).is_empty());
        assert_eq!(a.within(&[&["a", "b"], &["d"]]), set(&["a.b", "d.e"]));
        let path = |text: &str| text.split('.').map(Element::field).collect::<Vec<_>>();
        assert!(a.has(&path("a")) && a.has(&path("d.e")));
        assert!(!a.has(&path("d")) && !a.has(&path("a.b.c")) && !a.has(&[]));
        assert_eq!(a.to_string(), ".a\n.a.b\n.a.c\n.d.e\n");
    }
}

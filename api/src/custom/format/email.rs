//! Addresses of mail, with a name or without: `a@example.com`, `A Name <a@example.com>`.
//!
//! Source: <https://pkg.go.dev/net/mail#ParseAddress>, RFC 5322.

use std::net::IpAddr;

/// Whether a text is one address.
pub(super) fn is_address(text: &str) -> bool {
    let mut parser = Parser { rest: text };
    let found = parser.address(true);
    found == Some(1) && parser.skip_comments().is_some() && parser.rest.is_empty()
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    /// A mailbox, or a group if there may be one: how many addresses there are.
    fn address(&mut self, groups: bool) -> Option<usize> {
        self.skip_space();
        let start = self.rest;
        if self.addr_spec().is_some() {
            self.skip_space();
            if self.rest.starts_with('(') {
                self.comment()?;
            }
            return Some(1);
        }
        self.rest = start;
        if !self.rest.starts_with('<') {
            self.phrase()?;
        }
        self.skip_space();
        if groups && self.take(':').is_some() {
            return self.group();
        }
        self.take('<')?;
        self.addr_spec()?;
        self.take('>')?;
        Some(1)
    }

    /// The addresses of a group, up to its semicolon.
    fn group(&mut self) -> Option<usize> {
        self.skip_space();
        let mut found = 0;
        if self.take(';').is_some() {
            return Some(0);
        }
        loop {
            found += self.address(false)?;
            self.skip_comments()?;
            if self.take(';').is_some() {
                return Some(found);
            }
            self.take(',')?;
        }
    }

    /// `local@domain`.
    fn addr_spec(&mut self) -> Option<()> {
        self.skip_space();
        if self.rest.starts_with('"') {
            (!self.quoted()?.is_empty()).then_some(())?;
        } else {
            self.dot_atom()?;
        }
        self.take('@')?;
        self.skip_space();
        if self.take('[').is_some() {
            let (literal, rest) = self.rest.split_once(']')?;
            self.rest = rest;
            return literal.parse::<IpAddr>().ok().map(drop);
        }
        self.dot_atom()
    }

    fn dot_atom(&mut self) -> Option<()> {
        let atom = self.atom(|c| !matches!(c, '(' | ')' | '[' | ']' | ';' | '@' | '\\' | ','))?;
        let wrong = atom.starts_with('.') || atom.ends_with('.') || atom.contains("..");
        (!wrong).then_some(())
    }

    /// The longest run of such visible characters, none of `<>":` among them.
    fn atom(&mut self, within: impl Fn(char) -> bool) -> Option<&'t str> {
        let good = |c: char| is_visible(c) && !matches!(c, '<' | '>' | '"' | ':') && within(c);
        let (atom, rest) =
            self.rest.split_at(self.rest.find(|c| !good(c)).unwrap_or(self.rest.len()));
        self.rest = rest;
        (!atom.is_empty()).then_some(atom)
    }

    /// What is between quotes.
    fn quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut escaped = false;
        let mut chars = self.rest.chars();
        chars.next();
        while let Some(c) = chars.next() {
            match c {
                '"' if !escaped => {
                    self.rest = chars.as_str();
                    return Some(text);
                }
                '\\' if !escaped => {
                    escaped = true;
                    continue;
                }
                c if is_visible(c) || matches!(c, ' ' | '\t') => text.push(c),
                _ => return None,
            }
            escaped = false;
        }
        None
    }

    /// The words of a name; the first one that is none ends it.
    fn phrase(&mut self) -> Option<()> {
        let mut words = 0;
        loop {
            self.skip_space();
            let start = self.rest;
            let word = match self.rest.starts_with('"') {
                true => self.quoted().map(drop),
                false => self.atom(|_| true).map(drop),
            };
            if word.is_none() {
                self.rest = start;
                return (words > 0).then_some(());
            }
            words += 1;
        }
    }

    fn skip_comments(&mut self) -> Option<()> {
        self.skip_space();
        while self.rest.starts_with('(') {
            self.comment()?;
            self.skip_space();
        }
        Some(())
    }

    /// What is between parentheses, which may be within each other.
    fn comment(&mut self) -> Option<()> {
        let mut depth = 0;
        let mut chars = self.rest.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.rest = chars.as_str();
                return Some(());
            }
        }
        None
    }
}

fn is_visible(c: char) -> bool {
    c.is_ascii_graphic() || !c.is_ascii()
}

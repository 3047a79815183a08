//! Where a path of a JSON patch leads: a field of an object or an index of a list.

use serde_json::{Map, Value};

/// What is named in a container.
pub(super) enum Key<'d> {
    /// A field.
    Field(&'d mut Map<String, Value>),
    /// An item of a list.
    Item(&'d mut Vec<Value>),
}

/// A place in a document. The container is there; what is named in it need not be.
pub(super) struct Place<'d> {
    pub(super) key: Key<'d>,
    name: String,
}

/// Follows a path; `None` if it leads nowhere.
pub(super) fn find<'d>(document: &'d mut Value, path: &str) -> Option<Place<'d>> {
    let (parents, last) = path.rsplit_once('/')?;
    let mut at = document;
    for part in parents.split('/').skip(1) {
        at = match at {
            Value::Object(fields) => fields.get_mut(&unescaped(part))?,
            Value::Array(items) => {
                let index = index(part, items.len())?;
                items.get_mut(index)?
            }
            _ => return None,
        };
    }
    let key = match at {
        Value::Object(fields) => Key::Field(fields),
        Value::Array(items) => Key::Item(items),
        _ => return None,
    };
    Some(Place { key, name: unescaped(last) })
}

impl Place<'_> {
    /// What is there.
    pub(super) fn get(&mut self) -> Option<&mut Value> {
        match &mut self.key {
            Key::Field(fields) => fields.get_mut(&self.name),
            Key::Item(items) => {
                let index = index(&self.name, items.len())?;
                items.get_mut(index)
            }
        }
    }

    /// Sets the field, or inserts an item; `-` is behind the last one.
    pub(super) fn add(self, value: Value) -> Option<()> {
        match self.key {
            Key::Field(fields) => {
                fields.insert(self.name, value);
            }
            Key::Item(items) if self.name == "-" => items.push(value),
            Key::Item(items) => {
                let index = index(&self.name, items.len() + 1)?;
                items.insert(index, value);
            }
        }
        Some(())
    }

    /// Takes out what is there.
    pub(super) fn remove(self) -> Option<Value> {
        match self.key {
            Key::Field(fields) => fields.remove(&self.name),
            Key::Item(items) => {
                let index = index(&self.name, items.len())?;
                Some(items.remove(index))
            }
        }
    }
}

/// Which of `length` items a number means; less than nothing counts from the end.
fn index(number: &str, length: usize) -> Option<usize> {
    let number: i64 = number.parse().ok()?;
    let index = if number < 0 {
        length.checked_sub(usize::try_from(number.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(number).ok()?
    };
    (index < length).then_some(index)
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

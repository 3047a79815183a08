//! `metadata.managedFields`: who owns which fields of an object.
//!
//! Source: k8s.io/apimachinery/pkg/util/managedfields.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::set::FieldSet;

/// How many managers that update (rather than apply) an object keeps; the oldest beyond become one.
const MAX_UPDATERS: usize = 10;

/// The manager of what was updated long ago.
const ANCIENT: &str = "ancient-changes";

/// What distinguishes one manager of an object from another. The same name may apply, update, and
/// write the status; those are three managers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// The name, such as `kubectl`.
    pub(super) name: String,
    /// For a manager that updates, the version of the API in which it does; `None` for one that
    /// applies.
    pub(super) updates: Option<String>,
    /// The subresource through which it writes, "" for the object itself.
    pub(super) subresource: String,
}

/// What a manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// The version of the API whose fields these are.
    pub(super) api_version: String,
    /// When the set last changed, as in metadata; `None` if that is not known.
    pub(super) time: Option<String>,
    /// The fields.
    pub(super) set: FieldSet,
}

/// The managers of an object.
pub(super) type Managers = BTreeMap<Identity, Owned>;

/// Reads `metadata.managedFields`.
///
/// # Errors
/// What is wrong with which entry.
pub(super) fn decode(entries: &Value) -> Result<Managers, String> {
    let mut managers = Managers::new();
    for (n, entry) in entries.as_array().into_iter().flatten().enumerate() {
        let text = |field: &str| entry[field].as_str().unwrap_or_default();
        let api_version = text("apiVersion").to_owned();
        let updates = match text("operation") {
            "Apply" => None,
            "Update" => Some(api_version.clone()),
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {n}")),
            other => {
                return Err(format!("invalid fieldsType {other:?} in managed fields entry {n}"));
            }
        }
        let identity = Identity {
            name: text("manager").to_owned(),
            updates,
            subresource: text("subresource").to_owned(),
        };
        let set = FieldSet::from_fields_v1(&entry["fieldsV1"])
            .map_err(|error| format!("managed fields entry {n}: {error}"))?;
        let time = entry["time"].as_str().map(str::to_owned);
        managers.insert(identity, Owned { api_version, time, set });
    }
    Ok(managers)
}

/// Writes `metadata.managedFields`; `None` when nobody owns anything. Those that apply come first,
/// then by time and name.
pub(super) fn encode(managers: &Managers) -> Option<Value> {
    let mut all: Vec<(&Identity, &Owned)> = managers.iter().collect();
    all.sort_by(|(a, a_owned), (b, b_owned)| {
        let key = |identity: &Identity| identity.updates.is_some();
        (key(a), &a_owned.time, &a.name, &a_owned.api_version, &a.subresource).cmp(&(
            key(b),
            &b_owned.time,
            &b.name,
            &b_owned.api_version,
            &b.subresource,
        ))
    });
    let entries: Vec<Value> =
        all.into_iter().map(|(identity, owned)| entry(identity, owned)).collect();
    (!entries.is_empty()).then_some(Value::Array(entries))
}

fn entry(identity: &Identity, owned: &Owned) -> Value {
    let mut map = Map::new();
    let mut put = |field: &str, value: Value| map.insert(field.to_owned(), value);
    if !identity.name.is_empty() {
        put("manager", identity.name.as_str().into());
    }
    put("operation", if identity.updates.is_some() { "Update" } else { "Apply" }.into());
    put("apiVersion", owned.api_version.as_str().into());
    if let Some(time) = &owned.time {
        put("time", time.as_str().into());
    }
    put("fieldsType", "FieldsV1".into());
    put("fieldsV1", owned.set.to_fields_v1());
    if !identity.subresource.is_empty() {
        put("subresource", identity.subresource.as_str().into());
    }
    Value::Object(map)
}

/// Whether a client that sends these entries wants them forgotten: one empty entry says so.
pub(super) fn is_reset(entries: &Value) -> bool {
    let only = entries.as_array().filter(|all| all.len() == 1).and_then(|all| all[0].as_object());
    only.is_some_and(Map::is_empty)
}

/// Makes one manager (per version of the API) of the oldest that update, while there are too many.
pub(super) fn cap(managers: &mut Managers) {
    let mut updaters: Vec<Identity> =
        managers.keys().filter(|identity| identity.updates.is_some()).cloned().collect();
    let mut excess = updaters.len().saturating_sub(MAX_UPDATERS);
    if excess == 0 {
        return;
    }
    updaters.sort_by(|a, b| {
        let time =
            |identity: &Identity| managers.get(identity).and_then(|owned| owned.time.clone());
        time(a).cmp(&time(b)).then_with(|| a.cmp(b))
    });
    // The first of a version joins when a second one comes.
    let mut firsts: BTreeMap<String, Identity> = BTreeMap::new();
    for identity in updaters {
        if excess == 0 {
            return;
        }
        let version = identity.updates.clone().unwrap_or_default();
        let Some(first) = firsts.get(&version) else {
            firsts.insert(version, identity);
            continue;
        };
        let bucket = Identity {
            name: ANCIENT.to_owned(),
            updates: Some(version.clone()),
            subresource: String::new(),
        };
        if !managers.contains_key(&bucket)
            && let Some(owned) = managers.remove(first)
        {
            managers.insert(bucket.clone(), owned);
        }
        if identity == bucket {
            continue;
        }
        let (Some(newer), Some(old)) = (managers.remove(&identity), managers.get_mut(&bucket))
        else {
            continue;
        };
        old.set = old.set.union(&newer.set);
        old.time = newer.time;
        excess -= 1;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry_of(name: &str, operation: &str, time: Option<&str>, field: &str) -> Value {
        let mut entry = json!({"manager": name, "operation": operation, "apiVersion": "v1",
            "fieldsType": "FieldsV1", "fieldsV1": {format!("f:{field}"): {}}});
        if let Some(time) = time {
            entry["time"] = time.into();
        }
        entry
    }

    #[test]
    fn entries_read_and_write_in_order() {
        let time = |n: u32| format!("2024-01-01T00:00:{n:02}Z");
        let entries = json!([
            entry_of("b", "Update", Some(&time(2)), "x"),
            entry_of("c", "Update", Some(&time(1)), "x"),
            entry_of("d", "Apply", Some(&time(3)), "x"),
            entry_of("a", "Update", Some(&time(2)), "x"),
            entry_of("e", "Apply", None, "x"),
        ]);
        let managers = decode(&entries).expect("readable");
        let written = encode(&managers).expect("entries");
        let names: Vec<&str> = written
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry["manager"].as_str())
            .collect();
        assert_eq!(names, ["e", "d", "c", "a", "b"]);
        assert_eq!(decode(&written), Ok(managers));
        assert_eq!(encode(&Managers::new()), None);
    }

    #[test]
    fn unreadable_entries_are_named() {
        let change = |field: &str, value: Value| {
            let mut entry = entry_of("a", "Update", None, "x");
            entry[field] = value;
            decode(&json!([entry])).expect_err("unreadable")
        };
        assert_eq!(change("operation", "Patch".into()), "operation must be `Apply` or `Update`");
        assert_eq!(change("apiVersion", Value::Null), "apiVersion must not be empty");
        assert_eq!(
            change("fieldsType", Value::Null),
            "missing fieldsType in managed fields entry 0"
        );
        assert_eq!(
            change("fieldsType", "V2".into()),
            "invalid fieldsType \"V2\" in managed fields entry 0"
        );
        assert!(change("fieldsV1", json!({"x": {}})).contains("\"x\""));
        assert!(is_reset(&json!([{}])) && !is_reset(&json!([])) && !is_reset(&Value::Null));
    }

    #[test]
    fn the_oldest_updaters_become_one() {
        let updaters = |count: usize| -> Managers {
            let entries: Vec<Value> = (0..count)
                .map(|n| {
                    let time = format!("2024-01-01T00:00:{n:02}Z");
                    entry_of(&format!("m{n:02}"), "Update", Some(&time), &format!("f{n:02}"))
                })
                .collect();
            decode(&Value::Array(entries)).expect("readable")
        };
        let mut ten = updaters(10);
        cap(&mut ten);
        assert_eq!(ten, updaters(10));
        let mut many = updaters(13);
        let applier = entry_of("applier", "Apply", None, "z");
        many.extend(decode(&json!([applier])).expect("readable"));
        cap(&mut many);
        assert_eq!(many.len(), 11);
        let ancient = many.iter().find(|(identity, _)| identity.name == ANCIENT).expect("a bucket");
        assert_eq!(ancient.1.set.to_string(), ".f00\n.f01\n.f02\n.f03\n");
        assert_eq!(ancient.1.time.as_deref(), Some("2024-01-01T00:00:03Z"));
        // The next one joins the same bucket.
        let late = entry_of("late", "Update", Some("2024-01-01T00:01:00Z"), "late");
        many.extend(decode(&json!([late])).expect("readable"));
        cap(&mut many);
        assert_eq!(many.len(), 11);
        let ancient = many.iter().find(|(identity, _)| identity.name == ANCIENT).expect("a bucket");
        assert_eq!(ancient.1.set.paths().len(), 5);
    }
}

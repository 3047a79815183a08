use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

use crate::schema::{self, Shape, type_named};

mod peer;

/// Random objects by schema. Only what JSON and protobuf can both say is made: optional fields
/// that Go holds without a pointer are absent rather than zero.
struct Generator {
    random: u64,
    /// Values still to be made; beyond, only what must be there is.
    left: u32,
    /// Fields that are left out: type and name.
    without: &'static [(&'static str, &'static str)],
}

impl Generator {
    fn new(seed: u64) -> Generator {
        Generator { random: seed, left: 300, without: &[] }
    }

    fn below(&mut self, end: u64) -> u64 {
        // Xorshift: enough to be different each time, and the same for the same seed.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    fn object(&mut self, type_name: &str, depth: u32) -> Value {
        let of = type_named(type_name).expect(type_name);
        let mut object = Map::new();
        for (name, field) in &of.fields {
            let present = self.left > 0 && depth < 12 && self.below(u64::from(depth + 2)) < 2;
            let (path, form) = field.number.split_once(':').unwrap_or((field.number, ""));
            // A quantity that Go holds without a pointer is shown even when it is 0.
            let shown = field.shape == Shape::Quantity && !path.ends_with('*');
            let without = field.number == "-" || self.without.contains(&(type_name, *name));
            if without || !(field.always || present || shown) {
                continue;
            }
            let value = self.value(&field.shape, form, depth + 1);
            let zero = match &value {
                Value::String(text) => text.is_empty(),
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::Object(map) => map.is_empty(),
                other => *other == json!(false) || *other == json!([]),
            };
            let list = matches!(field.shape, Shape::List(_) | Shape::Map(_));
            let kept = !zero || path.ends_with('*') || field.always && !list;
            if kept && (field.always || path.ends_with('*') || !self.unset(&field.shape, &value)) {
                object.insert((*name).to_owned(), value);
            }
        }
        Value::Object(object)
    }

    /// Whether an object says nothing that its absence would not say.
    fn unset(&mut self, shape: &Shape, value: &Value) -> bool {
        let (Shape::Object(name), Value::Object(map)) = (shape, value) else { return false };
        map.iter().all(|(field, value)| {
            let field = &type_named(name).expect(name).fields[field.as_str()];
            let zero = match value {
                Value::String(text) => text.is_empty(),
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::Bool(value) => !value,
                Value::Object(_) => self.unset(&field.shape, value),
                _ => false,
            };
            zero && !field.number.ends_with('*')
        })
    }

    fn value(&mut self, shape: &Shape, form: &str, depth: u32) -> Value {
        const SCHEMA: Shape = Shape::Object("apiextensions.v1.JSONSchemaProps");
        self.left = self.left.saturating_sub(1);
        match (shape, form) {
            (Shape::Object(name), _) => self.object(name, depth),
            (Shape::List(item), _) => {
                let length = if self.left > 0 && depth < 12 { self.below(3) } else { 0 };
                (0..length).map(|_| self.value(item, form, depth + 1)).collect()
            }
            (Shape::Map(value), _) => {
                let length = if self.left > 0 && depth < 12 { self.below(3) } else { 0 };
                let entries =
                    (0..length).map(|_| (self.text(), self.value(value, form, depth + 1)));
                Value::Object(entries.collect())
            }
            (Shape::String, "duration") => {
                ["0s", "-1.5s", "1h0m0.000000001s"][self.below(3) as usize].into()
            }
            (Shape::String, _) => self.text().into(),
            (Shape::Bool, _) => (self.below(2) == 1).into(),
            (Shape::Int32, _) => (self.below(9) as i32 - 4).into(),
            (Shape::Int64, _) => [0, 1, -1, i64::MAX, i64::MIN][self.below(5) as usize].into(),
            (Shape::Float64, _) => {
                [json!(0), json!(-7), json!(0.5), json!(-1e300)][self.below(4) as usize].clone()
            }
            (Shape::Bytes, _) => STANDARD.encode(self.text()).into(),
            (Shape::Time, _) => {
                ["1970-01-01T00:00:00Z", "2026-11-21T12:48:26Z", "1912-06-23T00:00:01Z"]
                    [self.below(3) as usize]
                    .into()
            }
            (Shape::MicroTime, _) => ["1969-12-31T23:59:59.000001Z", "2026-11-21T12:48:26.654321Z"]
                [self.below(2) as usize]
                .into(),
            (Shape::Quantity, _) => ["0", "500m", "1Gi"][self.below(3) as usize].into(),
            (Shape::IntOrString, _) => match self.below(3) {
                0 => "25%".into(),
                number => (number as i32 * -40_000).into(),
            },
            (Shape::Any, "schemas") if self.below(2) == 0 && depth < 12 => {
                json!([self.value(&SCHEMA, "", depth + 1)])
            }
            (Shape::Any, "bool") if self.below(2) == 0 => (self.below(2) == 1).into(),
            (Shape::Any, "strings") if self.below(2) == 0 => json!(["a", ""]),
            (Shape::Any, "schemas" | "bool" | "strings") => self.value(&SCHEMA, "", depth),
            (Shape::Any, "empty") => json!({}),
            (Shape::Any, _) => [json!({"a": [1, {"b": null}]}), json!("x"), json!(false)]
                [self.below(3) as usize]
                .clone(),
        }
    }

    fn text(&mut self) -> String {
        ["", "a", "täglich", "\0\u{7f}", &"long".repeat(40)][self.below(5) as usize].to_owned()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every type of the schema comes back as it went.
    #[test]
    fn there_and_back(seed in 1_u64..) {
        for name in schema::types().keys() {
            let object = Generator::new(seed).object(name, 0);
            let message = encode(name, &object).expect(name);
            let back = decode(name, &message).expect(name);
            prop_assert_eq!(&back, &object, "{}", name);
        }
    }

    /// Whatever bytes come, there is an answer.
    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for name in ["core.v1.Pod", "apiextensions.v1.JSONSchemaProps", "meta.v1.DeleteOptions"] {
            let _ = decode(name, &bytes);
        }
        let _ = envelope::open(&bytes);
        let _ = envelope::open(&[b"k8s\0", &bytes[..]].concat());
    }

    /// Nor does a message that is almost right do harm.
    #[test]
    fn damaged_messages_have_an_answer(seed in 1_u64.., at in any::<usize>(), byte in any::<u8>()) {
        for name in ["core.v1.Pod", "apiextensions.v1.JSONSchemaProps", "apps.v1.DaemonSet"] {
            let mut message = encode(name, &Generator::new(seed).object(name, 0)).expect(name);
            if message.is_empty() { continue; }
            let at = at % message.len();
            message[at] = byte;
            let _ = decode(name, &message);
            let _ = decode(name, &message[..at]);
        }
    }
}

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("fixtures are JSON")).collect()
}

/// What kubectl sends is read, and is what we write for the same object.
#[test]
fn the_bytes_of_kubectl() {
    let records = records(include_str!("../../../fixtures/wire/protobuf.jsonl"));
    assert!(records.len() > 20);
    for record in records {
        let text = |field: &str| record[field].as_str().expect("a text");
        let (name, type_name) = (text("name"), text("type"));
        let body = STANDARD.decode(text("body")).expect(name);
        let envelope = envelope::open(&body).expect(name);
        assert_eq!(envelope.kind, record["object"]["kind"], "{name}");
        assert_eq!(envelope.api_version, record["object"]["apiVersion"], "{name}");
        let written = write(&record["object"]).expect(name);
        assert_eq!(STANDARD.encode(written), text("body"), "{name}");
        let read = decode(type_name, envelope.message).expect(name);
        assert_eq!(encode(type_name, &read).expect(name), envelope.message, "{name}");
    }
}

/// Nothing of what a real server shows is lost on the way.
#[test]
fn what_a_real_server_shows_survives() {
    let mut seen = 0;
    let text = include_str!("../../../fixtures/wire/defaulting.jsonl")
        .replace("\"eventTime\": \"<time>\"", "\"eventTime\": \"2026-11-21T12:48:26.000000Z\"")
        .replace("<time>", "2026-11-21T12:48:26Z");
    for record in records(&text) {
        let object = &record["response"];
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let Some(type_name) = schema_type(text("apiVersion"), text("kind")) else { continue };
        let message = encode(&type_name, object).expect(&type_name);
        let back = decode(&type_name, &message).expect(&type_name);
        assert_eq!(said(&back), said(object), "{type_name}");
        assert_eq!(encode(&type_name, &back).expect(&type_name), message, "{type_name}");
        seen += 1;
    }
    assert!(seen > 20, "only {seen} objects were looked at");
}

/// What an object says beyond zeros. The kinds of objects, also of those within others (claim
/// templates), are not in their messages.
fn said(value: &Value) -> Value {
    let keep = |value: &Value| {
        let zero = matches!(value, Value::Null | Value::Bool(false))
            || value.as_f64() == Some(0.0)
            || value.as_str().is_some_and(str::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty);
        !zero
    };
    match value {
        Value::Object(map) => {
            let told = |name: &str| {
                !(map.contains_key("metadata") && ["apiVersion", "kind"].contains(&name))
            };
            let members = map.iter().filter(|(name, _)| told(name));
            let members = members.map(|(name, value)| (name.clone(), said(value)));
            Value::Object(members.filter(|(_, value)| keep(value)).collect())
        }
        Value::Array(list) => list.iter().map(said).collect(),
        other => other.clone(),
    }
}

#[test]
fn zero_is_absent_unless_go_can_tell() {
    let decoded = |name, bytes: &[u8]| decode(name, bytes).unwrap();
    // replicas is a pointer, minReadySeconds is not.
    assert_eq!(decoded("apps.v1.DeploymentSpec", b"\x08\0\x28\0"), json!({"replicas": 0}));
    // An emptyDir says something by being there, an empty status does not.
    assert_eq!(decoded("core.v1.Volume", b"\x12\x02\x12\0"), json!({"emptyDir": {}}));
    assert_eq!(
        decoded("core.v1.Namespace", b"\x0a\0\x12\0\x1a\x02\x0a\0"),
        json!({"metadata": {}})
    );
    // Nor does a node's status in which Go writes thirty empty strings.
    let node = encode("core.v1.Node", &json!({})).unwrap();
    assert!(node.len() > 30);
    assert_eq!(decoded("core.v1.Node", &node), json!({"metadata": {}}));
}

#[test]
fn readers_are_lenient_where_protobuf_is() {
    let decoded = |name, bytes: &[u8]| decode(name, bytes).unwrap();
    // Unknown fields of all wire types; the last of several scalars wins.
    let bytes = b"\xf8\x3f\x01\xf9\x3f12345678\xfa\x3f\x01x\xfd\x3f1234\x0a\x01a\x0a\x01b";
    assert_eq!(decoded("core.v1.EnvVar", bytes), json!({"name": "b"}));
    // A message in two parts, and packed numbers beside unpacked ones.
    let parts = b"\x0a\x03\x0a\x01a\x0a\x03\x1a\x01n";
    let metadata = json!({"metadata": {"name": "a", "namespace": "n"}});
    assert_eq!(decoded("core.v1.ConfigMap", parts), metadata);
    let groups = b"\x22\x02\x01\x02\x20\x03";
    assert_eq!(
        decoded("core.v1.PodSecurityContext", groups),
        json!({"supplementalGroups": [1, 2, 3]})
    );
    // A map's entry without a value.
    assert_eq!(decoded("core.v1.ConfigMap", b"\x12\x03\x0a\x01k"), json!({"data": {"k": ""}}));
}

#[test]
fn what_json_cannot_hold_is_refused() {
    for (name, bytes, want) in [
        ("core.v1.EnvVar", &b"\x0a\x01\xff"[..], "field name contains invalid UTF-8"),
        ("core.v1.EnvVar", b"\x08\x01", "proto: wrong wireType = 0 for field name"),
        ("core.v1.ConfigMap", b"\x12\x03\x08\x01", "unexpected EOF"),
        ("core.v1.Volume", b"\x10\x01", "proto: illegal tag 2 (wire type 0)"),
        ("apps.v1.ControllerRevision", b"\x12\x03\x0a\x01{", "field data does not hold JSON"),
        (
            "apiextensions.v1.JSONSchemaProps",
            b"\x49\0\0\0\0\0\0\xf8\x7f",
            "field maximum is out of range",
        ),
        (
            "meta.v1.ObjectMeta",
            b"\x42\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10\0",
            "field creationTimestamp is out of range",
        ),
        ("core.v1.Nothing", b"", "no type core.v1.Nothing has a protobuf form"),
    ] {
        let error = decode(name, bytes).expect_err(name);
        assert_eq!(error.to_string(), want);
    }
}

#[test]
fn depth_is_limited() {
    let nested = |levels: usize| {
        let mut message = Vec::new();
        for _ in 0..levels {
            // `not`, field 28
            let mut outer = vec![0xe2, 0x01];
            let mut rest = message.len();
            while rest > 0x7f {
                outer.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            outer.push(rest as u8);
            outer.append(&mut message);
            message = outer;
        }
        decode("apiextensions.v1.JSONSchemaProps", &message)
    };
    assert!(nested(DEPTH - 1).is_ok());
    assert_eq!(nested(DEPTH).unwrap_err().to_string(), "exceeded max depth");
    let json = |levels: usize| {
        let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let raw = [&[0x0a, text.len() as u8][..], text.as_bytes()].concat();
        decode("apps.v1.ControllerRevision", &[&[0x12, raw.len() as u8][..], &raw].concat())
    };
    assert!(json(50).is_ok());
}

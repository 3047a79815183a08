//! Rows of APIServices.

use super::*;

pub(crate) const API_SERVICE: Printer = Printer::new("APIService", |object, now| {
    let service = match &object["spec"]["service"] {
        Value::Null => "Local".to_owned(),
        service => format!("{}/{}", text(service, "/namespace"), text(service, "/name")),
    };
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let available = match conditions.find(|condition| condition["type"] == "Available") {
        None => "Unknown".to_owned(),
        Some(condition) => match (text(condition, "/status"), text(condition, "/reason")) {
            (status, "") | (status @ "True", _) => status.to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    };
    vec![name(object), service.into(), available.into(), age(object, now)]
});

//! How results are printed.

pub(crate) mod table;

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cli::Format;

/// Prints one object or list as JSON or YAML, without `metadata.managedFields`, which nobody reads.
pub(crate) fn print_object(format: Format, value: &Value) -> Result<()> {
    print_whole(format, &without_managers(value))
}

/// Prints one object or list as JSON or YAML, all of it.
pub(crate) fn print_whole(format: Format, value: &Value) -> Result<()> {
    write_object(&mut std::io::stdout().lock(), format, value)
}

fn without_managers(value: &Value) -> Value {
    let mut value = value.clone();
    let hide = |object: &mut Value| {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    };
    hide(&mut value);
    value.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(hide);
    value
}

fn write_object(mut out: impl Write, format: Format, value: &Value) -> Result<()> {
    match format {
        Format::Json => {
            // As the io::Error it is: a closed pipe must be recognised.
            serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        _ => write!(out, "{}", yaml(value)?)?,
    }
    Ok(())
}

/// YAML in the block style that kubectl prints.
pub(crate) fn yaml(value: &Value) -> Result<String> {
    serde_saphyr::to_string(value).context("write YAML")
}

/// Whether colour and progress make sense here.
pub(crate) fn on_terminal() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Writes a line to standard output; an error (a closed pipe) ends the command.
pub(crate) fn line(text: impl AsRef<str>) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{}", text.as_ref())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::*;

    #[test]
    fn managers_are_hidden() {
        let object = |managed: bool| {
            let mut object = serde_json::json!({"metadata": {"name": "a"}, "spec": {}});
            if managed {
                object["metadata"]["managedFields"] = serde_json::json!([{"manager": "m"}]);
            }
            object
        };
        assert_eq!(without_managers(&object(true)), object(false));
        let list = |managed| serde_json::json!({"items": [object(managed)]});
        assert_eq!(without_managers(&list(true)), list(false));
        assert_eq!(without_managers(&Value::from("text")), Value::from("text"));
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// `wctl get pods -o json | head -1` must not end in an error.
    #[test]
    fn a_closed_pipe_is_recognised_in_every_format() {
        for format in [Format::Json, Format::Yaml] {
            let error = write_object(Closed, format, &serde_json::json!({"a": [1]})).unwrap_err();
            assert!(crate::is_broken_pipe(&error), "{format:?}: {error:?}");
        }
    }
}

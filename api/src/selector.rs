//! Label and field selectors: parsing, printing, matching.

mod field;
mod label;
mod lexer;
mod parser;

pub use field::{FieldSelector, FieldTerm};
pub use label::{LabelSelector, Operator, Requirement};

/// Why a selector could not be parsed, in Kubernetes' words (the message of a 400).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The text of a label selector is malformed.
    #[error("unable to parse requirement: {0}")]
    Label(String),
    /// The text of a field selector is malformed.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Field {
        /// The whole selector.
        selector: String,
        /// The part that has no operator.
        term: String,
    },
    /// A field selector contains a bad escape.
    #[error("invalid field selector: {0}")]
    Escape(String),
    /// The field is not selectable for the resource.
    #[error("field label not supported: {0}")]
    Unsupported(String),
    /// A LabelSelector object has an operator or a value that does not exist.
    #[error("{0}")]
    Object(String),
}

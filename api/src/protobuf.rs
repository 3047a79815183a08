//! Kubernetes' protobuf form of objects: translated from and to JSON at the edge.
//!
//! kubectl and all typed Go clients send built-in objects as `application/vnd.kubernetes.protobuf`
//! and prefer to get them so. Here JSON is what is stored and worked on; this module translates
//! along the tables of [`crate::schema`], whose `number` column says where a field is.
//!
//! - [`read`] and [`write`] translate whole bodies, finding the type by kind and version,
//! - [`envelope`] frames: a magic number and a `runtime.Unknown` around an object, a list, or a
//!   watch event,
//! - [`layout`](self) compiles the schema once into messages whose fields are sorted by number,
//! - [`encode`] and [`decode`] walk an object and its message side by side,
//! - [`wire`](self) knows tags, varints and lengths.
//!
//! What Go does decides what is written. Its types hold most fields by value, so a scalar, string
//! or message that JSON omits is written as zero; a field behind a pointer (`*` in the schema) is
//! written only if it is there. Reading turns that around: a zero in a field without a pointer is
//! an absent field, as JSON has it. Maps are written in the order of their keys, so equal objects
//! have equal bytes. Source: k8s.io/apimachinery/pkg/runtime/serializer/protobuf, and the proto2
//! encoding at <https://protobuf.dev/programming-guides/encoding/>.

mod body;
mod decode;
mod encode;
pub mod envelope;
mod layout;
pub(crate) mod wire;

pub use body::{read, read_message, schema_type, write};
pub use decode::decode;
pub use encode::encode;

use crate::field::go_quote;

/// The media type of the form.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The schema type of objects shown by their metadata alone: it is in no table of kinds.
pub const PARTIAL_OBJECT_METADATA: &str = "meta.v1.PartialObjectMetadata";

/// Objects and lists within each other, at most. JSON is parsed with a limit of 128 levels; what
/// is stored must stay below it with the levels that lists and watch events add.
const DEPTH: usize = 100;

/// Why bytes are not the object they should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body does not begin with the magic number.
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    Prefix,
    /// The data ends within a field.
    #[error("unexpected EOF")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A field number or wire type that does not exist.
    #[error("proto: illegal tag {number} (wire type {wire})")]
    Tag {
        /// The field's number.
        number: u32,
        /// The wire type.
        wire: u8,
    },
    /// A field written in another form than its type has.
    #[error("proto: wrong wireType = {wire} for field {field}")]
    WireType {
        /// The field's name in JSON.
        field: &'static str,
        /// The wire type it came with.
        wire: u8,
    },
    /// Text that is not UTF-8.
    #[error("field {field} contains invalid UTF-8")]
    Utf8 {
        /// The field's name in JSON.
        field: &'static str,
    },
    /// A field that holds JSON holds something else.
    #[error("field {field} does not hold JSON")]
    Json {
        /// The field's name in JSON.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A time or number that JSON cannot show.
    #[error("field {field} is out of range")]
    Range {
        /// The field's name in JSON.
        field: &'static str,
    },
    /// Objects within objects beyond the limit.
    #[error("exceeded max depth")]
    TooDeep,
    /// The type has no protobuf form.
    #[error("no type {0} has a protobuf form")]
    NoForm(String),
    /// No built-in type has that kind and version.
    #[error(
        "no kind {} is registered for version {} in scheme",
        go_quote(kind),
        go_quote(api_version)
    )]
    Kind {
        /// The kind that the body names.
        kind: String,
        /// The version that the body names.
        api_version: String,
    },
}

#[cfg(test)]
mod tests;

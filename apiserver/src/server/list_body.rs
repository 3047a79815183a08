//! A list of objects, assembled block by block from the cache's shared bytes.
//!
//! A list of 5,000 pods is ten megabytes. Instead of building it, the body keeps pointers to the
//! objects and copies the next 64 KiB when the connection can take them; its length is known
//! beforehand because every item's is.

use std::sync::Arc;

use api::protobuf::envelope;
use api::resources::Resource;
use bytes::{Bytes, BytesMut};
use serde_json::Value;

use crate::cacher::Object;

/// Large enough to amortise a frame, small enough to stay in the cache between copy and encrypt.
const BLOCK: usize = 64 * 1024;

/// How the objects of a list are encoded.
enum Style {
    /// Separated by commas, without kind and apiVersion: those of the list tell them.
    Json,
    /// Separated by commas, whole, as custom resources are listed.
    Whole,
    /// As messages of the resource's type, each with its length before it.
    Protobuf(Arc<Resource>),
}

/// The remaining part of a list.
pub(crate) struct ListBody {
    style: Style,
    head: Bytes,
    items: std::vec::IntoIter<Arc<Object>>,
    first: bool,
    tail: Option<&'static [u8]>,
    remaining: u64,
}

impl ListBody {
    /// A list in JSON that begins with `head`, which ends in `"items":[`.
    pub(crate) fn new(resource: &Resource, head: Bytes, items: Vec<Arc<Object>>) -> ListBody {
        let commas = items.len().saturating_sub(1);
        let style = if resource.is_custom() { Style::Whole } else { Style::Json };
        let length_of = |item: &Arc<Object>| match style {
            Style::Whole => item.encoded().bytes().len(),
            _ => 1 + item.encoded().item().len(),
        };
        let length = commas + items.iter().map(length_of).sum::<usize>();
        ListBody::assembled(style, head, items, length, b"]}\n")
    }

    /// A list in protobuf. `metadata` is its ListMeta. Encodes the objects that have not been
    /// shown in protobuf before.
    pub(crate) fn protobuf(
        resource: Arc<Resource>,
        metadata: &Value,
        items: Vec<Arc<Object>>,
    ) -> ListBody {
        let lengths = items.iter().map(|item| item.message(&resource.schema_type).len());
        let length = lengths.map(|item| envelope::item_head(item).len() + item).sum();
        let (api_version, kind) = (resource.api_version(), resource.list_kind());
        let head = envelope::list_head(&api_version, &kind, metadata, length);
        let style = Style::Protobuf(resource);
        ListBody::assembled(style, head.into(), items, length, envelope::CLOSING)
    }

    fn assembled(
        style: Style,
        head: Bytes,
        items: Vec<Arc<Object>>,
        length: usize,
        tail: &'static [u8],
    ) -> ListBody {
        let remaining = (head.len() + length + tail.len()) as u64;
        let items = items.into_iter();
        ListBody { style, head, items, first: true, tail: Some(tail), remaining }
    }

    /// Bytes still to come.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next block, until there is none.
    pub(crate) fn next_block(&mut self) -> Option<Bytes> {
        if self.remaining == 0 {
            return None;
        }
        let capacity = usize::try_from(self.remaining).map_or(BLOCK, |left| left.min(BLOCK + 4096));
        let mut block = BytesMut::with_capacity(capacity);
        block.extend_from_slice(&std::mem::take(&mut self.head));
        while block.len() < BLOCK {
            let Some(item) = self.items.next() else {
                block.extend_from_slice(self.tail.take().unwrap_or_default());
                break;
            };
            let first = std::mem::take(&mut self.first);
            match &self.style {
                Style::Json => {
                    block.extend_from_slice(if first { b"{" } else { b",{" });
                    block.extend_from_slice(item.encoded().item());
                }
                Style::Whole => {
                    if !first {
                        block.extend_from_slice(b",");
                    }
                    block.extend_from_slice(item.encoded().bytes());
                }
                Style::Protobuf(resource) => {
                    let message = item.message(&resource.schema_type);
                    block.extend_from_slice(&envelope::item_head(message.len()));
                    block.extend_from_slice(message);
                }
            }
        }
        self.remaining = self.remaining.saturating_sub(block.len() as u64);
        Some(block.freeze())
    }
}

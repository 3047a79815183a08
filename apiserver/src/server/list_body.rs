//! A list of objects as JSON, assembled block by block from the cache's shared bytes.
//!
//! A list of 5,000 pods is ten megabytes. Instead of building it, the body keeps pointers to the
//! objects and copies the next 64 KiB when the connection can take them; its length is known
//! beforehand because every item's is.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::cacher::Object;

/// Large enough to amortise a frame, small enough to stay in the cache between copy and encrypt.
const BLOCK: usize = 64 * 1024;

/// The remaining part of a list.
pub(crate) struct ListBody {
    head: Bytes,
    items: std::vec::IntoIter<Arc<Object>>,
    first: bool,
    tail: bool,
    remaining: u64,
}

impl ListBody {
    /// A list that begins with `head`, which ends in `"items":[`.
    pub(crate) fn new(head: Bytes, items: Vec<Arc<Object>>) -> ListBody {
        let commas = items.len().saturating_sub(1);
        let items_length: usize = items.iter().map(|item| 1 + item.encoded().item().len()).sum();
        let remaining = (head.len() + commas + items_length + TAIL.len()) as u64;
        ListBody { head, items: items.into_iter(), first: true, tail: true, remaining }
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
                if std::mem::take(&mut self.tail) {
                    block.extend_from_slice(TAIL);
                }
                break;
            };
            if !std::mem::take(&mut self.first) {
                block.put_u8(b',');
            }
            block.put_u8(b'{');
            block.extend_from_slice(item.encoded().item());
        }
        self.remaining = self.remaining.saturating_sub(block.len() as u64);
        Some(block.freeze())
    }
}

const TAIL: &[u8] = b"]}\n";

//! The encoding of a service's values, and of those that another system left.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Codec;
use super::tree::Tree;
use crate::error::SessionError;
use crate::payload::{Payload, PayloadBuilder};
use crate::store::{ForeignCodec, Handover};

/// How values are written, and how those are read that were written before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Values {
    /// This library's own.
    pub(crate) own: Codec,
    other: Option<Other>,
}

/// Another system's, on its way out or not.
#[derive(Clone, Copy, Debug)]
struct Other {
    codec: &'static dyn ForeignCodec,
    handover: Handover,
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.other {
            None => self.own.fmt(f),
            Some(other) => f.debug_tuple("Values").field(&self.own).field(other).finish(),
        }
    }
}

impl PartialEq for Other {
    fn eq(&self, other: &Self) -> bool {
        (self.codec.name(), self.handover) == (other.codec.name(), other.handover)
    }
}

impl Eq for Other {}

impl Values {
    pub(crate) const fn own(own: Codec) -> Self {
        Values { own, other: None }
    }

    pub(crate) fn beside(self, codec: &'static dyn ForeignCodec, handover: Handover) -> Self {
        Values { other: Some(Other { codec, handover }), ..self }
    }

    pub(crate) fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, SessionError> {
        match self.other {
            Some(Other { codec, handover: Handover::Shared | Handover::Prepared }) => {
                Codec::Foreign(codec).encode(value)
            }
            Some(Other { handover: Handover::Done, .. }) | None => self.own.encode(value),
        }
    }

    pub(crate) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, SessionError> {
        match self.other {
            Some(Other { codec, handover }) if handover == Handover::Shared || codec.is_foreign(bytes) => {
                Codec::Foreign(codec).decode(bytes)
            }
            _ => self.own.decode(bytes),
        }
    }

    /// The same entries, those of the other system as this library's own: what a session is given along with an id of this library's own.
    ///
    /// What cannot be carried over without loss stays as it is, and is reported.
    pub(crate) fn taken_over(self, payload: Payload) -> Payload {
        let Some(Other { codec, handover: Handover::Done }) = self.other else { return payload };
        if !payload.iter().any(|(_, value)| codec.is_foreign(value)) {
            return payload;
        }
        let mut entries = PayloadBuilder::with_capacity(payload.len());
        let mut left = 0_usize;
        for (key, value) in payload.iter() {
            let carried = codec.is_foreign(value).then(|| self.carried(codec, value));
            left += usize::from(carried == Some(None));
            entries.push(key, carried.flatten().as_deref().unwrap_or(value));
        }
        if left > 0 {
            let format = codec.name();
            tracing::warn!(target: "cloakroom", left, format, "values of a session stay as the other system wrote them");
        }
        entries.finish()
    }

    /// `None`: something would be lost.
    fn carried(self, codec: &'static dyn ForeignCodec, value: &[u8]) -> Option<Vec<u8>> {
        if !codec.is_plain(value) {
            return None;
        }
        let tree: Tree = Codec::Foreign(codec).decode(value).ok()?;
        let carried = self.own.encode(&tree).ok()?;
        (self.own.decode::<Tree>(&carried).ok()? == tree).then_some(carried)
    }
}

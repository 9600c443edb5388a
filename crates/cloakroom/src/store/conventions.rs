//! What a store says of sessions that are another system's too.

use std::fmt;

use crate::ids::PlainIds;

/// How ids and values look in sessions that this library shares with another system.
#[derive(Clone, Debug)]
pub struct Conventions {
    /// Ids in plain, as the other system makes and accepts them. The store resolves the keys that it is asked for by them.
    pub ids: PlainIds,
    /// The values.
    pub values: &'static dyn ForeignCodec,
}

/// A value on its way to the other system.
pub type ForeignValue<'a> = dyn erased_serde::Serialize + 'a;

/// Values as another system has them: what [`Codec`](crate::Codec) is where they are this library's own.
pub trait ForeignCodec: fmt::Debug + Send + Sync {
    /// For messages.
    fn name(&self) -> &'static str;

    /// Bytes of a value.
    ///
    /// # Errors
    /// What the other system has no counterpart of. The text must not repeat the value.
    fn encode(&self, value: &ForeignValue<'_>) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;

    /// Hands what the bytes stand for to `take`, once.
    ///
    /// # Errors
    /// They stand for nothing, or `take` failed.
    fn decode(
        &self,
        bytes: &[u8],
        take: &mut dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), ForeignError>,
    ) -> Result<(), ForeignError>;
}

/// A value is not what was asked for. Nothing more is told: decoders like to quote values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value is not of this type")]
pub struct ForeignError;

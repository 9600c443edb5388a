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
    /// How far they have been taken over.
    pub handover: Handover,
}

/// How far sessions of another system have been taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handover {
    /// Not at all: the other system has them too, and ids and values are as it has them.
    Shared,
    /// Ids and values of this library's own are read as well, for another process makes them by now. None is made here.
    Prepared,
    /// The other system is gone. New ids and values are this library's own, and those of before are still read. A session that gets a new id
    /// gets values of this library's own with it, as far as they can be carried over without loss.
    Done,
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

    /// Whether these bytes are the other system's, where they may be this library's own as well ([`Handover`]). Asked for each value that is read.
    fn is_foreign(&self, bytes: &[u8]) -> bool;

    /// Whether these bytes of the other system's are made of what every system has: numbers, text, lists, maps. Not where something in them
    /// can be read as a list and as a map alike: what this library writes is one of both.
    fn is_plain(&self, bytes: &[u8]) -> bool;

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

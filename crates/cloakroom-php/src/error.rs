//! What can be wrong with a payload, with a change to it, and with the conversion to a Rust type.
//!
//! No error shows a byte of what it is about: a session's values are nobody's business in a log.

use crate::limits::Limits;

/// A payload that cannot be read, with the offset of the byte at which that showed.
///
/// ```
/// use cloakroom_php::{DecodeErrorKind, Format, Session};
///
/// let error = Session::decode(Format::Php, b"user|i:7").unwrap_err();
/// assert_eq!(error.kind(), &DecodeErrorKind::End);
/// assert_eq!(error.to_string(), "the payload ends too early (at byte 8)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at byte {at})")]
pub struct DecodeError {
    kind: DecodeErrorKind,
    at: usize,
}

impl DecodeError {
    pub(crate) const fn new(kind: DecodeErrorKind, at: usize) -> Self {
        Self { kind, at }
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> &DecodeErrorKind {
        &self.kind
    }

    /// The offset in the payload, in bytes from its start.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }
}

/// What is wrong with a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// It stops in the middle of a value.
    #[error("the payload ends too early")]
    End,
    /// Another byte was due here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A number of elements that the rest of the payload cannot hold.
    #[error("more elements are announced than bytes are left")]
    Count,
    /// A length that the rest of the payload cannot hold.
    #[error("a length points past the end")]
    Length,
    /// An integer that does not fit PHP's 64 bits. PHP would change it while reading, so that it could not be written back.
    #[error("the integer does not fit 64 bits")]
    Integer,
    /// A back reference to nothing, or to something of another sort.
    #[error("a back reference leads to nothing that it can stand for")]
    BackReference,
    /// An array that contains the whole session by value. PHP reads it, and cannot write it.
    #[error("an array contains itself")]
    Cycle,
    /// A class name with bytes that a class name cannot have.
    #[error("this is not the name of a class")]
    ClassName,
    /// Deeper than [`Limits::depth`].
    #[error("nested deeper than {0} levels")]
    Depth(usize),
    /// More than [`Limits::memory`].
    #[error("would take more than {0} bytes of memory")]
    Memory(usize),
    /// The payload is a value, and a session is an array.
    #[error("the payload is no array of variables")]
    NotASession,
    /// Bytes after the value.
    #[error("there is more after the value")]
    Trailing,
    /// A part of the format that PHP's encoder never writes and that would not survive.
    #[error("{0} cannot be kept")]
    Unsupported(&'static str),
    /// An envelope around the payload that cannot be opened.
    #[error("the envelope is broken: {0}")]
    Envelope(&'static str),
}

/// The limit that was hit while something was built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Excess {
    Depth(usize),
    Memory(usize),
}

impl From<Excess> for DecodeErrorKind {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Depth(levels) => Self::Depth(levels),
            Excess::Memory(bytes) => Self::Memory(bytes),
        }
    }
}

impl From<Excess> for EncodeError {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Depth(levels) => Self::Depth(levels),
            Excess::Memory(bytes) => Self::Memory(bytes),
        }
    }
}

impl From<Limits> for Excess {
    fn from(limits: Limits) -> Self {
        Self::Memory(limits.memory())
    }
}

/// A change that a format or a payload does not allow, or a value that cannot be written.
///
/// PHP throws away what it cannot read, so whatever is doubtful is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The format has no way to carry a variable of this name.
    #[error("{format} cannot carry this variable's name: {reason}")]
    Name {
        /// The format, by PHP's name.
        format: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// The payload can be read and handed on as it is, but not changed.
    #[error("this session can only be read: {0}")]
    ReadOnly(ReadOnly),
    /// The format cannot carry a value of this sort.
    #[error("{format} cannot carry {what}")]
    Value {
        /// The format, by PHP's name.
        format: &'static str,
        /// The sort of value.
        what: &'static str,
    },
    /// There is nothing at the place that was to be changed, or nothing that has elements.
    #[error("the path leads nowhere")]
    Path,
    /// The value's own `Serialize` failed, or its type has no counterpart in PHP.
    #[error("the value cannot be a PHP value: {0}")]
    Type(String),
    /// Deeper than [`Limits::depth`].
    #[error("nested deeper than {0} levels")]
    Depth(usize),
    /// Longer than [`Limits::memory`].
    #[error("would take more than {0} bytes")]
    Memory(usize),
    /// The operating system gives no random numbers, which encryption needs.
    #[error("the operating system gives no random numbers")]
    Random,
    /// What was written does not read back as what was to be written. Nothing was handed out.
    ///
    /// So ends what another format carries and this one turns into something else: two elements of an array under the text `"5"`
    /// and the integer 5, which igbinary can tell apart. Or an igbinary payload that no PHP writes: an array that a reference inside of it leads to.
    /// Anything else that ends so is a defect of this library.
    #[error("what was written does not read back the same; nothing was handed out")]
    Unverified,
}

/// Why a session can only be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadOnly {
    /// `Serializable` data is opaque, may contain values that count, and something refers to values by their number.
    #[error("it has both back references and opaque Serializable data, whose inner values count")]
    OpaqueNumbers,
    /// Another variable refers to this one's value, or the other way round: PHP would see both change, or neither.
    #[error("the variable shares values with another one")]
    Tied,
    /// Back references in msgpack: PHP's own extension counts them wrongly.
    #[error("PHP's msgpack miscounts the back references that it has")]
    MsgpackReferences,
    /// A value refers to the whole session; PHP reads that, and cannot write it.
    #[error("a value refers to the whole session")]
    Root,
    /// A key occurs twice, and values are referred to by number. PHP writes no such thing, and what it makes of one is its own affair.
    #[error("it has back references and a key twice")]
    Duplicate,
}

/// A PHP value that is not what the Rust type asks for.
///
/// ```
/// use cloakroom_php::{Format, Session, from_value};
///
/// let session = Session::decode(Format::Php, b"n|s:1:\"x\";").unwrap();
/// let error = from_value::<u32>(session.get("n").unwrap()).unwrap_err();
/// assert_eq!(error.to_string(), "invalid type: string, expected u32");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ValueError {
    pub(crate) message: String,
}

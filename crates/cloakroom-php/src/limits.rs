//! What a payload may ask for before it is refused.

use crate::error::{DecodeError, DecodeErrorKind};

/// How deep and how large a decoded payload may get.
///
/// PHP deletes a session that it cannot read, and its own limits differ by format: `unserialize()` reads 4,096 levels
/// ([`unserialize_max_depth`](https://www.php.net/manual/en/var.configuration.php#ini.unserialize-max-depth)), msgpack 1,023, igbinary
/// any number until the process dies. The defaults are PHP's where PHP has one, and 64 MiB of memory. Nothing is
/// allocated on the word of a length or a count: they are compared with the bytes that are there first.
///
/// ```
/// use cloakroom_php::{Format, Limits, Session};
///
/// let limits = Limits::default().with_depth(2);
/// assert!(Session::decode_within(Format::Php, b"a|a:1:{i:0;i:1;}", limits).is_ok());
/// assert!(Session::decode_within(Format::Php, b"a|a:1:{i:0;a:1:{i:0;i:1;}}", limits).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    depth: usize,
    memory: usize,
}

impl Limits {
    /// How many arrays and objects may stand in one another, the whole session counted as one. 4,096 unless set.
    #[must_use]
    pub const fn with_depth(mut self, levels: usize) -> Self {
        self.depth = levels;
        self
    }

    /// How many bytes a decoded payload may take, its own text included; also how long an encoded one may get. 64 MiB unless set.
    ///
    /// What is charged is the worst that the growth of the tables can take, so that the peak stays below the limit too.
    #[must_use]
    pub const fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Refuses a payload whose text alone is too long, before there is another copy of it.
    pub(crate) const fn hold(self, payload: &[u8]) -> Result<(), DecodeError> {
        if payload.len() > self.memory {
            return Err(DecodeError::new(DecodeErrorKind::Memory(self.memory), 0));
        }
        Ok(())
    }

    /// The greatest depth.
    #[must_use]
    pub const fn depth(self) -> usize {
        self.depth
    }

    /// The most memory, in bytes.
    #[must_use]
    pub const fn memory(self) -> usize {
        self.memory
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 4096, memory: 64 << 20 }
    }
}

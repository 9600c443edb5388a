//! Nothing is handed out that was not read again: PHP deletes a session that it cannot read.

use super::{Session, text};
use crate::error::{DecodeErrorKind as Wrong, EncodeError};
use crate::format::Format;
use crate::value::same;
use crate::{igbinary, msgpack};

/// More than a byte of a payload can take of memory: what is small enough never comes near the limit.
pub(super) const BYTE: usize = 128;

impl Session {
    pub(super) fn verified(&self, format: Format, fresh: bool) -> Result<Vec<u8>, EncodeError> {
        let bytes = match format {
            Format::Igbinary => igbinary::write(&self.doc, self.is_compact(), self.limits)?,
            Format::Msgpack => msgpack::write(&self.doc, true, self.limits)?,
            _ => text::encode(self, format, fresh)?,
        };
        if bytes.len() > self.limits.memory() {
            return Err(EncodeError::Memory(self.limits.memory()));
        }
        if self.reads_back(format, &bytes) {
            return Ok(bytes);
        }
        match Self::decode_within(format, bytes.as_slice(), self.limits) {
            Ok(read) if same(&self.doc, &read.doc) => Ok(bytes),
            Err(error) => match error.kind() {
                Wrong::Depth(levels) => Err(EncodeError::Depth(*levels)),
                Wrong::Memory(bytes) => Err(EncodeError::Memory(*bytes)),
                _ => Err(EncodeError::Unverified),
            },
            Ok(_) => Err(EncodeError::Unverified),
        }
    }

    /// Whether a tree of arrays and plain values is what these bytes are read as: told as they are read, without building it. No for everything
    /// else, and for everything in doubt.
    fn reads_back(&self, format: Format, bytes: &[u8]) -> bool {
        let is_tree = !self.doc.shared && self.doc.cells.is_empty() && self.doc.objects.is_empty();
        is_tree
            && bytes.len() < self.limits.memory() / BYTE
            && match format {
                Format::Igbinary => igbinary::is(&self.doc, bytes, self.limits),
                Format::Msgpack => false,
                _ => text::is(self, format, bytes),
            }
    }

    /// Whether igbinary is to tell strings by number: as the payload did, and if it did not say, as PHP does by default.
    fn is_compact(&self) -> bool {
        let payload = || self.doc.text.get(..self.payload).unwrap_or_default();
        self.compact || self.format != Format::Igbinary || !igbinary::repeats_strings(payload(), self.limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with everything that has a length, a width or a sign.
    fn tree() -> Session {
        let long = "x".repeat(300);
        let inner = format!(
            "a:11:{{i:0;i:7;i:1;i:-7;i:2;i:65536;i:-3;i:-9223372036854775808;s:1:\"k\";d:0.1;s:2:\"kk\";d:-INF;s:2:\"-a\";s:0:\"\";\
             s:0:\"\";s:1:\"k\";i:300;s:300:\"{long}\";s:2:\"07\";a:2:{{i:0;b:0;i:1;N;}}s:1:\"l\";a:0:{{}}}}"
        );
        Session::decode(Format::Php, format!("one|{inner}two|b:1;three|{inner}four|s:3:\"two\";")).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        for format in [Format::Php, Format::PhpSerialize, Format::PhpBinary, Format::Igbinary] {
            let session = tree();
            assert!(session.reads_back(format, &session.encode_as(format).unwrap()), "{format}");
        }
    }

    /// Every byte of it turned into every other one, cut off, or left out: what is still taken for the session is read as the session.
    #[test]
    fn what_is_written_wrongly_does_not_read_back() {
        for format in [Format::Php, Format::PhpSerialize, Format::PhpBinary, Format::Igbinary] {
            let session = tree();
            let bytes = session.encode_as(format).unwrap();
            let (mut tried, mut taken) = (0, 0);
            let mut damaged = |damaged: &[u8]| {
                tried += 1;
                if session.reads_back(format, damaged) {
                    taken += 1;
                    let read = Session::decode(format, damaged).unwrap();
                    assert!(same(&session.doc, &read.doc), "{format}: {}", damaged.escape_ascii());
                }
            };
            for at in 0..bytes.len() {
                damaged(&bytes[..at]);
                damaged(&[&bytes[..at], &bytes[at + 1..]].concat());
                let mut other = bytes.clone();
                for byte in (0..=255).step_by(3).chain(*b"abdiNs0123456789:;{}\"") {
                    if byte != bytes[at] {
                        other[at] = byte;
                        damaged(&other);
                    }
                }
            }
            damaged(&[&bytes[..], b"x"].concat());
            assert!(tried > 50_000 && taken < 1_000, "{format}: {taken} of {tried}");
        }
    }
}

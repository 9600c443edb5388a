//! The compressing serializer of [amphp](https://github.com/amphp/serialization), which Phenix uses too.

use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use miniz_oxide::inflate::{TINFLStatus, decompress_slice_iter_to_slice, decompress_to_vec_with_limit};

use super::session;
use crate::error::{DecodeError, DecodeErrorKind as Wrong, EncodeError};
use crate::format::Format;
use crate::limits::Limits;
use crate::session::Session;

/// Set in the first byte where the rest is compressed.
const COMPRESSED: u8 = 1;

/// What is longer is compressed.
const LONG: usize = 256;

/// A session is hardly ever longer. Of one that is, the length is found out first: a table that grows takes three times as much.
const USUAL: usize = 1 << 20;

/// How far back DEFLATE refers.
const WINDOW: usize = 32 << 10;

/// The level that amphp uses.
const LEVEL: u8 = 1;

/// `CompressingSerializer(NativeSerializer)`: a byte that says whether the session is compressed, and the session as `serialize()` text.
///
/// amphp deletes an empty session instead of storing it.
///
/// ```
/// use cloakroom_php::Amp;
///
/// let mut session = Amp.decode(b"\0a:1:{s:1:\"n\";i:1;}")?;
/// session.set("n", &2)?;
/// assert_eq!(Amp.encode(&session)?, b"\0a:1:{s:1:\"n\";i:2;}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Amp;

impl Amp {
    /// Reads a session, within the usual [`Limits`].
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Envelope`](crate::DecodeErrorKind::Envelope), [`DecodeErrorKind::Memory`](crate::DecodeErrorKind::Memory) where it would be too long once it is
    /// inflated, and as [`Session::decode`].
    pub fn decode(self, payload: &[u8]) -> Result<Session, DecodeError> {
        self.decode_within(payload, Limits::default())
    }

    /// Reads a session within these limits, which hold for the inflated text too.
    ///
    /// # Errors
    ///
    /// As [`Amp::decode`]. The offset of an error is one in the inflated text.
    pub fn decode_within(self, payload: &[u8], limits: Limits) -> Result<Session, DecodeError> {
        let Some((flags, body)) = payload.split_first() else {
            return Err(DecodeError::new(Wrong::End, 0));
        };
        let text = if flags & COMPRESSED == 0 { body.to_vec() } else { inflate(body, limits)? };
        session(text, limits)
    }

    /// Writes a session. PHP reads any compression of the text, so the bytes may differ from PHP's where it is compressed.
    ///
    /// # Errors
    ///
    /// As [`Session::encode_as`]; nothing is handed out then.
    pub fn encode(self, session: &Session) -> Result<Vec<u8>, EncodeError> {
        let text = match session.format() {
            Format::PhpSerialize => session.encode()?,
            _ => session.encode_as(Format::PhpSerialize)?,
        };
        if text.len() <= LONG {
            return Ok([&[0], text.as_slice()].concat());
        }
        let compressed = miniz_oxide::deflate::compress_to_vec(&text, LEVEL);
        match inflate(&compressed, Limits::default().with_memory(text.len())) {
            Ok(read) if read == text => Ok([&[COMPRESSED], compressed.as_slice()].concat()),
            _ => Err(EncodeError::Unverified),
        }
    }
}

/// Raw DEFLATE ([RFC 1951](https://www.rfc-editor.org/rfc/rfc1951)), no longer than the memory there is.
fn inflate(body: &[u8], limits: Limits) -> Result<Vec<u8>, DecodeError> {
    match decompress_to_vec_with_limit(body, limits.memory().min(USUAL)) {
        Ok(text) => Ok(text),
        Err(error) if error.status == TINFLStatus::HasMoreOutput && limits.memory() > USUAL => {
            let mut text = vec![0; inflated_length(body, limits)?];
            decompress_slice_iter_to_slice(&mut text, std::iter::once(body), false, false)
                .map_err(|status| broken(status, limits))?;
            Ok(text)
        }
        Err(error) => Err(broken(error.status, limits)),
    }
}

/// How long that is, found out in a window of the last bytes.
fn inflated_length(body: &[u8], limits: Limits) -> Result<usize, DecodeError> {
    let (mut state, mut window) = (Box::<DecompressorOxide>::default(), vec![0; WINDOW]);
    let (mut rest, mut length) = (body, 0);
    loop {
        let (status, read, written) = decompress(&mut state, rest, &mut window, length % WINDOW, 0);
        length += written;
        rest = rest.get(read..).unwrap_or_default();
        match status {
            _ if length > limits.memory() => return Err(broken(TINFLStatus::HasMoreOutput, limits)),
            TINFLStatus::Done => return Ok(length),
            TINFLStatus::HasMoreOutput => {}
            status => return Err(broken(status, limits)),
        }
    }
}

fn broken(status: TINFLStatus, limits: Limits) -> DecodeError {
    let kind = match status {
        TINFLStatus::HasMoreOutput => Wrong::Memory(limits.memory()),
        TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => Wrong::End,
        _ => Wrong::Envelope("this is no DEFLATE stream"),
    };
    DecodeError::new(kind, 0)
}

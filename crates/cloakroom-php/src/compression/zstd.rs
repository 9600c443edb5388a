//! Zstandard as phpredis has it: one frame, which tells its length.

use super::pack::{Stored, length_is_possible};
use crate::error::DecodeErrorKind;
use crate::limits::Limits;

const BROKEN: DecodeErrorKind =
    DecodeErrorKind::Envelope("this is no Zstandard frame that is whole and tells its length");

/// What every frame begins with.
///
/// Source: [RFC 8878](https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1), section 3.1.1.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A block has four bytes at least and stands for 128 KiB at most, so that a byte stands for so many at most.
const MOST: usize = (128 << 10) / 4;

/// phpredis' own level, unless it is told otherwise.
const LEVEL: i32 = 3;

/// `None` where the library has no memory.
pub(super) fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    zstd_safe::compress(&mut frame, plain, LEVEL).ok()?;
    Some(frame)
}

pub(super) fn decompress(stored: &[u8], limits: Limits) -> Result<Stored, DecodeErrorKind> {
    if !stored.starts_with(&MAGIC) {
        return Ok(Stored::Plain);
    }
    let told = zstd_safe::get_frame_content_size(stored).ok().flatten().ok_or(BROKEN)?;
    let length = usize::try_from(told).map_err(|_| BROKEN)?;
    if !length_is_possible(length, stored.len(), MOST, limits)? {
        return Err(BROKEN);
    }
    let mut plain = Vec::with_capacity(length);
    match zstd_safe::decompress(&mut plain, stored) {
        Ok(read) if read == length => Ok(Stored::Packed(plain)),
        _ => Err(BROKEN),
    }
}

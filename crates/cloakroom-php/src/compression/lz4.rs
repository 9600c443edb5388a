//! LZ4 as phpredis has it: a checksum of the length, the length, and a block.

use super::pack::{Stored, length_is_possible};
use crate::error::DecodeErrorKind;
use crate::limits::Limits;

const BROKEN: DecodeErrorKind = DecodeErrorKind::Envelope("this is no LZ4 block of the length that it tells");

/// A byte of a block stands for so many at most: one more in a length.
const MOST: usize = 255;

/// The checksum of the length, and the length.
const HEADER: usize = 5;

pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    // An `int` in PHP, and no more than there may be of it.
    let length = match u32::try_from(plain.len()) {
        // PHP does not compress nothing.
        Ok(0) | Err(_) => return plain.to_vec(),
        Ok(length) => length.to_le_bytes(),
    };
    let block = lz4_flex::block::compress(plain);
    [&[checksum(length)], length.as_slice(), block.as_slice()].concat()
}

pub(super) fn decompress(stored: &[u8], limits: Limits) -> Result<Stored, DecodeErrorKind> {
    let Some((&[sum, a, b, c, d], block)) = stored.split_first_chunk::<HEADER>() else {
        return Ok(Stored::Plain);
    };
    if checksum([a, b, c, d]) != sum {
        return Ok(Stored::Plain);
    }
    let length = usize::try_from(i32::from_le_bytes([a, b, c, d])).map_err(|_| BROKEN)?;
    if length == 0 || !length_is_possible(length, block.len(), MOST, limits)? {
        return Err(BROKEN);
    }
    match lz4_flex::block::decompress(block, length) {
        Ok(plain) if plain.len() == length => Ok(Stored::Packed(plain)),
        _ => Err(BROKEN),
    }
}

/// A CRC of eight bits: polynomial 0x31, beginning with 0xff.
fn checksum(bytes: [u8; 4]) -> u8 {
    bytes.into_iter().fold(0xff, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { (crc << 1) ^ 0x31 })
    })
}

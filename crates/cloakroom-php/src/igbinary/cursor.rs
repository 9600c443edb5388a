//! The words of igbinary, read strictly: the header, numbers, lengths, integers. What they make together is for others to know.

use super::tag;
use crate::error::{DecodeError, DecodeErrorKind as Wrong};
use crate::value::Span;

/// A place in a payload, and what stands behind it.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'b> {
    pub(super) input: &'b [u8],
    pub(super) at: usize,
}

impl<'b> Cursor<'b> {
    /// At the value, if there is a header.
    pub(super) fn after_header(input: &'b [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Self { input, at: 0 };
        match input {
            [0, 0, 0, 1 | 2, _, ..] => cursor.at = 4,
            [0, 0, 0, 1 | 2] | [] | [0] | [0, 0] | [0, 0, 0] => {
                return cursor.wrong_at(input.len(), Wrong::End);
            }
            _ => return cursor.wrong(Wrong::Expected("igbinary's header, version 1 or 2")),
        }
        Ok(cursor)
    }

    pub(super) const fn wrong<T>(&self, kind: Wrong) -> Result<T, DecodeError> {
        Err(DecodeError::new(kind, self.at))
    }

    /// The same, seen at another place.
    pub(super) const fn wrong_at<T>(&mut self, at: usize, kind: Wrong) -> Result<T, DecodeError> {
        self.at = at;
        self.wrong(kind)
    }

    #[inline(always)]
    pub(super) fn text(&self, span: Span) -> &'b [u8] {
        self.input.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default()
    }

    #[inline(always)]
    pub(super) fn rest(&self) -> &'b [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    #[inline(always)]
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        match self.input.get(self.at) {
            Some(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            None => self.wrong(Wrong::End),
        }
    }

    /// A big-endian number of 1, 2, 4 or 8 bytes.
    #[inline(always)]
    pub(super) fn number(&mut self, width: usize) -> Result<u64, DecodeError> {
        let rest = self.rest();
        let n = match width {
            // Nearly always.
            1 => rest.first().map(|n| u64::from(*n)),
            2 => rest.first_chunk().map(|n| u16::from_be_bytes(*n).into()),
            4 => rest.first_chunk().map(|n| u32::from_be_bytes(*n).into()),
            _ => rest.first_chunk().map(|n| u64::from_be_bytes(*n)),
        };
        match n {
            Some(n) => {
                self.at += width;
                Ok(n)
            }
            None => self.wrong(Wrong::End),
        }
    }

    pub(super) fn raw(&mut self, len: u64) -> Result<Span, DecodeError> {
        let len = usize::try_from(len).ok().filter(|len| *len <= self.input.len() - self.at);
        let Some(len) = len else { return self.wrong(Wrong::Length) };
        let span = Span { at: self.at as u32, len: len as u32 };
        self.at += len;
        Ok(span)
    }

    /// An integer after its tag, if the tag is one of an integer: a sign in the lowest bit, then the magnitude.
    #[inline(always)]
    pub(super) fn integer(&mut self, tag: u8) -> Result<Option<i64>, DecodeError> {
        let width = match tag {
            tag::INT..tag::FLOAT => 1 << ((tag - tag::INT) / 2),
            tag::INT64 | 0x21 => 8,
            _ => return Ok(None),
        };
        let magnitude = self.number(width)?;
        let n =
            if tag & 1 == 0 { i64::try_from(magnitude).ok() } else { 0_i64.checked_sub_unsigned(magnitude) };
        match n {
            Some(n) => Ok(Some(n)),
            None => self.wrong(Wrong::Integer),
        }
    }

    pub(super) fn count(&mut self, width: usize) -> Result<u32, DecodeError> {
        let count = self.number(width)?;
        if count > (self.input.len() - self.at) as u64 {
            return self.wrong(Wrong::Count);
        }
        Ok(count as u32)
    }
}

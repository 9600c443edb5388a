//! An array's `serialize()` text alone, and as the first element of another array: there the numbers of its back references are one more.

use std::borrow::Cow;

use super::text::{self, Source};
use crate::error::{DecodeError, DecodeErrorKind as Wrong, EncodeError, ReadOnly};
use crate::format::Format;
use crate::limits::Limits;
use crate::serialize::TextSkim;
use crate::skim::Skim;
use crate::value::Span;

/// The first element's value of an array, as text that stands alone, and where it ends. `begins` is what stands before it.
pub(crate) fn first_alone<'t>(
    text: &'t [u8],
    begins: usize,
    limits: Limits,
) -> Result<(Cow<'t, [u8]>, usize), DecodeError> {
    let rest = text.get(begins..).unwrap_or_default();
    if let Some(len) = plain(rest, limits) {
        return Ok((Cow::Borrowed(rest.get(..len).unwrap_or_default()), begins + len));
    }
    let (_, _, source) = text::decode(Format::PhpSerialize, text, limits)?;
    if source.read_only.is_some() {
        let what = "a value with back references that cannot be counted without its classes";
        return Err(DecodeError::new(Wrong::Unsupported(what), begins));
    }
    let raw = source.raws.first().copied().flatten();
    let Some(raw) = raw.filter(|raw| raw.value.at as usize == begins) else {
        return Err(DecodeError::new(Wrong::Expected("an array's first value"), begins));
    };
    let renumbered = source
        .renumbered(text, raw.value, |target| raw.holds(target).then_some(target - 1).ok_or(ReadOnly::Root));
    match renumbered {
        Ok(alone) => Ok((Cow::Owned(alone), (raw.value.at + raw.value.len) as usize)),
        Err(_) => Err(DecodeError::new(Wrong::BackReference, begins)),
    }
}

/// The same text as the first element's value of an array.
pub(crate) fn as_first(text: &[u8], limits: Limits) -> Result<Cow<'_, [u8]>, EncodeError> {
    if plain(text, limits) == Some(text.len()) {
        return Ok(Cow::Borrowed(text));
    }
    let Ok((_, _, source)) = text::decode(Format::PhpSerialize, text, limits) else {
        return Err(EncodeError::Unverified);
    };
    if let Some(why) = source.read_only {
        return Err(EncodeError::ReadOnly(why));
    }
    let whole = Span { at: 0, len: text.len() as u32 };
    let inside = source.renumbered(text, whole, |target| Ok(target + 1));
    inside.map(Cow::Owned).map_err(EncodeError::ReadOnly)
}

/// How long the value is that begins here, if nothing in it is told by a number. `None` in doubt.
fn plain(text: &[u8], limits: Limits) -> Option<usize> {
    if text.len() >= limits.memory() / super::verify::BYTE {
        return None;
    }
    let mut skim = TextSkim::new(text);
    // The array around it is a level.
    skim.value(limits.depth().checked_sub(1)?)?;
    Some(skim.place())
}

impl Source {
    /// The text there, with other numbers in its back references.
    fn renumbered(
        &self,
        text: &[u8],
        span: Span,
        number: impl Fn(u32) -> Result<u32, ReadOnly>,
    ) -> Result<Vec<u8>, ReadOnly> {
        let end = (span.at + span.len) as usize;
        let mut out = Vec::with_capacity(span.len as usize + 16);
        let mut at = span.at as usize;
        for reference in &self.back_references {
            let digits = reference.digits.at as usize;
            if digits < at || digits >= end {
                continue;
            }
            out.extend_from_slice(text.get(at..digits).unwrap_or_default());
            out.extend_from_slice(itoa::Buffer::new().format(number(reference.target)?).as_bytes());
            at = digits + reference.digits.len as usize;
        }
        out.extend_from_slice(text.get(at..end).unwrap_or_default());
        Ok(out)
    }
}

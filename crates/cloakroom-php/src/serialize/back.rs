//! Values that are told by the number of one that came before.

use super::read::Reader;
use crate::error::{DecodeError, DecodeErrorKind as Wrong};
use crate::value::{Builder, Node, Span};

/// A place where a value is referred to by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackReference {
    /// Where the digits of the number are.
    pub(crate) digits: Span,
    pub(crate) target: u32,
    /// `R:`, which makes both places one PHP reference, or `r:`, which means the same object.
    pub(crate) is_reference: bool,
}

impl Reader<'_> {
    pub(super) fn back_reference(
        &mut self,
        b: &mut Builder<'_>,
        is_reference: bool,
    ) -> Result<(), DecodeError> {
        let start = self.cursor.at;
        let target = self.cursor.unsigned(b';', "a number")?;
        if !b.wraps() {
            self.wants_cells = true;
            return self.cursor.wrong(Wrong::BackReference);
        }
        let cell = usize::try_from(target)
            .ok()
            .and_then(|target| target.checked_sub(1))
            .and_then(|index| self.slots.get(index).copied());
        let Some(cell) = cell else {
            return self.cursor.wrong_at(start, Wrong::BackReference);
        };
        if self.opaque == 0 {
            let digits = Span { at: start as u32, len: (self.cursor.at - 1 - start) as u32 };
            self.back_references.push(BackReference { digits, target: target as u32, is_reference });
        }
        if is_reference {
            b.refer(cell);
            b.place(Node::Ref(cell)).map_err(|excess| self.excess(excess))
        } else if let object @ Node::Object(_) = b.cell(cell) {
            self.put(b, object)
        } else {
            self.cursor.wrong_at(start, Wrong::BackReference)
        }
    }
}

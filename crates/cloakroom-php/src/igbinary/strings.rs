//! The numbers that igbinary gives to strings as they are written.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use crate::value::{Document, Span};

/// A string that stands here has this number.
#[derive(Clone, Copy)]
struct Known {
    span: Span,
    number: u32,
}

/// How many places are remembered; a power of two. No string stands behind the last place of all.
const PLACES: usize = 256;
const NOWHERE: Known = Known { span: Span { at: u32::MAX, len: 0 }, number: 0 };

#[inline(always)]
const fn place(span: Span) -> usize {
    (span.at.wrapping_mul(0x9e37_79b9) >> 24) as usize % PLACES
}

/// A part of a string's hash, and where the string is among those that are known, counted from 1: 0 is an empty slot.
type Slot = (u32, u32);

pub(super) struct Strings<'d> {
    doc: &'d Document,
    /// The numbers of strings by where they stand in the text, which is quicker to look up: where the payload told strings by number, all that are
    /// the same stand at the same place.
    places: [Known; PLACES],
    known: Vec<Known>,
    /// Twice as many as there are known strings, at least; a power of two. Who chooses the strings does not know the seed of the hash.
    slots: Vec<Slot>,
    hash: RandomState,
    next: u32,
}

impl<'d> Strings<'d> {
    pub(super) fn new(doc: &'d Document) -> Self {
        let room = (doc.text.len() / 16).clamp(8, 1024).next_power_of_two();
        Self {
            doc,
            places: [NOWHERE; PLACES],
            known: Vec::with_capacity(room),
            slots: vec![(0, 0); 2 * room],
            hash: RandomState::default(),
            next: 0,
        }
    }

    /// The number of a text that came before; otherwise it gets the next one.
    #[inline(always)]
    pub(super) fn number(&mut self, span: Span) -> Option<u32> {
        match self.places.get(place(span)) {
            Some(known) if known.span == span => Some(known.number),
            _ => self.find(span),
        }
    }

    fn find(&mut self, span: Span) -> Option<u32> {
        let found = self.insert(span);
        if found.is_none() {
            self.next += 1;
        }
        if let Some(place) = self.places.get_mut(place(span)) {
            *place = Known { span, number: found.unwrap_or(self.next - 1) };
        }
        found
    }

    /// A text takes the next number, whether it came before or not.
    pub(super) fn literal(&mut self, span: Span) {
        self.insert(span);
        self.next += 1;
    }

    /// The number that a text has; otherwise the next one is set down for it.
    fn insert(&mut self, span: Span) -> Option<u32> {
        let text = self.doc.bytes(span);
        let mut hasher = self.hash.build_hasher();
        hasher.write(text);
        let hash = hasher.finish() as u32;
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some((found, index)) = self.slots.get(at).copied()
            && index > 0
        {
            if found == hash
                && let Some(known) = self.known.get(index as usize - 1)
                && self.doc.bytes(known.span) == text
            {
                return Some(known.number);
            }
            at = (at + 1) & mask;
        }
        self.known.push(Known { span, number: self.next });
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = (hash, self.known.len() as u32);
        }
        if 2 * self.known.len() >= self.slots.len() {
            self.grow();
        }
        None
    }

    #[cold]
    fn grow(&mut self) {
        let mut slots = vec![(0, 0); 2 * self.slots.len()];
        let mask = slots.len() - 1;
        for slot in self.slots.iter().filter(|(_, index)| *index > 0) {
            let mut at = slot.0 as usize & mask;
            while slots.get(at).is_some_and(|(_, index)| *index > 0) {
                at = (at + 1) & mask;
            }
            if let Some(place) = slots.get_mut(at) {
                *place = *slot;
            }
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many that some have the same hash, and more than there was room for.
    #[test]
    fn every_text_has_a_number_of_its_own() {
        const TEXTS: u32 = 300_000;
        let text = (0..TEXTS).chain(0..TEXTS).flat_map(u32::to_le_bytes).collect();
        let doc = Document { text, ..Document::default() };
        let small = Document { text: doc.text[..64].to_vec(), ..Document::default() };
        let mut strings = Strings::new(&small);
        strings.doc = &doc;
        for n in 0..2 * TEXTS {
            let known = strings.number(Span { at: 4 * n, len: 4 });
            assert_eq!(known, n.checked_sub(TEXTS));
        }
    }
}

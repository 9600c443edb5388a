//! Slots in chunks: growing copies nothing, and a chunk that has emptied goes back to the allocator.

use super::slot::Slot;
use super::wheel::Links;

/// Slots in a chunk: as many as a word has bits.
const CHUNK: usize = u64::BITS as usize;

/// Slots by number.
#[derive(Default)]
pub(super) struct Slab {
    chunks: Vec<Option<Box<Chunk>>>,
    /// Numbers of the chunks that have room, or are not there; the last one is filled next.
    roomy: Vec<u32>,
    used: usize,
}

struct Chunk {
    /// A bit for each slot that holds something.
    used: u64,
    links: [Links; CHUNK],
    slots: [Slot; CHUNK],
}

/// Bytes a slot occupies in a chunk.
pub(super) const SLOT_BYTES: usize = size_of::<Chunk>() / CHUNK;

impl Slab {
    /// Puts a slot somewhere and answers with its number; `None` when there is no number left, which the
    /// wheel's links put at two thousand million.
    pub(super) fn insert(&mut self, slot: Slot) -> Option<u32> {
        let number = match self.roomy.last() {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.chunks.len()).ok()?;
                if number >= Links::MAX / CHUNK as u32 {
                    return None;
                }
                self.chunks.push(None);
                self.roomy.push(number);
                number
            }
        };
        let chunk = self.chunks.get_mut(number as usize)?.get_or_insert_with(Chunk::empty);
        let at = (!chunk.used).trailing_zeros();
        *chunk.slots.get_mut(at as usize)? = slot;
        chunk.used |= 1 << at;
        if chunk.used == u64::MAX {
            self.roomy.pop();
        }
        self.used += 1;
        Some(number * CHUNK as u32 + at)
    }

    /// Empties a slot and answers with what was in it.
    pub(super) fn remove(&mut self, index: u32) -> Slot {
        let (number, at) = split(index);
        let Some(Some(chunk)) = self.chunks.get_mut(number) else { return Slot::Vacant };
        let bit = 1 << at;
        let Some(slot) = chunk.slots.get_mut(at).filter(|_| chunk.used & bit != 0) else {
            return Slot::Vacant;
        };
        let removed = std::mem::take(slot);
        if chunk.used == u64::MAX {
            self.roomy.push(index / CHUNK as u32);
        }
        chunk.used &= !bit;
        if chunk.used == 0
            && let Some(chunk) = self.chunks.get_mut(number)
        {
            *chunk = None;
        }
        self.used -= 1;
        if self.used == 0 {
            *self = Slab::default();
        }
        removed
    }

    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        let (number, at) = split(index);
        self.chunks.get(number)?.as_ref()?.slots.get(at)
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        let (number, at) = split(index);
        self.chunks.get_mut(number)?.as_mut()?.slots.get_mut(at)
    }

    /// The wheel's links of a slot.
    pub(super) fn links_mut(&mut self, index: u32) -> Option<&mut Links> {
        let (number, at) = split(index);
        self.chunks.get_mut(number)?.as_mut()?.links.get_mut(at)
    }

    /// Every slot in use, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().flatten().flat_map(|chunk| chunk.slots.iter())
    }
}

impl Chunk {
    fn empty() -> Box<Self> {
        Box::new(Chunk {
            used: 0,
            links: [Links::default(); CHUNK],
            slots: std::array::from_fn(|_| Slot::Vacant),
        })
    }
}

fn split(index: u32) -> (usize, usize) {
    (index as usize / CHUNK, index as usize % CHUNK)
}

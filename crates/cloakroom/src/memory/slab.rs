//! Slots in chunks: growing copies nothing, and a chunk that has emptied goes back to the allocator.

use super::slot::Slot;
use super::wheel::Links;

/// Slots in a chunk: as many as a word has bits.
const CHUNK: usize = u64::BITS as usize;

/// Slots by number.
#[derive(Default)]
pub(super) struct Slab {
    chunks: Vec<Chunk>,
    /// Numbers of the chunks that have room, or are not there; the last one is filled next.
    roomy: Vec<u32>,
    used: usize,
}

#[derive(Default)]
struct Chunk {
    /// A bit for each place that holds something.
    used: u64,
    /// None while the chunk is empty, else room for all of it, filled from the front: nothing is written before it is
    /// needed, and nothing moves.
    places: Vec<Place>,
}

#[derive(Default)]
struct Place {
    links: Links,
    slot: Slot,
}

/// Bytes a slot occupies in a chunk.
pub(super) const SLOT_BYTES: usize = size_of::<Place>() + size_of::<Chunk>() / CHUNK + 1;

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
                self.chunks.push(Chunk::default());
                self.roomy.push(number);
                number
            }
        };
        let chunk = self.chunks.get_mut(number as usize)?;
        let at = (!chunk.used).trailing_zeros();
        let place = Place { links: Links::default(), slot };
        match chunk.places.get_mut(at as usize) {
            Some(free) => *free = place,
            None => {
                if chunk.places.is_empty() {
                    chunk.places.reserve_exact(CHUNK);
                }
                // The first bit that is not set is at most one past the places there are.
                chunk.places.push(place);
            }
        }
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
        let Some(chunk) = self.chunks.get_mut(number) else { return Slot::Vacant };
        let bit = 1 << at;
        let Some(place) = chunk.places.get_mut(at).filter(|_| chunk.used & bit != 0) else {
            return Slot::Vacant;
        };
        let removed = std::mem::take(&mut place.slot);
        if chunk.used == u64::MAX {
            self.roomy.push(index / CHUNK as u32);
        }
        chunk.used &= !bit;
        if chunk.used == 0 {
            chunk.places = Vec::new();
        }
        self.used -= 1;
        if self.used == 0 {
            *self = Slab::default();
        }
        removed
    }

    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        let (number, at) = split(index);
        self.chunks.get(number)?.places.get(at).map(|place| &place.slot)
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        let (number, at) = split(index);
        self.chunks.get_mut(number)?.places.get_mut(at).map(|place| &mut place.slot)
    }

    /// The wheel's links of a slot.
    pub(super) fn links_mut(&mut self, index: u32) -> Option<&mut Links> {
        let (number, at) = split(index);
        self.chunks.get_mut(number)?.places.get_mut(at).map(|place| &mut place.links)
    }

    /// Every slot in use, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().flat_map(|chunk| chunk.places.iter().map(|place| &place.slot))
    }
}

fn split(index: u32) -> (usize, usize) {
    (index as usize / CHUNK, index as usize % CHUNK)
}

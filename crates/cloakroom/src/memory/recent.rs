//! The records that were asked for last, as they were answered.
//!
//! A slot is packed, so that an answer out of it takes an allocation and a copy. But visitors come with several requests in a row
//! (a page, and then what is on it): those get the record that the first of them got.

use std::sync::Arc;

use crate::record::Record;

/// Records that a shard keeps: with [`SHARDS`](super::SHARDS) of them, at most some 180 KiB beside what is stored.
const PLACES: usize = 16;

/// A few slots' records. Each slot has one place to be in, which it shares with others: whichever was asked for last is there.
#[derive(Default)]
pub(super) struct Recent([Option<Answered>; PLACES]);

struct Answered {
    slot: u32,
    record: Arc<Record>,
}

impl Recent {
    /// The record in this slot: as it was answered before, or unpacked now.
    #[inline]
    pub(super) fn record(&mut self, slot: u32, unpack: impl FnOnce() -> Record) -> Arc<Record> {
        let place = self.place(slot);
        if let Some(Some(kept)) = &place
            && kept.slot == slot
        {
            return Arc::clone(&kept.record);
        }
        let record = Arc::new(unpack());
        if let Some(place) = place {
            *place = Some(Answered { slot, record: Arc::clone(&record) });
        }
        record
    }

    /// What is in this slot has changed: it is this record now, or has to be looked at.
    #[inline]
    pub(super) fn replace(&mut self, slot: u32, record: Option<Arc<Record>>) {
        if let Some(place) = self.place(slot)
            && place.as_ref().is_some_and(|kept| kept.slot == slot)
        {
            *place = record.map(|record| Answered { slot, record });
        }
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<Answered>> {
        self.0.get_mut(slot as usize % PLACES)
    }
}

//! A hierarchical timing wheel: which entries are due, without looking at the others.
//!
//! Eight levels of 64 buckets. A bucket of level 0 is a millisecond wide, one of level n 64 times as wide as one
//! of the level below; an entry is filed at the level where its time first differs from the hand's. When the
//! hand comes to a bucket, its entries are taken out one by one, and whoever takes them removes what is due and
//! files the rest again, which lands further down. (Varghese and Lauck, "Hashed and hierarchical timing wheels",
//! scheme 7.)
//!
//! **Filing is lazy.** A deadline that moves later moves nothing here: the entry is taken out at its old time,
//! found not to be due, and filed again. A session that is touched at every request costs the wheel one visit
//! per idle time. Only a deadline that moves earlier must be filed anew.
//!
//! **Time never runs backwards here.** The wheel keeps a time of its own that adds up the forward steps of the
//! clock, and files by distance from now. After a jump forward, entries are due by the clock, and are removed.
//! After a jump back, entries are visited early and filed again. In no case is one visited late.
//!
//! The buckets are lists through the slots themselves, linked both ways: filing allocates nothing.

use super::slab::Slab;
use crate::clock::Timestamp;

const LEVELS: usize = 8;
const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
/// The wheel's last millisecond, 8,900 years after its first. Everything later is filed here.
const HORIZON: u64 = (1 << (BITS * LEVELS as u32)) - 1;
/// A clock that steps further than this (35 years) is taken to have stepped this far: otherwise one look at a
/// clock gone wild would use up the wheel's time.
const LONGEST_STEP: u64 = 1 << 40;

/// A slot's neighbours in its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Links {
    next: u32,
    /// The slot before, or the bucket whose first one this is.
    back: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;
/// Marks a `back` that names a bucket.
const BUCKET: u32 = 1 << 31;

impl Links {
    /// Numbers of slots stay below this.
    pub(super) const MAX: u32 = BUCKET;
}

impl Default for Links {
    fn default() -> Self {
        Links { next: NONE, back: NONE }
    }
}

pub(super) struct Wheel {
    /// The wheel's time, in milliseconds.
    time: u64,
    /// The clock when it was last looked at.
    seen: Timestamp,
    /// Buckets before this time are empty.
    hand: u64,
    /// No bucket with entries begins before this time: most looks at the wheel end here.
    next: u64,
    /// A bit for each bucket that has entries.
    occupied: [u64; LEVELS],
    /// The first slot of each bucket.
    heads: Box<[[u32; BUCKETS]; LEVELS]>,
}

impl Wheel {
    pub(super) fn new(now: Timestamp) -> Self {
        Wheel {
            time: 0,
            seen: now,
            hand: 0,
            next: u64::MAX,
            occupied: [0; LEVELS],
            heads: Box::new([[NONE; BUCKETS]; LEVELS]),
        }
    }

    /// Looks at the clock. To be called with each new `now`, before filing.
    pub(super) fn observe(&mut self, now: Timestamp) {
        let step = now.as_millis().saturating_sub(self.seen.as_millis()).min(LONGEST_STEP);
        self.time = (self.time + step).min(HORIZON);
        self.seen = now;
    }

    /// Whether there is something to take.
    pub(super) fn is_due(&self) -> bool {
        self.next <= self.time
    }

    /// Files a slot that is in no bucket, so that it is taken at `deadline` or before.
    pub(super) fn file(&mut self, slab: &mut Slab, index: u32, deadline: Timestamp) {
        let distance = deadline.as_millis().saturating_sub(self.seen.as_millis());
        let when = self.time.saturating_add(distance).clamp(self.hand, HORIZON);
        let level = level(self.hand ^ when);
        let shift = BITS * level as u32;
        let bucket = (when >> shift) as usize % BUCKETS;

        let Some(head) = self.heads.get_mut(level).and_then(|heads| heads.get_mut(bucket)) else { return };
        let next = std::mem::replace(head, index);
        let back = BUCKET | (level * BUCKETS + bucket) as u32;
        if let Some(links) = slab.links_mut(index) {
            *links = Links { next, back };
        }
        if let Some(links) = slab.links_mut(next) {
            links.back = index;
        }
        if let Some(occupied) = self.occupied.get_mut(level) {
            *occupied |= 1 << bucket;
        }
        self.next = self.next.min((when >> shift) << shift);
    }

    /// Takes a slot out of its bucket.
    pub(super) fn unfile(&mut self, slab: &mut Slab, index: u32) {
        let Some(links) = slab.links_mut(index) else { return };
        let Links { next, back } = std::mem::take(links);
        if let Some(links) = slab.links_mut(next) {
            links.back = back;
        }
        if back & BUCKET == 0 {
            if let Some(links) = slab.links_mut(back) {
                links.next = next;
            }
        } else if back != NONE {
            let at = (back & !BUCKET) as usize;
            let (level, bucket) = (at / BUCKETS, at % BUCKETS);
            if let Some(head) = self.heads.get_mut(level).and_then(|heads| heads.get_mut(bucket)) {
                *head = next;
            }
            if next == NONE
                && let Some(occupied) = self.occupied.get_mut(level)
            {
                *occupied &= !(1 << bucket);
            }
        }
    }

    /// Takes out a slot whose time may have come; `None` when there is no more by now. The taker removes it, or
    /// files it again, in which case it is not met twice unless time moves on.
    pub(super) fn take(&mut self, slab: &mut Slab) -> Option<u32> {
        if !self.is_due() {
            return None;
        }
        let Some((start, level, bucket)) = self.first() else {
            (self.hand, self.next) = (self.time, u64::MAX);
            return None;
        };
        if start > self.time {
            (self.hand, self.next) = (self.time, start);
            return None;
        }
        self.hand = start;
        let index = *self.heads.get(level)?.get(bucket)?;
        self.unfile(slab, index);
        Some(index)
    }

    /// The bucket with entries that begins first, and when. Of two that begin together the wider one, so that it
    /// is empty before the hand moves into it.
    fn first(&self) -> Option<(u64, usize, usize)> {
        let mut first: Option<(u64, usize, usize)> = None;
        for (level, occupied) in self.occupied.iter().enumerate().rev() {
            let shift = BITS * level as u32;
            // Levels are chosen by the first difference from the hand, so no bucket is behind the hand's own.
            if *occupied != 0 {
                let bucket = occupied.trailing_zeros();
                let round = shift + BITS;
                let start = ((self.hand >> round) << round | u64::from(bucket) << shift).max(self.hand);
                if first.is_none_or(|(earliest, ..)| start < earliest) {
                    first = Some((start, level, bucket as usize));
                }
            }
        }
        first
    }
}

/// The level of the highest bit in which two times differ.
fn level(difference: u64) -> usize {
    let highest = u64::BITS - 1 - (difference | 1).leading_zeros();
    (highest / BITS) as usize
}

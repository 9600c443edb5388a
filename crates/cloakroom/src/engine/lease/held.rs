//! A lease in the hands of a request: what is written under it, and whether it may be handed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval_at};

use super::{Baton, Lease, Left};
use crate::clock::deadline_after;
use crate::engine::{Effect, Landed, NoTimer, timer};
use crate::error::{ErrorKind, SessionError};
use crate::ids::StoreKey;
use crate::store::{LeaseRef, Renew, Renewed};

/// A lease held by this request. Dropping it gives it back, or on, without waiting.
pub(crate) struct HeldLease {
    baton: Baton,
    lease: Option<Lease>,
    /// The store said that it is not ours any more. It is shown all the same: a write without one would be made as soon as
    /// nobody holds it.
    lost: bool,
    /// Writes under this lease that may yet reach the store: while there are any, it must not be handed on.
    unresolved: u32,
    /// When the last write was begun, as long as no other one was under way since.
    last_write: Option<Instant>,
}

impl HeldLease {
    pub(super) fn new(baton: Baton, lease: Lease) -> Self {
        HeldLease { baton, lease: Some(lease), lost: false, unresolved: 0, last_write: None }
    }

    /// The proof to show with a write.
    pub(crate) fn proof(&self) -> Option<LeaseRef> {
        self.lease.as_ref().map(|l| LeaseRef { owner: l.owner, hold: l.hold })
    }

    /// The session that it is on.
    pub(crate) fn key(&self) -> Option<StoreKey> {
        self.lease.as_ref().map(|lease| lease.key)
    }

    /// Whether this request excludes others by it, as far as it has been told.
    pub(crate) fn is_in_force(&self) -> bool {
        self.lease.is_some() && !self.lost
    }

    /// Whether the store said that it is not ours any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether the last write under this lease should give it back in the same step: nobody here waits for it, or
    /// enough of them have had it in a row.
    pub(crate) fn releases_with_write(&self) -> bool {
        !self.may_hand_over()
    }

    /// The write that carried `release` was acknowledged.
    pub(crate) fn released(mut self) {
        self.nothing_to_release();
    }

    /// The record ended, or the lease was given back with a write: there is nothing to give back, and nothing to show.
    pub(crate) fn nothing_to_release(&mut self) {
        self.baton.yields |= self.is_handed_on_enough();
        self.lease = None;
        self.lost = false;
    }

    /// The store says that the lease is not ours: it is neither renewed, handed on nor given back, and every write that
    /// shows it is refused.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
        if let Some(renewing) = self.lease.as_mut().and_then(|lease| lease.renewing.take()) {
            renewing.abort();
        }
    }

    /// The store granted it, having been asked at this time.
    pub(super) fn granted(&self, asked: Instant) {
        if let Some(lease) = &self.lease {
            *lease.confirmed.lock() = Some(asked);
        }
    }

    /// A write under this lease has an unknown outcome.
    pub(crate) fn mark_unresolved(&mut self) {
        self.write_begins();
    }

    /// A write under this lease is asked for. Whoever asks may be dropped before the answer is there, and the lease with it.
    pub(crate) fn write_begins(&mut self) {
        self.unresolved = self.unresolved.saturating_add(1);
        self.last_write = None;
        // What was left was not the last.
        if let Some(lease) = &mut self.lease {
            lease.left = None;
        }
    }

    /// Its answer is there.
    pub(crate) fn write_ends(&mut self) {
        self.unresolved = self.unresolved.saturating_sub(1);
    }

    /// The last write under this lease is asked for.
    pub(crate) fn last_write_begins(&mut self) {
        // Before another one it would not be the last, whichever of them the store sees first.
        self.last_write = (self.unresolved == 0).then(Instant::now);
    }

    /// As [`last_write_begins`](HeldLease::last_write_begins), for one that [`write_begins`](HeldLease::write_begins) has counted.
    pub(crate) fn last_of_writes_begins(&mut self) {
        self.last_write = (self.unresolved == 1).then(Instant::now);
    }

    /// What became of the last write, after which the lease is let go. Where it was stored, and no other one was under way since,
    /// whoever waited for the lease need not read it.
    pub(crate) fn last_write_landed(&mut self, landed: &Landed) {
        if let (Landed::Stored { snapshot, at: None, undurable: None }, Some(begun), Some(lease)) =
            (landed, self.last_write.take(), &mut self.lease)
        {
            lease.left = Some(Left { snapshot: snapshot.clone(), begun });
        }
    }

    /// The record has a new key now, and the lease with it.
    pub(crate) fn moved(&mut self, key: StoreKey) {
        if let Some(lease) = &mut self.lease {
            lease.key = key;
        }
        if !self.lost {
            // Where nothing can wait, that was logged when the lease was taken.
            let _ = self.keep_renewed();
        }
    }

    /// What to ask of the store to extend the lease to its full length.
    pub(crate) fn extension(&self) -> Result<Renew, SessionError> {
        let lease = self.lease.as_ref().ok_or_else(|| SessionError::new(ErrorKind::LeaseLost))?;
        let length = self.baton.engine.settings.locking.lease;
        Ok(Renew { key: lease.key, owner: lease.owner, lease: length })
    }

    /// Whether it has been handed over as often as it may be. Without hand-overs at all everyone contends at every turn anyway.
    fn is_handed_on_enough(&self) -> bool {
        let most = self.baton.engine.settings.locking.handovers;
        most > 0 && self.lease.as_ref().is_some_and(|lease| lease.handovers >= most)
    }

    fn may_hand_over(&self) -> bool {
        let (baton, locking) = (&self.baton, &self.baton.engine.settings.locking);
        let may_go_on = |lease: &Lease| {
            lease.key == baton.key && lease.handovers < locking.handovers && lease.is_in_force(locking.lease)
        };
        self.unresolved == 0
            && !self.lost
            && self.lease.as_ref().is_some_and(may_go_on)
            && baton.engine.leases.has_waiters(&baton.key)
    }

    /// Renews the lease at every third of its length, for as long as it is held.
    pub(super) fn keep_renewed(&mut self) -> Result<(), NoTimer> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let (key, owner, confirmed) = (lease.key, lease.owner, Arc::clone(&lease.confirmed));
        // The task must not keep the engine alive, nor count as work to drain.
        let engine = Arc::downgrade(&self.baton.engine);
        let length = self.baton.engine.settings.locking.lease;
        let third = (length / 3).max(Duration::from_millis(1));
        // By the runtime's own clock, which in a test may be another one.
        let first = deadline_after(tokio::time::Instant::now().into(), third);
        let mut thirds = timer(|| interval_at(first.into(), third))?;
        thirds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let task = tokio::spawn(async move {
            loop {
                thirds.tick().await;
                let Some(engine) = engine.upgrade() else { return };
                let request = Renew { key, owner, lease: length };
                let asked = Instant::now();
                match engine.call(Effect::Writes, engine.store.renew(request)).await {
                    Ok(Renewed::Renewed { .. }) => *confirmed.lock() = Some(asked),
                    Ok(Renewed::LeaseLost) => {
                        *confirmed.lock() = None;
                        tracing::warn!(target: "cloakroom", ?key, "a lease was lost while it was held");
                        return;
                    }
                    // Tried again at the next third; the store refuses the write if all of them fail.
                    Err(_) => {}
                }
            }
        });
        if let Some(before) = lease.renewing.replace(task.abort_handle()) {
            before.abort();
        }
        Ok(())
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        let hand_over = self.may_hand_over();
        self.baton.yields |= self.is_handed_on_enough();
        let Some(mut lease) = self.lease.take().filter(|_| !self.lost) else { return };
        if hand_over {
            lease.handovers += 1;
            self.baton.lease = Some(lease);
            // The baton's own drop passes it on.
            return;
        }
        self.baton.give_back(lease);
    }
}

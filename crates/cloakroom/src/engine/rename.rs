//! Changing the id: regeneration, login, automatic renewal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::create::{EVERY_ID_TAKEN, TRIES};
use super::{Effect, Engine, Event, HeldLease, Known, OwnLease, WriteKind, made, seal};
use crate::clock::deadline_in;
use crate::error::{ErrorKind, SessionError};
use crate::ids::{OpId, RecordId, SessionId, UserId};
use crate::record::{Device, Record};
use crate::session::{MergeRule, Merged};
use crate::settings::OnConflict;
use crate::store::{
    BindUser, Deadlines, Ending, LeaseRef, Loaded, OldId, Rename, Renamed, Snapshot, StoreError,
};

const ASKS: u32 = 3;

/// The lease that a change of id shows: its own, or its request's.
fn shown(own: Option<&HeldLease>, lease: Option<LeaseRef>) -> Option<LeaseRef> {
    own.and_then(HeldLease::proof).or(lease)
}

/// Who is bound to the session with the change.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) user: UserId,
    pub(crate) device: Option<Arc<Device>>,
}

/// Why the id changes.
#[derive(Debug, Clone)]
pub(crate) enum IdChange {
    /// On request; the old id is dead, or goes on as a copy for a while.
    Regenerate {
        /// How long the copy lives.
        keep_old_for: Option<Duration>,
    },
    /// It was due; the old id is an alias for the grace.
    Renew,
    /// A user signs in.
    Login {
        /// Who.
        binding: Binding,
        /// Both deadlines start again.
        restart: bool,
    },
}

/// What became of it.
pub(crate) enum Moved {
    /// The session has this id now.
    To(Known),
    /// Another request replaced the id first, and the one presented is in its grace: this is the session.
    ByOther(Known),
    /// Somebody holds the session's lease; a renewal can wait for another request.
    Busy,
    /// The session ended before.
    Ended,
}

impl Engine {
    /// Gives the session a new id, with the merged changes, in one step.
    pub(crate) async fn rename<F>(
        self: &Arc<Self>,
        known: &Known,
        mut lease: Option<LeaseRef>,
        of_request: &dyn OwnLease,
        change: &IdChange,
        slide: Option<Duration>,
        mut merge: F,
    ) -> Result<Moved, SessionError>
    where
        F: FnMut(&Record, MergeRule) -> Result<Merged, SessionError> + Send,
    {
        let deadline = deadline_in(self.settings.commit_deadline);
        let rule = match self.settings.on_conflict {
            OnConflict::Refuse => MergeRule::CheckRead,
            OnConflict::Overwrite => MergeRule::Overwrite,
        };
        let mut known = known.clone();
        let mut own: Option<HeldLease> = None;
        let mut request: Option<(Rename, SessionId)> = None;
        let (mut asks, mut tries) = (0, 0);
        loop {
            // An unanswered request is asked again as it was, new id included.
            let again = request.take();
            let in_doubt = again.is_some();
            let (ask, new_id) = match again {
                Some(again) => again,
                None => {
                    let merged = merge(&known.record, rule)?;
                    self.check_size(&merged)?;
                    self.rename_request(&known, shown(own.as_ref(), lease), change, slide, merged)?
                }
            };
            if let Some(held) = &mut own {
                held.write_begins();
            }
            let answer = self.call(Effect::Writes, self.store.rename(ask.clone())).await;
            if let Some(held) = &mut own {
                held.write_ends();
            }
            if answer.as_ref().is_err_and(StoreError::is_worth_asking_again) {
                asks += 1;
                if asks < ASKS && Instant::now() < deadline {
                    request = Some((ask, new_id));
                    continue;
                }
            }
            let (answer, undurable) = match made(answer) {
                Ok(answer) => answer,
                Err(error) => {
                    let error = SessionError::from(if in_doubt { error.in_doubt() } else { error });
                    if let Some(held) = &mut own
                        && error.leaves_doubt()
                    {
                        held.mark_unresolved();
                    }
                    return Err(error);
                }
            };
            let doubtful = |error: SessionError| if in_doubt { error.in_doubt() } else { error };
            let answer = match answer {
                other @ (Renamed::Renamed { .. } | Renamed::Exists) => other,
                other if in_doubt => {
                    // Not answered before that is known: the lease is not handed on meanwhile.
                    own.iter_mut().for_each(HeldLease::write_begins);
                    let before = self.renamed_before(&ask).await?;
                    own.iter_mut().for_each(HeldLease::write_ends);
                    before.map_or(other, |snapshot| Renamed::Renamed { snapshot, evicted: Vec::new() })
                }
                other => other,
            };
            match answer {
                Renamed::Renamed { snapshot, evicted } => {
                    self.metrics.commits.one();
                    self.note_evicted(&evicted);
                    self.announce(&known, &ask, change);
                    if let Some(held) = &mut own {
                        held.moved(ask.to);
                    }
                    let now = Known { undurable, ..Known::new(new_id, ask.to, snapshot) };
                    return Ok(Moved::To(now));
                }
                Renamed::Exists => {
                    tries += 1;
                    if tries >= TRIES {
                        return Err(SessionError::because(ErrorKind::Unavailable, EVERY_ID_TAKEN));
                    }
                }
                Renamed::Conflict(snapshot) => {
                    if Instant::now() >= deadline {
                        return Err(SessionError::because(
                            ErrorKind::Unavailable,
                            "too many requests changed the session at the same time",
                        ));
                    }
                    self.metrics.merges.one();
                    known.update(snapshot);
                }
                Renamed::Locked { .. } if matches!(change, IdChange::Renew) => return Ok(Moved::Busy),
                Renamed::Locked { .. } => {
                    own = None;
                    let may_have_one = ask.lease.is_none();
                    let found = if may_have_one { of_request.of(known.key).await } else { Ok(None) };
                    if let Some(proof) = found.map_err(doubtful)? {
                        lease = Some(proof);
                    } else if let Ok(locked) = self.acquire(known.key).await.map_err(doubtful)? {
                        known.update(locked.snapshot);
                        own = Some(locked.held);
                    }
                    if in_doubt {
                        // The same operation, which is done once whatever it shows.
                        let lease = shown(own.as_ref(), lease);
                        request = Some((Rename { lease, ..ask }, new_id));
                    }
                }
                Renamed::LeaseLost => {
                    self.metrics.leases_lost.one();
                    if let Some(held) = &mut own {
                        held.lose();
                    }
                    return Err(SessionError::new(ErrorKind::LeaseLost));
                }
                Renamed::Missing => {
                    self.vanished(known.key, &known, WriteKind::Buffered).await?;
                    return Ok(Moved::Ended);
                }
                Renamed::Ended(Ending::Moved { .. }) => {
                    own = None;
                    match self.call(Effect::Reads, self.store.load(known.key)).await? {
                        Loaded::Alias { successor, sealed, snapshot } => {
                            let Some(id) = seal::open(&self.settings.ids, &known.id, &sealed, successor)
                            else {
                                return Ok(Moved::Ended);
                            };
                            known = Known::new(id, successor, snapshot);
                            if matches!(change, IdChange::Renew) {
                                return Ok(Moved::ByOther(known));
                            }
                        }
                        _ => return Ok(Moved::Ended),
                    }
                }
                Renamed::Ended(_) => return Ok(Moved::Ended),
            }
        }
    }

    /// The session under its new id, if an earlier try of this was made and what that left behind does not say so any more: a copy is
    /// a session of its own, which forgets. Nothing but this request can have made one under the new id.
    async fn renamed_before(&self, asked: &Rename) -> Result<Option<Snapshot>, SessionError> {
        if !matches!(asked.old, OldId::Copy { .. }) {
            return Ok(None);
        }
        match self.load_newest(asked.to).await.map_err(SessionError::in_doubt)? {
            Loaded::Live(snapshot) => Ok(Some(snapshot)),
            Loaded::Missing => Ok(None),
            // It was made, and has ended since.
            Loaded::Alias { .. } | Loaded::Ended(_) => Err(SessionError::new(ErrorKind::Gone)),
        }
    }

    fn rename_request(
        &self,
        known: &Known,
        lease: Option<LeaseRef>,
        change: &IdChange,
        slide: Option<Duration>,
        merged: Merged,
    ) -> Result<(Rename, SessionId), SessionError> {
        let settings = &self.settings;
        let new_id = settings.ids.successor(&known.id);
        let keep = Deadlines::Keep { renewal: settings.lifetime.renewal };
        let (mut payload, mut epoch) = (merged.payload, merged.epoch);
        let (old, bind, deadlines) = match change {
            IdChange::Regenerate { keep_old_for: Some(keep_for) } => {
                if known.record.user.is_some() {
                    return Err(SessionError::because(
                        ErrorKind::Config,
                        "the old id of a session that is bound to a user cannot be kept",
                    ));
                }
                let copy = OldId::Copy { record_id: RecordId::generate(), keep: *keep_for };
                (copy, None, keep)
            }
            IdChange::Regenerate { keep_old_for: None } => (OldId::Dead, None, keep),
            IdChange::Renew => {
                let sealed = seal::seal(&known.id, &new_id).ok_or_else(|| {
                    SessionError::because(ErrorKind::Encode, "the successor's id cannot be sealed")
                })?;
                (OldId::Alias { sealed, grace: settings.grace }, None, keep)
            }
            IdChange::Login { binding, restart } => {
                match &known.record.user {
                    Some(user) if *user == binding.user => {}
                    Some(_) => {
                        // Another user's data is none of this one's business.
                        payload = crate::payload::Payload::empty();
                        epoch = epoch.wrapping_add(1);
                    }
                    None => epoch = epoch.wrapping_add(1),
                }
                let bind = BindUser {
                    user: binding.user.clone(),
                    device: binding.device.clone(),
                    cap: settings.sessions_per_user,
                };
                let deadlines = if *restart { Deadlines::Restart(settings.lifetime) } else { keep };
                (OldId::Dead, Some(bind), deadlines)
            }
        };
        let payload = match new_id.is_own() {
            true => settings.codec.taken_over(payload),
            false => payload,
        };
        let request = Rename {
            from: known.key,
            to: new_id.store_key(),
            op: OpId::generate(),
            expected: known.record.version,
            lease,
            epoch,
            payload,
            bind,
            deadlines,
            slide,
            old,
            marker: settings.marker,
        };
        Ok((request, new_id))
    }

    fn announce(&self, known: &Known, done: &Rename, change: &IdChange) {
        let (from, to) = (known.key, done.to);
        match change {
            IdChange::Renew => {
                self.metrics.sessions_renewed.one();
                self.events.emit(Event::Renewed { from, to });
            }
            IdChange::Regenerate { .. } => {
                self.metrics.sessions_regenerated.one();
                self.events.emit(Event::Regenerated { from, to });
            }
            IdChange::Login { binding, .. } => {
                if known.record.user.as_ref().is_some_and(|user| *user != binding.user) {
                    self.ended.announce(known.record.id);
                }
                self.metrics.sessions_regenerated.one();
                self.metrics.logins.one();
                self.events.emit(Event::Regenerated { from, to });
                self.events.emit(Event::LoggedIn { key: to, user: binding.user.clone() });
            }
        }
    }
}

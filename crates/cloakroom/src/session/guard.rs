//! The exclusive lock of a session, across every process.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::aim::Target;
use super::changes::Changes;
use super::hands::Wanted;
use super::leased::Shown;
use super::own_lease::{AskedBy, Asking, LeaseState};
use super::reading::Encoded;
use super::shared::{Phase, State};
use super::underneath::TakenOut;
use super::view::View;
use super::{Session, Shared};
use crate::engine::{HeldLease, Known, Landed, Write, WriteKind};
use crate::error::{ErrorKind, SessionError};
use crate::ids::StoreKey;
use crate::key::{KeyOf, is_reserved};
use crate::payload::Payload;
use crate::record::Record;

/// An exclusive transaction on a session, over data that was read when the lock was taken.
///
/// While it is held, a write of any other request, in any process, waits. Reads never wait. Its changes are its own until
/// [`commit`](LockGuard::commit); dropping it discards them and releases the lock. Not re-entrant: a second `lock` in the
/// same request is [`AlreadyLocked`](ErrorKind::AlreadyLocked) at once, also while the first one still waits.
#[must_use = "a guard that is dropped releases the lock at once"]
pub struct LockGuard {
    shared: Arc<Shared>,
    /// What was read is noted by `&self` as well.
    view: Mutex<View>,
    /// The session that it locks, if there was one.
    over: Option<Known>,
    done: bool,
}

impl Session {
    /// Takes the session's lock, waiting for it, and reads the data anew. What is buffered is committed under it, before this
    /// returns: a second step, between which nobody else can write, though the session may end or be read. Where either fails the lock is
    /// given back and the changes stay buffered. For what [`update`](Session::update) cannot do: deciding on one key and writing another.
    ///
    /// What another call of the request is storing of what was buffered is waited for, and answered for as well.
    ///
    /// Before a session exists there is nobody to exclude: the guard then holds nothing until its commit. One store
    /// call when nobody holds it, one more where something is buffered; one more for the commit.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// let mut held = session.lock().await?;
    /// let credit: i64 = held.get("credit")?.unwrap_or(0);
    /// if credit >= 10 {
    ///     held.set("credit", credit - 10)?;
    ///     held.set("ticket", true)?;
    /// }
    /// held.commit().await?; // or none of it, and the lock is free
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LockTimeout`](ErrorKind::LockTimeout), [`Gone`](ErrorKind::Gone) when the session ended meanwhile and
    /// [`Lost`](ErrorKind::Lost) when it vanished, [`AlreadyLocked`](ErrorKind::AlreadyLocked),
    /// [`LeaseLost`](ErrorKind::LeaseLost) when exclusive mode lost the lock and something is buffered, which was decided
    /// under it ([`reload`](Session::reload) discards that), [`Conflict`](ErrorKind::Conflict) of what was buffered, and what the
    /// store can fail with.
    pub async fn lock(&self) -> Result<LockGuard, SessionError> {
        let shared = &self.0;
        loop {
            let (asking, asked) = match shared.begin_lock()? {
                Begun::Held => break,
                Begun::Asked(asking, known) => (asking, known),
                Begun::Later(session) => {
                    Box::pin(shared.lease_settled(session)).await?;
                    continue;
                }
            };
            match shared.ask_for_lock(asking, &asked).await {
                Ok(()) => break,
                // On the heap, because it hardly ever happens.
                Err(gone) if gone.kind() == ErrorKind::Gone && Box::pin(shared.has_moved(&asked)).await => {}
                Err(error) => return Err(error),
            }
        }
        let view = Mutex::new(View::new(Payload::empty(), 0));
        let mut guard = LockGuard { shared: Arc::clone(shared), view, over: None, done: false };
        shared.flush().await?;
        let state = shared.state.lock();
        *guard.view.get_mut() = match state.known() {
            Some(known) => View::new(known.record.payload.clone(), known.record.epoch),
            None => View::new(state.view.payload().clone(), state.view.epoch()),
        };
        guard.over = state.known().cloned();
        drop(state);
        Ok(guard)
    }
}

/// A lock that was begun.
enum Begun {
    /// The guard has all that it needs.
    Held,
    /// The lease of this session has to be asked for.
    Asked(Asking, Known),
    /// Exclusive mode asks for it already, and the guard is under that one.
    Later(StoreKey),
}

impl Shared {
    /// Takes the lease for a lock. It is asked for no longer when this is done.
    async fn ask_for_lock(&self, mut asking: Asking, asked: &Known) -> Result<(), SessionError> {
        let engine = self.engine();
        let (held, known, told) = match engine.acquire_known(&asked.id, asked.key).await? {
            Ok(taken) => taken,
            Err(why) => return Err(engine.without_lease(why, asked).await),
        };
        let mut state = self.state.lock();
        if !state.is_at(asked) {
            // Another call of this request has ended the session meanwhile.
            return Err(SessionError::new(ErrorKind::Gone));
        }
        let record = &known.record;
        state.view.refresh(record.payload.clone(), record.epoch, &Changes::default());
        state.become_learned(known, told.is_some());
        asking.granted(&mut state, LeaseState::Guard(Box::new(held)));
        Ok(())
    }

    fn begin_lock(self: &Arc<Self>) -> Result<Begun, SessionError> {
        // Lost, or of a session that has ended; passed on when the state is not locked any more.
        let _over;
        let mut state = self.state.lock();
        state.check_writable()?;
        match &state.lease {
            LeaseState::None | LeaseState::Mode(_) => {}
            LeaseState::AskedFor(AskedBy::Mode, session) => return Ok(Begun::Later(*session)),
            LeaseState::AskedFor(AskedBy::Lock, _)
            | LeaseState::Guard(_)
            | LeaseState::GuardOnly
            | LeaseState::GuardInMode(_) => return Err(SessionError::new(ErrorKind::AlreadyLocked)),
        }
        if state.lease.held().is_some_and(HeldLease::is_lost)
            && (state.view.has_changes() || !state.hands.are_empty())
        {
            // Decided under the lease that was lost, they must not be stored under another one; what is in hand may be buffered again.
            return Err(SessionError::new(ErrorKind::LeaseLost));
        }
        state.awaited = true;
        let lease = state.take_mode_lease();
        match (state.known().cloned(), lease) {
            (Some(_), Some(held)) if held.is_in_force() => state.lease = LeaseState::GuardInMode(held),
            // Exclusive mode's is lost, or of a session that has ended: it protects nothing of this one.
            (Some(known), lease) => {
                _over = lease;
                return Ok(Begun::Asked(Asking::begin(self, &mut state, AskedBy::Lock, known.key), known));
            }
            (None, lease) => {
                _over = lease;
                state.lease = LeaseState::GuardOnly;
            }
        }
        Ok(Begun::Held)
    }
}

impl LockGuard {
    /// The value under `key`, this guard's own changes included. Noted as a read: [`commit`](LockGuard::commit) stores a
    /// change of the key only where it is still the value that is stored.
    ///
    /// # Errors
    /// [`Decode`](ErrorKind::Decode) when what is stored is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, SessionError> {
        let codec = self.shared.engine().settings.codec;
        // Decoded when the view is no longer locked: a value's `Deserialize` may ask this guard.
        let encoded = self.read(key.name(), Encoded::from_slice);
        encoded.map(|bytes| codec.decode(&bytes)).transpose()
    }

    /// Whether there is a value under `key`. Noted as a read.
    pub fn has(&self, key: &str) -> bool {
        self.read(key, |_| ()).is_some()
    }

    /// Sets `key`; stored by [`commit`](LockGuard::commit).
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) for a key that is too long, [`InvalidKey`](ErrorKind::InvalidKey),
    /// [`Encode`](ErrorKind::Encode). The bounds of the session are checked by the commit.
    pub fn set<T: Serialize>(&mut self, key: impl KeyOf<T>, value: T) -> Result<(), SessionError> {
        self.shared.check_key(key.name())?;
        let value = self.shared.engine().settings.codec.encode(&value)?;
        self.view.get_mut().set(key.name(), value);
        Ok(())
    }

    /// Removes `key`; stored by [`commit`](LockGuard::commit). Removing what is not there is fine.
    pub fn remove(&mut self, key: &str) {
        if !is_reserved(key) {
            self.view.get_mut().remove(key);
        }
    }

    /// Removes everything; stored by [`commit`](LockGuard::commit).
    pub fn clear(&mut self) {
        self.view.get_mut().clear();
    }

    fn read<T>(&self, key: &str, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        if is_reserved(key) { None } else { self.view.lock().read(key).map(take) }
    }

    /// Stores the changes, all or nothing, and releases the lock, in one store call. Without changes it only releases.
    ///
    /// Nobody who asks for the lock can come in between. Who can is this request itself, a system beside that takes no lock
    /// (PHP, see `docs/guarantees.md`), and anybody where the guard was taken before there was a session: what those have
    /// stored meanwhile under a key that was read here is not overwritten.
    ///
    /// Await what the request writes beside its guard before this: the lock is given back in the same step, and a
    /// [`put`](Session::put) that is still under way then, under the same lock, is [`LeaseLost`](ErrorKind::LeaseLost), nothing written.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) when a key that was read and changed here has another value by now, or when this
    /// request has cleared the session or signed a user in since the lock was taken;
    /// [`LeaseLost`](ErrorKind::LeaseLost) when the lease ran out, [`Gone`](ErrorKind::Gone) when the session ended,
    /// [`TooLarge`](ErrorKind::TooLarge) when it would exceed its bounds, and what the store can fail with. The lock is
    /// released in any case.
    pub async fn commit(mut self) -> Result<(), SessionError> {
        let (changes, epoch) = {
            let view = self.view.get_mut();
            (view.take_changes().awaited_here(), view.epoch())
        };
        if changes.is_empty() {
            self.finish(false);
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let target = |state: &mut State| {
            if self.over.as_ref().is_some_and(|over| !state.is_at(over)) {
                // This request has ended it since: what was decided on it goes into no other one.
                return Err(SessionError::new(ErrorKind::Gone));
            }
            state.target(&shared.engine().settings)
        };
        // What the request has in hand of the same keys is under this lock as well, and would land over it.
        // Whatever became of that, it does not come after this one.
        let (target, _) = shared.after_hands(Wanted::KeysOf(&changes), target).await?;
        let Some(target) = target? else {
            self.finish(false);
            return shared
                .commit_taken(WriteKind::Awaited, None, |_| (TakenOut::Unseen(changes), epoch))
                .await;
        };
        let tasks = Arc::clone(&shared.engine().tasks);
        // The guard travels with the write, so that the lock outlives a dropped request until the write is settled.
        tasks.detach(async move { self.commit_now(target, changes, epoch).await }).await
    }

    async fn commit_now(mut self, target: Target, changes: Changes, epoch: u32) -> Result<(), SessionError> {
        let shared = Arc::clone(&self.shared);
        let Target { known, proof, slide } = target;
        if self.over.is_some() && proof.is_none() {
            // What was decided under a lease is not written without one.
            return Err(SessionError::new(ErrorKind::LeaseLost));
        }
        let release = match &mut shared.state.lock().lease {
            LeaseState::Guard(held) => {
                held.last_write_begins();
                held.releases_with_write()
            }
            _ => false,
        };
        // Another awaited write of this same request may have gone before, or a system that takes no lock.
        let merge = |record: &Record, rule| shared.merged(&changes, record, epoch, rule);
        let own = Shown::new(&shared, proof);
        let write =
            Write { known: &known, lease: proof, own: &own, release, kind: WriteKind::Awaited, slide };
        let landed = shared.engine().commit(write, None, merge).await;
        match &landed {
            Ok(Landed::Unchanged) => self.finish(false),
            Ok(landed) => {
                if let LeaseState::Guard(held) = &mut shared.state.lock().lease {
                    held.last_write_landed(landed);
                }
                self.finish(release);
            }
            Err(error) => {
                let mut state = shared.state.lock();
                if let Some(held) = state.lease.held_mut() {
                    match error.kind() {
                        _ if error.leaves_doubt() => held.mark_unresolved(),
                        ErrorKind::LeaseLost => held.lose(),
                        ErrorKind::Gone | ErrorKind::Lost => held.nothing_to_release(),
                        _ => {}
                    }
                }
                drop(state);
                self.finish(false);
            }
        }
        shared.landed(&known, landed?, &changes)
    }

    /// Discards the changes and releases the lock. The same as dropping the guard, said aloud. One store call, which is
    /// not waited for.
    pub async fn rollback(mut self) {
        self.finish(false);
    }

    /// Starts the lease anew at its full length. It is renewed by itself while the guard is held; this is for code that
    /// wants to know that it still is. One store call.
    ///
    /// # Errors
    /// [`LeaseLost`](ErrorKind::LeaseLost) when it is not, [`Unavailable`](ErrorKind::Unavailable).
    pub async fn extend(&self) -> Result<(), SessionError> {
        let (proof, request) = {
            let state = self.shared.state.lock();
            match state.lease.held() {
                Some(held) => (held.proof(), held.extension()?),
                None => return Ok(()),
            }
        };
        let extended = self.shared.engine().extend(request).await;
        if let (Some(proof), Err(error)) = (proof, &extended)
            && error.kind() == ErrorKind::LeaseLost
        {
            self.shared.with_lease(proof, HeldLease::lose);
        }
        extended
    }

    fn finish(&mut self, released: bool) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let mut state = self.shared.state.lock();
        let lease = match std::mem::take(&mut state.lease) {
            LeaseState::Guard(mut held) => {
                if released {
                    held.nothing_to_release();
                }
                Some(held)
            }
            // The head gave back all that exclusive mode had then; nobody comes for it any more.
            LeaseState::GuardInMode(held) if state.phase != Phase::Handling => Some(held),
            LeaseState::GuardInMode(held) => {
                state.lease = LeaseState::Mode(held);
                None
            }
            LeaseState::GuardOnly => None,
            other => {
                state.lease = other;
                None
            }
        };
        drop(state);
        // Given back or on, outside the state's lock.
        drop(lease);
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.finish(false);
    }
}

impl std::fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LockGuard").field(&self.shared.state.lock().key()).finish()
    }
}

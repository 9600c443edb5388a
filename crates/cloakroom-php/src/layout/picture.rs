//! A step of the rules over sessions as PHP has them.
//!
//! Everything under the ids is seen at one moment, the rules of [`protocol`](cloakroom::store::protocol) decide on it, and the
//! changes are made if every value is still the same, to the byte. Else it is read and decided anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::record::Record;
use cloakroom::store::protocol::{Entry, Table};
use cloakroom::store::{StoreError, StoreErrorKind};
use cloakroom::{PlainId, StoreKey, UserId};
use rand::RngExt;

use super::ground::{Ground, Matter, Seen, View};
use super::store::Inner;
use crate::DecodeError;

/// So many sessions are followed from an id to its successors.
const LINE: usize = 20;

/// Sessions at one moment, and what they are to the rules.
pub(super) struct Picture {
    pub(super) view: View,
    entries: Vec<Result<Option<Entry>, DecodeError>>,
}

impl Picture {
    fn at(&self, key: &StoreKey) -> Option<usize> {
        self.view.sessions.iter().position(|seen| seen.id.key() == *key)
    }

    pub(super) fn seen(&self, key: &StoreKey) -> Option<(usize, &Seen)> {
        let at = self.at(key)?;
        Some((at, self.view.sessions.get(at)?))
    }

    /// The session under this id, where it is alive.
    pub(super) fn record(&self, at: usize) -> Option<&Arc<Record>> {
        match self.entries.get(at) {
            Some(Ok(Some(Entry::Live { record, .. }))) => Some(record),
            _ => None,
        }
    }

    fn is_locked_by_others(&self) -> bool {
        self.view.sessions.iter().any(|seen| seen.lock.as_ref().is_some_and(|held| !held.ours))
    }
}

/// Why the rules stopped.
pub(super) enum Stop {
    /// They looked for a session that was not read.
    Unread(StoreKey),
    Unreadable(DecodeError),
    NoIndex,
}

/// The entries of a picture, and what is put over them.
pub(super) struct Drafts<'p> {
    picture: &'p Picture,
    puts: Vec<(StoreKey, Entry)>,
}

impl Drafts<'_> {
    /// PHP's value, as it was seen.
    pub(super) fn value(&self, key: &StoreKey) -> Option<&[u8]> {
        self.picture.seen(key).and_then(|(_, seen)| seen.data.as_deref())
    }
}

impl Table for Drafts<'_> {
    type Error = Stop;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Stop> {
        if let Some((_, entry)) = self.puts.iter().find(|(put, _)| put == key) {
            return Ok(Some(entry.clone()));
        }
        let entry = self.picture.at(key).and_then(|at| self.picture.entries.get(at));
        entry.ok_or(Stop::Unread(*key))?.clone().map_err(Stop::Unreadable)
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Stop> {
        if self.picture.at(key).is_none() {
            return Err(Stop::Unread(*key));
        }
        self.puts.retain(|(put, _)| put != key);
        self.puts.push((*key, entry));
        Ok(())
    }

    fn keys_of(&mut self, _: &UserId) -> Result<Vec<StoreKey>, Stop> {
        Err(Stop::NoIndex)
    }
}

/// What a step is about.
#[derive(Clone, Copy)]
pub(super) struct About {
    pub(super) key: StoreKey,
    /// Another id that takes over the variables of the first.
    pub(super) heir: Option<StoreKey>,
    /// Wait a moment for whoever holds the lock.
    pub(super) patient: bool,
    /// How surely it is to be kept.
    pub(super) matter: Matter,
}

impl<G: Ground> Inner<G> {
    /// Runs a step of the rules. `made`: whether an answer says that something was made, which is then confirmed where the place does so.
    pub(super) async fn step<A: Send + Sync + 'static>(
        &self,
        about: About,
        rules: impl Fn(&mut Drafts<'_>, Timestamp) -> Result<A, Stop>,
        made: impl Fn(&A) -> bool,
    ) -> Result<A, StoreError> {
        let (began, deadline) = (Instant::now(), self.ground.deadline());
        let patience = began + deadline.saturating_duration_since(began) / 2;
        let mut ids = vec![self.id_of(&about.key)?];
        if let Some(heir) = &about.heir {
            ids.push(self.id_of(heir)?);
        }
        loop {
            let picture = self.look(deadline, &ids).await?;
            if about.patient && picture.is_locked_by_others() && Instant::now() < patience {
                pause(3..15).await;
                continue;
            }
            let mut drafts = Drafts { picture: &picture, puts: Vec::new() };
            let decided = rules(&mut drafts, picture.view.now);
            let puts = drafts.puts;
            match decided {
                Ok(answer) => {
                    let changes = self.changes(&picture, puts, &about.key)?;
                    // Nothing to change: it may have been made before, and not been confirmed to its end.
                    if changes.is_empty() && !(made(&answer) && self.ground.confirms(about.matter)) {
                        return Ok(answer);
                    }
                    let applied =
                        self.ground.apply(deadline, &self.layout, &picture.view, changes, about.matter);
                    match applied.await {
                        Ok(true) => return Ok(answer),
                        Ok(false) => {}
                        Err(error) if error.kind() != StoreErrorKind::Undurable => return Err(error),
                        Err(error) if made(&answer) => {
                            return Err(StoreError::undurable(error.to_string(), answer));
                        }
                        Err(_) => return Ok(answer),
                    }
                    if Instant::now() >= deadline {
                        return Err(self.unavailable(
                            "is asked for the same session by too many at once; nothing was done",
                        ));
                    }
                    pause(0..3).await;
                }
                // A successor: whoever is followed there is known by what the old id left behind.
                Err(Stop::Unread(key)) => self.follow(&mut ids, &key)?,
                Err(Stop::Unreadable(why)) => return Err(self.unreadable(&about.key, &why)),
                Err(Stop::NoIndex) => return Err(no_index()),
            }
        }
    }

    /// Runs rules that only look, over several sessions.
    pub(super) async fn inspect<A>(
        &self,
        keys: &[StoreKey],
        rules: impl Fn(&mut Drafts<'_>, Timestamp, &StoreKey) -> Result<A, Stop>,
    ) -> Result<Vec<A>, StoreError> {
        let deadline = self.ground.deadline();
        let mut ids = Vec::with_capacity(keys.len());
        for key in keys {
            let id = self.id_of(key)?;
            if !ids.iter().any(|known: &PlainId| known.key() == *key) {
                ids.push(id);
            }
        }
        'again: loop {
            let picture = self.look(deadline, &ids).await?;
            let mut answers = Vec::with_capacity(keys.len());
            for key in keys {
                let mut drafts = Drafts { picture: &picture, puts: Vec::new() };
                match rules(&mut drafts, picture.view.now, key) {
                    Ok(answer) => answers.push(answer),
                    Err(Stop::Unread(key)) => {
                        self.follow(&mut ids, &key)?;
                        continue 'again;
                    }
                    Err(Stop::Unreadable(why)) => return Err(self.unreadable(key, &why)),
                    Err(Stop::NoIndex) => return Err(no_index()),
                }
            }
            return Ok(answers);
        }
    }

    async fn look(&self, deadline: Instant, ids: &[PlainId]) -> Result<Picture, StoreError> {
        let view = self.ground.look(deadline, &self.layout, ids).await?;
        let entries = view.sessions.iter().map(|seen| self.entry(seen, view.now)).collect();
        Ok(Picture { view, entries })
    }

    /// One more id is looked at.
    fn follow(&self, ids: &mut Vec<PlainId>, key: &StoreKey) -> Result<(), StoreError> {
        match self.ids.resolve(key) {
            Some(id) if ids.len() < LINE && !ids.iter().any(|known| known.key() == *key) => ids.push(id),
            _ => return Err(self.unavailable("has a line of sessions without an end")),
        }
        Ok(())
    }

    fn id_of(&self, key: &StoreKey) -> Result<PlainId, StoreError> {
        self.moment.lock().refresh(key);
        self.ids.resolve(key).ok_or_else(|| {
            let why = format!("was asked for {key:?}, whose id no request holds any more");
            StoreError::new(StoreErrorKind::Refused, format!("the PHP layout {} {why}", self.layout.name()))
        })
    }

    fn unavailable(&self, why: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("{} {why}", self.ground.place()))
    }

    pub(super) fn unreadable(&self, key: &StoreKey, why: &DecodeError) -> StoreError {
        tracing::error!(target: "cloakroom", session = ?key, %why, "a session that PHP stored cannot be read");
        let what = format!(
            "a session that PHP stored in {} cannot be read: {why}; it was left as it is",
            self.ground.place()
        );
        StoreError::new(StoreErrorKind::Corrupt, what)
    }
}

async fn pause(millis: std::ops::Range<u64>) {
    let micros = rand::rng().random_range(millis.start * 1000..millis.end * 1000);
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

pub(super) fn no_index() -> StoreError {
    StoreError::new(
        StoreErrorKind::Refused,
        "a PHP layout keeps no list of a user's sessions: PHP's own logins would not be in it",
    )
}

//! Writing: buffered by the sync calls, stored by the awaited ones.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::in_hand::InHand;
use super::shared::{Identity, State};
use super::view::View;
use super::{Session, Shared};
use crate::error::{ErrorKind, SessionError};
use crate::key::{self, KeyOf};

impl Session {
    /// Sets `key`, buffered. Makes a session at the commit if there is none yet.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// session.set("theme", "dark")?; // stored with the rest, before the response leaves
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge), [`InvalidKey`](ErrorKind::InvalidKey), [`Encode`](ErrorKind::Encode): the
    /// value is then not readable afterwards either. [`HeadSent`](ErrorKind::HeadSent) when a session would have to be
    /// started after the response's head.
    pub fn set<T: Serialize>(&self, key: impl KeyOf<T>, value: T) -> Result<(), SessionError> {
        self.0.set(key.name(), &value)
    }

    /// Removes `key`, buffered. Removing what is not there is fine.
    ///
    /// # Errors
    /// [`InvalidKey`](ErrorKind::InvalidKey); [`Unavailable`](ErrorKind::Unavailable) in an anonymous fallback.
    pub fn remove(&self, key: &str) -> Result<(), SessionError> {
        self.0.check_key(key)?;
        let mut state = self.0.state.lock();
        state.check_writable_or_nothing()?;
        if state.view.peek(key).is_some() || state.known().is_some() {
            state.view.remove(key);
        }
        Ok(())
    }

    /// Reads `key` and removes it, buffered: a read and a write.
    ///
    /// # Errors
    /// [`Decode`](ErrorKind::Decode): the value then stays. And those of [`remove`](Session::remove).
    pub fn take<T: DeserializeOwned>(&self, key: impl KeyOf<T>) -> Result<Option<T>, SessionError> {
        let taken = self.get::<T>(key.name())?;
        if taken.is_some() {
            self.remove(key.name())?;
        }
        Ok(taken)
    }

    /// Removes everything, buffered. The session itself, its id and its user stay; [`destroy`](Session::destroy) ends it.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) in an anonymous fallback.
    pub fn clear(&self) -> Result<(), SessionError> {
        let mut state = self.0.state.lock();
        state.check_writable_or_nothing()?;
        if state.known().is_some() || !state.view.lent.is_empty() {
            state.view.clear();
        } else {
            state.view.discard_changes();
        }
        Ok(())
    }

    /// Sets `key`, stored when it returns. Other buffered changes stay buffered; where it fails, one of `key` does too, and
    /// is what the request's commit stores: also after [`Unknown`](ErrorKind::Unknown), when the store may hold `value`
    /// until then. Where another call of the request is storing what was buffered under `key` before, it comes after that. One store
    /// call when nobody interferes.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// session.put("step", 3).await?; // stored now
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Gone`](ErrorKind::Gone) when the session ended meanwhile, [`Conflict`](ErrorKind::Conflict) when this request
    /// read the key before and another one changed it since, or another task of this one, [`TooLarge`](ErrorKind::TooLarge),
    /// [`InvalidKey`](ErrorKind::InvalidKey), [`Encode`](ErrorKind::Encode),
    /// [`LockTimeout`](ErrorKind::LockTimeout) when somebody holds the lock for too long, and what the store can fail with.
    pub async fn put<T: Serialize>(&self, key: impl KeyOf<T>, value: T) -> Result<(), SessionError> {
        let key = key.name();
        self.0.check_key(key)?;
        let value = self.0.engine().settings.codec.encode(&value)?;
        let take = |state: &mut State| {
            let consumed = InHand::change(&self.0, state, key);
            (state.view.awaited(key, Some(value)), consumed)
        };
        let (aim, (mut changes, consumed)) = self.0.aim_at_key(key, take).await?;
        if let Some(consumed) = &consumed {
            changes.rest_on(consumed.changes());
        }
        self.0.write(aim, changes, consumed).await
    }

    /// Reads `key`, applies `f`, stores the result: atomically, so that N concurrent increments add N.
    ///
    /// `f` is run again on the fresh value when another request was quicker; keep it free of side effects. Returns what
    /// was stored. A buffered change of the same key is applied first; where the update fails, it stays buffered. One store
    /// call when nobody interferes.
    ///
    /// ```
    /// # use cloakroom::{Session, SessionError};
    /// # async fn handler(session: Session) -> Result<(), SessionError> {
    /// let items = session
    ///     .update("basket", |basket: Option<Vec<String>>| {
    ///         let mut basket = basket.unwrap_or_default();
    ///         basket.push("hat".to_owned());
    ///         basket
    ///     })
    ///     .await?;
    /// assert!(items.contains(&"hat".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) only where a buffered change of the same key rests on a value that another request
    /// has changed; [`Decode`](ErrorKind::Decode) when what is stored is not a `T`, [`Encode`](ErrorKind::Encode),
    /// [`TooLarge`](ErrorKind::TooLarge) and [`InvalidKey`](ErrorKind::InvalidKey), which all change nothing;
    /// [`Gone`](ErrorKind::Gone) when the session ended meanwhile, [`LockTimeout`](ErrorKind::LockTimeout) when somebody
    /// holds the lock for too long, and what the store can fail with.
    pub async fn update<T, F>(&self, key: impl KeyOf<T>, f: F) -> Result<T, SessionError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnMut(Option<T>) -> T + Send,
    {
        let key = key.name();
        self.0.check_key(key)?;
        let (aim, consumed) = self.0.aim_at_key(key, |state| InHand::change(&self.0, state, key)).await?;
        self.0.update(aim, key, consumed, f).await
    }

    /// Adds `by` to the whole number under `key` (0 where there is none), atomically; returns the sum. It stays at the
    /// ends of the range instead of wrapping. One store call when nobody interferes.
    ///
    /// # Errors
    /// As [`update`](Session::update).
    pub async fn increment(&self, key: impl KeyOf<i64>, by: i64) -> Result<i64, SessionError> {
        self.update(key.name(), |n: Option<i64>| n.unwrap_or(0).saturating_add(by)).await
    }

    /// Commits what is buffered, now. One store call, none when nothing changed.
    ///
    /// What another call of the request, or its commit before the head or at the body's end, has taken along and is storing is
    /// waited for, and answered for as well: it is [`Unknown`](ErrorKind::Unknown) where that takes longer than a commit may, or
    /// is kept by the task that waits, without being polled.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), [`TooLarge`](ErrorKind::TooLarge), and what the store can fail with: what was
    /// buffered is then discarded. Changes of a session that ended meanwhile are [`Gone`](ErrorKind::Gone). A future that is dropped
    /// before it is done discards nothing: what it did not store is what the request's commit stores.
    ///
    /// In a task that outlives the handler: what was buffered goes with a response that failed, a client that hung up or a
    /// body that was cut, and a later `save` or [`lock`](Session::lock) is [`HeadSent`](ErrorKind::HeadSent); where the
    /// commit before the head was refused, it is what that one was. Until [`reload`](Session::reload) starts anew.
    pub async fn save(&self) -> Result<(), SessionError> {
        self.0.save().await
    }

    /// Discards what is buffered and reads the record again. One store call.
    ///
    /// # Errors
    /// [`Gone`](ErrorKind::Gone) when the session ended meanwhile, [`Unavailable`](ErrorKind::Unavailable).
    pub async fn reload(&self) -> Result<(), SessionError> {
        self.0.reload().await
    }

    /// Gives the lease of exclusive mode back early, after `save`; PHP's `session_write_close`. The session then goes
    /// on in merge mode. Nothing happens without such a lease.
    pub fn release(&self) {
        let lease = self.0.state.lock().take_mode_lease();
        drop(lease);
    }
}

/// Checked here, where the handler can still answer otherwise, and once more on the merged record.
pub(super) fn check_room(view: &View, key: &str, value: &[u8], limit: usize) -> Result<(), SessionError> {
    let bytes = view.size_with(key, value, limit);
    if bytes <= limit {
        return Ok(());
    }
    let text = format!("the session would take {bytes} bytes, at most {limit} are allowed");
    Err(SessionError::because(ErrorKind::TooLarge, text))
}

impl State {
    /// As [`check_writable`](State::check_writable), for changes that make no session.
    fn check_writable_or_nothing(&self) -> Result<(), SessionError> {
        match &self.identity {
            Identity::Nobody => Ok(()),
            _ => self.check_writable(),
        }
    }
}

impl Shared {
    pub(super) fn check_key(&self, name: &str) -> Result<(), SessionError> {
        key::check(name, self.engine().settings.limits.key_bytes)
    }

    pub(super) fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), SessionError> {
        self.check_key(key)?;
        let value = self.engine().settings.codec.encode(value)?;
        let mut state = self.state.lock();
        state.check_writable()?;
        let limits = &self.engine().settings.limits;
        let known = state.view.peek(key).is_some();
        if !known && state.view.count_at_least(limits.keys) {
            return Err(SessionError::because(
                ErrorKind::TooLarge,
                format!("the session holds {} keys already, as many as are allowed", limits.keys),
            ));
        }
        check_room(&state.view, key, &value, limits.session_bytes)?;
        state.view.set(key, value);
        Ok(())
    }
}

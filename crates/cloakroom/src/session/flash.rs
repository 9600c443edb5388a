//! Flash messages: shown once, on whichever response comes next.
//!
//! Each message is an entry of its own under a random key, so that appending never conflicts with appending, and showing
//! one removes exactly that one. Shown by two requests at the same moment, it shows twice; it is never lost and never a
//! conflict.

use rand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Session;
use super::reading::Encoded;
use super::writing::check_room;
use crate::error::SessionError;

/// Reserved prefix of the entries.
const PREFIX: &str = "\0flash:";

impl Session {
    /// Adds a message, buffered. It survives redirects until it is shown. Beyond
    /// [`Limits::flashes`](crate::Limits::flashes) the oldest gives way, unless the message is refused.
    ///
    /// # Errors
    /// [`Encode`](crate::ErrorKind::Encode), [`TooLarge`](crate::ErrorKind::TooLarge), and those of
    /// [`set`](Session::set).
    pub fn flash<T: Serialize>(&self, message: T) -> Result<(), SessionError> {
        let settings = &self.0.engine().settings;
        let value = settings.codec.encode(&message)?;
        let mut state = self.0.state.lock();
        state.check_writable()?;
        let waiting: Vec<String> =
            state.view.keys().filter(|k| k.starts_with(PREFIX)).map(str::to_owned).collect();
        let excess = (waiting.len() + 1).saturating_sub(settings.limits.flashes.max(1));
        // Aside, because nothing gives way to a message that is refused.
        let mut view = state.view.clone();
        for oldest in waiting.iter().take(excess) {
            view.remove(oldest);
        }
        let key = format!("{PREFIX}{:016x}", rand::rng().next_u64());
        check_room(&view, &key, &value, settings.limits.session_bytes)?;
        view.set(&key, value);
        state.view = view;
        Ok(())
    }

    /// The waiting messages, oldest first, which are thereby shown: a later request does not get them.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) when one is not a `T`; all of them then keep waiting.
    pub fn flashes<T: DeserializeOwned>(&self) -> Result<Vec<T>, SessionError> {
        let codec = self.0.engine().settings.codec;
        let waiting: Vec<(String, Encoded)> = {
            let state = self.0.state.lock();
            let keys = state.view.keys().filter(|k| k.starts_with(PREFIX));
            keys.filter_map(|k| Some((k.to_owned(), Encoded::from_slice(state.view.peek(k)?)))).collect()
        };
        // Decoded when the state is not locked: a message's `Deserialize` may ask for the session.
        let messages: Result<Vec<T>, _> = waiting.iter().map(|(_, bytes)| codec.decode(bytes)).collect();
        let messages = messages?;
        let mut state = self.0.state.lock();
        for (key, _) in &waiting {
            state.view.remove(key);
        }
        Ok(messages)
    }

    /// Takes back what [`flashes`](Session::flashes) did in this request: the messages wait for the next one as well.
    pub fn keep_flashes(&self) {
        self.0.state.lock().view.undo_removals(PREFIX);
    }
}

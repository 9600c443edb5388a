//! Names of values in a session.

use std::fmt;
use std::marker::PhantomData;

use crate::error::{ErrorKind, SessionError};

/// Reserved for the engine: flash messages. No application key can begin with it.
const RESERVED: char = '\0';

/// Whether an entry is the engine's: to the application it is not there.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// A key that knows the type of its value.
///
/// It serves wherever a `&str` does. Code that names a value by one constant only cannot write one type and read another;
/// a string of the same spelling, or a second constant, still can.
///
/// ```
/// use cloakroom::Key;
/// const VISITS: Key<u64> = Key::new("visits");
/// assert_eq!(VISITS.name(), "visits");
/// ```
pub struct Key<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// A key of this name.
    pub const fn new(name: &'static str) -> Self {
        Key { name, of: PhantomData }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.name)
    }
}

/// What names a value of type `T`: a [`Key<T>`], or a string for any `T`.
pub trait KeyOf<T> {
    /// The name.
    fn name(&self) -> &str;
}

impl<T> KeyOf<T> for Key<T> {
    fn name(&self) -> &str {
        self.name
    }
}

impl<T> KeyOf<T> for &Key<T> {
    fn name(&self) -> &str {
        self.name
    }
}

impl<T> KeyOf<T> for &str {
    fn name(&self) -> &str {
        self
    }
}

impl<T> KeyOf<T> for &String {
    fn name(&self) -> &str {
        self
    }
}

/// Checks a name before it is written under.
pub(crate) fn check(name: &str, max_len: usize) -> Result<(), SessionError> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(SessionError::new(ErrorKind::InvalidKey));
    }
    if name.len() > max_len {
        return Err(SessionError::because(
            ErrorKind::TooLarge,
            format!("a key of {} bytes, at most {max_len} are allowed", name.len()),
        ));
    }
    Ok(())
}

use std::fmt;
use std::sync::Arc;

/// The application's name for a user, as given to `login`: at most [`UserId::MAX_LEN`] bytes, not empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Longest accepted name, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Checks the length and takes the name over.
    ///
    /// Returns `None` when the name is empty or longer than [`UserId::MAX_LEN`] bytes.
    pub fn new(name: &str) -> Option<Self> {
        (!name.is_empty() && name.len() <= Self::MAX_LEN).then(|| UserId(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", self.as_str())
    }
}

use std::error::Error;
use std::fmt;

/// Why a store could not answer. Refusals that are part of the protocol (a conflict, a lease) are *answers*, not
/// errors: see the outcome types.
///
/// The text must hold no id, key, value or credential: it reaches logs.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What kind of trouble a store is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Did not happen: the store is away, busy past its deadline, read-only, or its disk is full.
    Unavailable,
    /// May or may not have happened: the answer was lost. The engine reads back.
    Unknown,
    /// What is stored cannot be understood. It is left as it is.
    Corrupt,
    /// Did not happen, and will not: the system that these sessions are shared with cannot carry what was to be written, or
    /// has no way to do what was asked for. The text says why.
    Refused,
    /// The store is at its configured bound and takes no *new* sessions.
    Full,
}

impl StoreError {
    /// An error of this kind, with a sentence that says what was being done and what to do about it.
    pub fn new(kind: StoreErrorKind, what: impl Into<String>) -> Self {
        StoreError { kind, what: what.into(), source: None }
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// As the outcome of a write that was asked for before and not answered then: that it is refused now says nothing about
    /// whether it was made before.
    #[must_use]
    pub(crate) fn in_doubt(mut self) -> Self {
        self.kind = StoreErrorKind::Unknown;
        self.what.push_str("; an earlier try was not answered, and may have done it");
        self
    }

    /// What kind of trouble.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

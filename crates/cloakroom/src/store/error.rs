use std::any::Any;
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
    /// What was answered to what was done all the same.
    made: Option<Made>,
}

struct Made(Box<dyn Any + Send + Sync>);

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer")
    }
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
    /// It happened, and is kept in fewer places than the store was told to wait for: what befalls those may undo it. Asked again
    /// under its operation id, it is waited for anew. Made by [`StoreError::undurable`] only.
    Undurable,
    /// The store is at its configured bound and takes no *new* sessions.
    Full,
}

impl StoreError {
    /// An error of this kind, with a sentence that says what was being done and what to do about it.
    pub fn new(kind: StoreErrorKind, what: impl Into<String>) -> Self {
        StoreError { kind, what: what.into(), source: None, made: None }
    }

    /// It happened, with this answer, and is kept in fewer places than the store was told to wait for. The answer is the one that the
    /// call would have had: a [`Committed`](super::Committed), a [`Renamed`](super::Renamed).
    pub fn undurable<A: Any + Send + Sync>(what: impl Into<String>, answer: A) -> Self {
        let made = Some(Made(Box::new(answer)));
        StoreError { kind: StoreErrorKind::Undurable, what: what.into(), source: None, made }
    }

    /// The answer to what happened all the same, taken out: of an [`Undurable`](StoreErrorKind::Undurable) error to a call that has such
    /// answers.
    pub fn take_made<A: Any>(&mut self) -> Option<A> {
        match self.made.take()?.0.downcast() {
            Ok(answer) => Some(*answer),
            Err(other) => {
                self.made = Some(Made(other));
                None
            }
        }
    }

    /// Whether the same operation is to be asked for again: it has one effect however often it is.
    pub(crate) fn is_worth_asking_again(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unknown | StoreErrorKind::Undurable)
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
        // Of what was made, that is known.
        if self.kind != StoreErrorKind::Undurable {
            self.kind = StoreErrorKind::Unknown;
            self.what.push_str("; an earlier try was not answered or not confirmed, and may have done it");
        }
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

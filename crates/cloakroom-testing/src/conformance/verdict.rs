use std::fmt;
use std::panic::Location;

use cloakroom::store::StoreError;

/// What a case found wrong, and on which line of the suite.
#[derive(Debug)]
pub struct Failure {
    what: String,
    at: &'static Location<'static>,
}

/// What a case comes to.
pub(crate) type Verdict<T = ()> = Result<T, Failure>;

impl Failure {
    #[track_caller]
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Failure { what: what.into(), at: Location::caller() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.what, self.at.file(), self.at.line())
    }
}

impl std::error::Error for Failure {}

impl From<StoreError> for Failure {
    #[track_caller]
    fn from(error: StoreError) -> Self {
        Failure::new(format!("the store answered with an error: {:?}: {error}", error.kind()))
    }
}

impl From<tokio::task::JoinError> for Failure {
    #[track_caller]
    fn from(error: tokio::task::JoinError) -> Self {
        Failure::new(format!("a task of the case did not finish: {error}"))
    }
}

/// Ends the case unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::conformance::verdict::Failure::new(format!($($text)+)));
        }
    };
}

/// Ends the case unless both are equal.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($text:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    return Err($crate::conformance::verdict::Failure::new(format!(
                        "{}: expected {expected:?}, found {found:?}",
                        format_args!($($text)+),
                    )));
                }
            }
        }
    };
}

/// Takes a value out of the expected variant, or ends the case.
macro_rules! expect {
    ($answer:expr, $pattern:pat $(if $guard:expr)? => $value:expr) => {
        match $answer {
            $pattern $(if $guard)? => $value,
            other => {
                return Err($crate::conformance::verdict::Failure::new(format!(
                    "expected {}, the answer was {other:?}",
                    concat!(stringify!($pattern) $(, " if ", stringify!($guard))?),
                )));
            }
        }
    };
    ($answer:expr, $pattern:pat $(if $guard:expr)?) => {
        expect!($answer, $pattern $(if $guard)? => ())
    };
}

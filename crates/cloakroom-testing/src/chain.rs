//! The whole of an error.

use std::error::Error;

/// Everything an error says, with what lies underneath it: what a log would show.
///
/// ```
/// use cloakroom_testing::chain;
///
/// let error = std::io::Error::other("no room");
/// assert_eq!(chain(&error), "no room");
/// ```
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text} <- {error}");
        source = error.source();
    }
    text
}

//! Settings that are one word out of a few.

/// A setting that is none of the words it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?}: expected one of {accepted}")]
pub struct UnknownWord {
    /// What was found instead.
    pub found: String,
    /// The words it may be, separated by commas.
    pub accepted: String,
}

/// The value that goes by this word, in any case.
pub(crate) fn pick<T: Copy>(word: &str, words: &[(&str, T)]) -> Result<T, UnknownWord> {
    words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, value)| *value).ok_or_else(
        || {
            let accepted: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
            UnknownWord { found: word.to_owned(), accepted: accepted.join(", ") }
        },
    )
}

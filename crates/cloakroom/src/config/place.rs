//! Where a value came from.

use std::fmt;
use std::sync::Arc;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Nobody set it.
    Default,
    /// A file.
    File {
        /// As it was named to the reader.
        name: Arc<str>,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
}

impl Place {
    /// The place of byte `offset` in a file's text.
    pub(super) fn in_file(name: &Arc<str>, text: &str, offset: usize) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            name: Arc::clone(name),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }

    /// Places of one file in their order.
    pub(super) fn offset(&self) -> (usize, usize) {
        match self {
            Place::File { line, column, .. } => (*line, *column),
            _ => (0, 0),
        }
    }

    pub(super) fn variable(name: &str) -> Self {
        Place::Environment { variable: name.to_owned() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Default => f.write_str("default"),
            Place::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Place::Environment { variable } => write!(f, "environment variable {variable}"),
        }
    }
}

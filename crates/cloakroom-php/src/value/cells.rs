//! Cells, only where values are told by their numbers.

use crate::error::{DecodeError, DecodeErrorKind as Wrong};

/// Reads without cells, which most payloads do without, and once more with one for each value where that says `None`: something is told by its number.
pub(crate) fn with_cells_where_needed<T>(
    read: impl Fn(bool) -> Result<Option<T>, DecodeError>,
) -> Result<T, DecodeError> {
    match read(false)? {
        Some(done) => Ok(done),
        // Cells are given from the start, so that they are never wanted a second time.
        None => read(true)?.ok_or_else(|| DecodeError::new(Wrong::BackReference, 0)),
    }
}

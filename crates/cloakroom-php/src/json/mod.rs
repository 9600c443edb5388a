//! JSON as PHP's [`json_encode`](https://www.php.net/manual/en/function.json-encode.php) and `json_decode($json, true)` have it.

mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::write;

/// PHP's own limit, in both directions.
const DEPTH: usize = 512;

//! Rust types from PHP values, and PHP values from Rust types.
//!
//! | PHP | Rust |
//! |---|---|
//! | `null` | `None`, `()` |
//! | integer, double, boolean | the same; an integer also where a float is asked for |
//! | string | `String`, `&str` if UTF-8; bytes otherwise |
//! | array with integer keys | `Vec`, tuples, in PHP's order; gaps, as `unset` leaves them, are closed |
//! | array, object | structs and maps; an object's properties by their plain names |
//! | string, enum case | a unit variant |
//! | array of one element `variant => value` | other variants |
//!
//! Nothing else is converted: PHP's `"5"` is no number.

mod copy;
mod de;
mod ser;

/// How deep a conversion follows a PHP value: each level takes some of the thread's stack.
pub(crate) const DEPTH: u32 = 128;

pub use de::{from_value, from_value_seed};
pub(crate) use ser::append;

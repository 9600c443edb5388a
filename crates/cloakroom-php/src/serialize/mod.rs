//! The grammar of [`serialize()`](https://www.php.net/manual/en/function.serialize.php), which three of PHP's session formats share.

mod check;
mod float;
mod read;
mod write;

#[cfg(feature = "laravel")]
pub(crate) use float::write as write_float;
pub(crate) use read::{BackReference, Reader};
pub(crate) use write::Writer;

//! The grammar of [`serialize()`](https://www.php.net/manual/en/function.serialize.php), which three of PHP's session formats share.

mod back;
mod check;
mod cursor;
mod float;
mod opaque;
mod read;
mod skim;
mod write;

pub(crate) use back::BackReference;
pub(crate) use check::Check;
pub(crate) use cursor::Cursor;
#[cfg(feature = "laravel")]
pub(crate) use float::write as write_float;
pub(crate) use read::Reader;
pub(crate) use skim::TextSkim;
pub(crate) use write::Writer;

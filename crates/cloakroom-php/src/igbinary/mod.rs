//! [igbinary](https://www.php.net/manual/en/book.igbinary.php), version 2; version 1 is read.
//!
//! Big-endian, a byte of type before each value, strings and arrays that came before by number.

mod check;
mod cursor;
mod one;
mod read;
mod skim;
mod strings;
mod write;

pub(crate) use check::is;
pub(crate) use one::one;
pub(crate) use read::{read, repeats_strings};
pub(crate) use write::write;

/// The bytes that begin a value.
mod tag {
    pub(super) const NULL: u8 = 0x00;
    pub(super) const BACK: u8 = 0x01;
    pub(super) const FALSE: u8 = 0x04;
    pub(super) const TRUE: u8 = 0x05;
    pub(super) const INT: u8 = 0x06;
    pub(super) const FLOAT: u8 = 0x0c;
    pub(super) const EMPTY: u8 = 0x0d;
    pub(super) const STRING_ID: u8 = 0x0e;
    pub(super) const STRING: u8 = 0x11;
    pub(super) const ARRAY: u8 = 0x14;
    pub(super) const OBJECT: u8 = 0x17;
    pub(super) const OBJECT_ID: u8 = 0x1a;
    pub(super) const DATA: u8 = 0x1d;
    pub(super) const INT64: u8 = 0x20;
    pub(super) const OBJECT_BACK: u8 = 0x22;
    pub(super) const REFERENCE: u8 = 0x25;
    pub(super) const STRING64: u8 = 0x26;
    pub(super) const ENUM: u8 = 0x27;
}

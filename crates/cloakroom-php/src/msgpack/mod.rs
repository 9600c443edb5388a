//! The format of PHP's [msgpack extension](https://pecl.php.net/package/msgpack): MessagePack, with maps whose first keys are nil for what
//! MessagePack has no words for.
//!
//! | first pairs | meaning |
//! |---|---|
//! | `nil => 1` | the place is a PHP reference; so is the session itself |
//! | `nil => "Class"` | an object, whose properties follow |
//! | `nil => "Class", nil => […]` | an object, and what its `__serialize` returned |
//! | `nil => 3, "Class" => "data"` | `Serializable` data |
//! | `nil => 2, 4 or 5, 0 => id` | what came before under this number |
//!
//! The extension counts wrongly where it writes the last of these, so a payload that has one can be read and not changed.

mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::write;

/// PHP's extension drops what is nested deeper.
pub(crate) const DEPTH: usize = 1023;

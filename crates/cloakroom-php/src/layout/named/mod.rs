//! The layouts, each as its application has it without further settings.

mod phalcon;
mod phpredis;
mod uma;

use super::scheme::Layout;

/// How a layout begins.
type Begin = fn() -> Layout;

/// All of them, by name.
pub(super) const ALL: &[(&str, Begin)] =
    &[("phpredis", Layout::phpredis), ("uma", Layout::uma), ("phalcon", Layout::phalcon)];

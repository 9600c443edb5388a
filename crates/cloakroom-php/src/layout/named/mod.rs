//! The layouts, each as its application has it without further settings.

mod phpredis;

use super::scheme::Layout;

/// How a layout begins.
type Begin = fn() -> Layout;

/// All of them, by name.
pub(super) const ALL: &[(&str, Begin)] = &[("phpredis", Layout::phpredis)];

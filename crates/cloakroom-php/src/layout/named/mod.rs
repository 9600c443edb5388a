//! The layouts, each as its application has it without further settings.

#[cfg(feature = "amp")]
mod amp;
#[cfg(feature = "laravel")]
mod laravel;
mod mini;
mod phalcon;
mod php_files;
mod phpredis;
mod resonance;
mod symfony;
mod uma;

#[cfg(feature = "laravel")]
pub use laravel::LaravelApp;

use super::scheme::Layout;

/// How a layout begins.
type Begin = fn() -> Layout;

/// All of them, by name.
pub(super) const ALL: &[(&str, Begin)] = &[
    ("phpredis", Layout::phpredis),
    ("php-files", Layout::php_files),
    ("uma", Layout::uma),
    ("phalcon", Layout::phalcon),
    #[cfg(feature = "amp")]
    ("amp", Layout::amp),
    #[cfg(feature = "amp")]
    ("phenix", Layout::phenix),
    ("resonance", Layout::resonance),
    ("mini", Layout::mini),
    ("symfony", Layout::symfony),
    ("symfony-phpredis", Layout::symfony_phpredis),
];

/// Those that a name is not enough for.
pub(super) const WITH_A_KEY: &[&str] = &["laravel"];

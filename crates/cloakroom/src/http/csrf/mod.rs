//! Cross-site request forgery: is it the visitor's own page that asks, or another site through the visitor's browser?
//!
//! What the browser says about itself comes first ([`origin`]: fetch metadata, then `Origin`); a token that only the
//! own pages know ([`token`]) decides where the browser says nothing.

pub(crate) mod form;
pub(crate) mod origin;
pub(crate) mod token;
pub(crate) mod trusted_origins;

pub(crate) use origin::{Asked, Verdict, check};
pub(crate) use token::{issue, verify};

//! The session cookie: reading it from a request, and the attributes it is sent with.

mod config;
mod error;
pub(crate) mod format;
pub(crate) mod policy;
pub(crate) mod scan;

pub use config::{CookieConfig, CookieLifetime, SameSite, Secure};
pub use error::CookieError;
pub use policy::CookiePolicy;

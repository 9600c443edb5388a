//! What of a session can be seen in HTTP: cookies, caching, who is asking, cross-site requests.
//!
//! Plain functions over the `http` crate's types. No framework, no store, no `async`; none of them panics,
//! whatever the bytes, and reading a request allocates nothing.
//!
//! | module | question it answers |
//! |---|---|
//! | [`transport`] | which ids does this request bring, and how is a new one told? |
//! | [`cookie`] | how is the `Cookie` header read, and `Set-Cookie` written? |
//! | [`security`] | did the visitor come over TLS, and from which address? |
//! | [`csrf`] | is it the visitor who asks, or another site through the visitor's browser? |
//! | [`cache_limiter`], [`vary`] | what may caches keep of this response? |
//! | [`fields`] | is there such a field? |

pub(crate) mod cache_control;
pub(crate) mod cache_limiter;
pub(crate) mod cookie;
pub(crate) mod csrf;
pub(crate) mod fields;
pub(crate) mod forwarded;
pub(crate) mod security;
pub(crate) mod transport;
pub(crate) mod trusted_proxies;
pub(crate) mod vary;
pub(crate) mod word;

#[cfg(test)]
mod tests;

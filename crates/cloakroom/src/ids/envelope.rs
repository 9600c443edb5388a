//! What an id is in on its way to the client and back, where the other system does not send it as it is.

use std::fmt;

/// Puts an id into what the client is told, and takes it out again.
///
/// For systems that encrypt or sign their cookies. It stands between the client and everything else: what does not open is no id, and nothing is
/// looked up for it; whoever presented it is a visitor without a session.
///
/// An implementation compares whatever is secret in constant time, and shows no secret in `Debug`.
pub trait IdEnvelope: fmt::Debug + Send + Sync + 'static {
    /// The id in what a client presented under this name of the cookie. `None` unless [`seal`](Self::seal), or the other system, made it under this name.
    ///
    /// `presented` is what anybody on the internet likes to send, up to 64 KiB.
    fn open(&self, cookie: &str, presented: &[u8]) -> Option<Vec<u8>>;

    /// What the client is told in place of the id. `None` where it cannot be made; that is logged, and the client is told nothing.
    fn seal(&self, cookie: &str, id: &str) -> Option<String>;
}

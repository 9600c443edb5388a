//! What went wrong between us and the server, as the engine understands it.
//!
//! No text of the server's own is passed on: it may repeat arguments, and those are keys and data. Its code, the first word
//! of an error, says which of a few sentences fits.

use std::io;

use cloakroom::store::{StoreError, StoreErrorKind};
use redis::RedisError;

use crate::layout::Malformed;
use crate::permissions;

/// Whether a call that was sent and not answered may have had an effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    Reads,
    Writes,
}

/// The server answered that it will not: nothing was done.
pub(crate) fn refused(place: &str, code: &str) -> StoreError {
    let (kind, why) = match code {
        "LOADING" => (StoreErrorKind::Unavailable, "is loading its data: it answers when that is done"),
        "OOM" => (
            StoreErrorKind::Full,
            "is at its `maxmemory` and evicts nothing: give it more memory, or sessions a shorter life",
        ),
        "READONLY" => (
            StoreErrorKind::Unavailable,
            "is a replica and takes no writes: name the primary, or wait for the failover to end",
        ),
        "MASTERDOWN" => (StoreErrorKind::Unavailable, "is a replica that has lost its primary"),
        "MISCONF" => (
            StoreErrorKind::Unavailable,
            "cannot save its data and takes no writes: see its log, and `stop-writes-on-bgsave-error`",
        ),
        "NOREPLICAS" => {
            (StoreErrorKind::Unavailable, "has fewer replicas than `min-replicas-to-write` asks for")
        }
        "BUSY" => (StoreErrorKind::Unavailable, "is busy with somebody's script"),
        "NOAUTH" => (StoreErrorKind::Unavailable, "asks for a password: give the connection one"),
        "WRONGPASS" => (StoreErrorKind::Unavailable, "does not accept the user and password it was given"),
        "NOPROTO" => (StoreErrorKind::Unavailable, "does not speak RESP3: Redis 7 or later is needed"),
        "WRONGTYPE" => {
            (StoreErrorKind::Corrupt, "holds something under a key of ours that we did not store there")
        }
        "CROSSSLOT" => (StoreErrorKind::Unavailable, "keeps these keys in different slots of a cluster"),
        "MOVED" | "ASK" | "CLUSTERDOWN" | "TRYAGAIN" => (
            StoreErrorKind::Unavailable,
            "is a node of a cluster: name it with redis-cluster:// for redis://",
        ),
        _ => (StoreErrorKind::Unavailable, "refused a command"),
    };
    let known = code.len() <= 20 && code.bytes().all(|b| b.is_ascii_uppercase());
    let code = if known { code } else { "ERR" };
    StoreError::new(kind, format!("{place} {why} ({code})"))
}

/// A call that was sent and not answered.
pub(crate) fn unanswered(place: &str, effect: Effect, how: &str) -> StoreError {
    match effect {
        Effect::Reads => StoreError::new(StoreErrorKind::Unavailable, format!("{place} {how}")),
        Effect::Writes => {
            let what = format!("{place} {how} while it was asked to write; it may have done it");
            StoreError::new(StoreErrorKind::Unknown, what)
        }
    }
}

/// Nothing was sent.
pub(crate) fn unavailable(place: &str, why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("{place} {why}"))
}

/// What is stored cannot be read.
pub(crate) fn corrupt(place: &str, Malformed(what): Malformed) -> StoreError {
    let what = format!("a session in {place} is malformed in its {what}; it was left as it is");
    StoreError::new(StoreErrorKind::Corrupt, what)
}

/// The answer is none that a script of ours gives.
pub(crate) fn strange(place: &str, effect: Effect) -> StoreError {
    let kind = match effect {
        Effect::Reads => StoreErrorKind::Unavailable,
        Effect::Writes => StoreErrorKind::Unknown,
    };
    StoreError::new(kind, format!("{place} gave an answer that makes no sense: is it Redis or Valkey?"))
}

/// Why a socket was not opened.
pub(crate) fn unreachable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
            "cannot be reached: nobody listens there; is the server running?".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "cannot be reached: this process may not use its socket".to_owned()
        }
        _ => "cannot be reached".to_owned(),
    }
}

/// Why a login failed on a connection that was made.
pub(crate) fn no_login(error: &RedisError, tls: bool) -> String {
    use redis::ErrorKind;
    if let Some(why) = crate::tls::refused(error) {
        return why.to_owned();
    }
    if let Some(code) = error.code() {
        if let Some(why) = permissions::refused(code, error.detail(), None) {
            return why;
        }
        let sentence = refused("", code).to_string();
        return sentence.trim_start().to_owned();
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => "does not accept the user and password it was given".to_owned(),
        ErrorKind::RESP3NotSupported => "does not speak RESP3: Redis 7 or later is needed".to_owned(),
        // The end may come before the reason, which is an alert.
        ErrorKind::Io if tls => {
            "closed the connection after the TLS handshake: does it ask for another client certificate (certificate, key), \
             or has it no room for more clients?"
                .to_owned()
        }
        ErrorKind::Io => {
            "closed the connection at once: does it expect TLS, or has it no room for more clients?"
                .to_owned()
        }
        _ => "did not accept the connection".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_repeat_what_the_server_said() {
        let error =
            refused("Redis at here", "ERR unknown command 'EVALSHA' with args beginning with: 'secret'");
        assert_eq!(error.to_string(), "Redis at here refused a command (ERR)");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    }

    #[test]
    fn only_a_write_that_was_sent_has_an_unknown_outcome() {
        assert_eq!(unanswered("x", Effect::Writes, "y").kind(), StoreErrorKind::Unknown);
        assert_eq!(unanswered("x", Effect::Reads, "y").kind(), StoreErrorKind::Unavailable);
        assert_eq!(refused("x", "READONLY").kind(), StoreErrorKind::Unavailable);
    }
}

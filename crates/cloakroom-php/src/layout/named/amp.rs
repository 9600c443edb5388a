//! amphp's sessions in Redis, and those of Phenix, which uses them.

use std::time::Duration;

use cloakroom::{CookieConfig, CookieLifetime, IdRules, Secure};

use crate::layout::coding::Form;
use crate::layout::error::LayoutError;
use crate::layout::scheme::{InCookie, InFile, Ini, Layout, LockAt};

/// 36 random bytes as base64url.
const IDS: IdRules = IdRules { alphabet: BASE64URL, length: 48, accepted: BASE64URL, lengths: 48..=48 };
const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn cookie(name: &str) -> CookieConfig {
    CookieConfig::new().name(name).secure(Secure::Auto)
}

impl Layout {
    /// [amphp/http-server-session](https://github.com/amphp/http-server-session) with `RedisSessionStorage`: prefix `session:`, values as [`Amp`](crate::Amp) has
    /// them, 3,600 seconds, cookie `session`. With the feature `amp`.
    ///
    /// Its constructor's `keyPrefix` is [`prefix`](Self::prefix), `sessionLifetime` is [`gc_maxlifetime`](Self::gc_maxlifetime), and the middleware's `cookieName` is
    /// [`session_name`](Self::session_name). A session without variables is not stored there; here it goes on until it is destroyed or expires.
    ///
    /// PHP takes no lock in Redis unless it is told to ([`redis_mutex`](Self::redis_mutex)); leases of ours are in keys of our own, and exclude each other only.
    pub fn amp() -> Self {
        Layout {
            name: "amp",
            own_prefix: "session:",
            told_prefix: None,
            lock: LockAt::Beside,
            coding: Form::Amp.into(),
            ids: IDS,
            lifetime: Duration::from_secs(3600),
            user_variable: None,
            cookie: cookie("session"),
            in_cookie: InCookie::Id,
            ini: Ini::Nothing,
            endless: false,
            in_file: InFile::Session,
        }
    }

    /// Phenix on amphp: as [`amp`](Self::amp), with the cookie `phenix_session`, which a browser keeps for 120 minutes. A session lives for
    /// 3,600 seconds all the same. With the feature `amp`.
    ///
    /// Phenix names its host in the cookie. Do so as well, or browsers keep two: `config.cookie(…)` with
    /// [`CookieConfig::domain`].
    pub fn phenix() -> Self {
        let two_hours = CookieLifetime::Persistent(Duration::from_secs(120 * 60));
        Layout { name: "phenix", cookie: cookie("phenix_session").lifetime(two_hours), ..Layout::amp() }
    }

    /// amphp's sessions under a `RedisMutex` ([amphp/redis](https://github.com/amphp/redis)), with the `keyPrefix` of its options (empty unless it is set):
    /// both sides lock `PREFIXlock:ID`. With the feature `amp`.
    ///
    /// The lock is taken when it is free, not in the order of amphp's queue: PHP waits as it would for another process of its own that
    /// is quick, for ten seconds at most.
    ///
    /// # Errors
    /// The layout is none of amphp's.
    pub fn redis_mutex(mut self, key_prefix: &str) -> Result<Self, LayoutError> {
        if self.coding.form != Form::Amp {
            return Err(LayoutError::Fixed { layout: self.name, setting: "RedisMutex" });
        }
        self.lock = LockAt::Mutex(format!("{key_prefix}lock:"));
        Ok(self)
    }
}

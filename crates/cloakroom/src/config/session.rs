//! From settings to what the session layer takes.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use http::HeaderName;

use super::settings::{
    CacheLimiterSetting, CodecSetting, ConflictSetting, CookieSettings, ModeSetting, SameSiteSetting,
    SecureSetting, Settings, TransportSetting,
};
use super::{Configuration, Place};
use crate::codec::Codec;
use crate::error::{ErrorKind, SessionError};
use crate::http::cache_limiter::CacheLimiter;
use crate::http::cookie::{CookieConfig, CookieLifetime, SameSite, Secure};
use crate::http::csrf::trusted_origins::TrustedOrigins;
use crate::http::transport::Transport;
use crate::http::trusted_proxies::TrustedProxies;
use crate::manager::{CsrfConfig, SessionConfig};
use crate::settings::{Limits, Locking, Mode, OnConflict};

impl Settings {
    /// The session layer's configuration with these settings. What is not a matter of a file (the failure hook,
    /// subscribers) can be added to it; protection against cross-site requests is switched on with
    /// [`csrf_config`](Settings::csrf_config).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cloakroom::config::{Configuration, Environment};
    /// use cloakroom::{MemoryStore, SessionManager};
    ///
    /// let read = Configuration::parse("cloakroom.toml", b"[session]\nidle = \"1h\"\n", &Environment::empty())?;
    /// let config = read.settings.session_config()?.csrf(read.settings.csrf_config()?);
    /// let sessions = SessionManager::new(MemoryStore::new(), config)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for a name that cannot be a header's. What else contradicts itself is refused by
    /// [`SessionManager::new`](crate::SessionManager::new).
    pub fn session_config(&self) -> Result<SessionConfig, SessionError> {
        let cookie_name = cookie_name(&self.cookie);
        Laying { settings: self, cookie_name, set: None }.over(SessionConfig::new())
    }

    /// Protection against cross-site requests with these settings, for [`SessionConfig::csrf`].
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) for a name that cannot be a header's, or text that is no origin.
    pub fn csrf_config(&self) -> Result<CsrfConfig, SessionError> {
        let origins = TrustedOrigins::parse(&self.csrf.origins);
        Ok(CsrfConfig {
            header: header("csrf.header", &self.csrf.header)?,
            field: self.csrf.field.clone(),
            allowed_origins: origins.map_err(|e| SessionError::because(ErrorKind::Config, e.to_string()))?,
        })
    }

    fn transport(&self) -> Result<Transport, SessionError> {
        Ok(match self.transport.kind {
            TransportSetting::Cookie => Transport::Cookie,
            TransportSetting::Header => {
                Transport::Header(header("transport.header", &self.transport.header)?)
            }
            TransportSetting::Bearer => Transport::Bearer,
        })
    }

    fn trusted_proxies(&self) -> Result<TrustedProxies, SessionError> {
        let blocks = self.proxies.trusted.iter().map(ToString::to_string);
        TrustedProxies::parse(blocks).map_err(|e| SessionError::because(ErrorKind::Config, e.to_string()))
    }
}

impl Configuration {
    /// What file and environment set, over a configuration that does not begin with the defaults: the one that another system's
    /// sessions need. What neither of them sets stays as it is there.
    ///
    /// A cookie's name is taken as it is written, without the prefix that [`Settings::session_config`] gives it: the other system knows
    /// it by that name.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use cloakroom::config::{Configuration, Environment};
    /// use cloakroom::{CookieConfig, SessionConfig};
    ///
    /// let theirs = SessionConfig::new().cookie(CookieConfig::new().name("PHPSESSID")).idle(Duration::from_secs(1440));
    /// let read = Configuration::parse("cloakroom.toml", b"[session]\nidle = \"1h\"\n", &Environment::empty())?;
    /// let config = read.session_config_over(theirs)?; // an hour, and PHPSESSID
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Settings::session_config`].
    pub fn session_config_over(&self, base: SessionConfig) -> Result<SessionConfig, SessionError> {
        let cookie_name = self.settings.cookie.name.clone();
        Laying { settings: &self.settings, cookie_name, set: Some(&self.sources) }.over(base)
    }
}

/// Settings on their way over a configuration.
struct Laying<'a> {
    settings: &'a Settings,
    cookie_name: String,
    /// Those that somebody set; `None`: all of them count, the defaults as well.
    set: Option<&'a BTreeMap<&'static str, Place>>,
}

impl Laying<'_> {
    fn counts(&self, key: &str) -> bool {
        self.set.is_none_or(|set| set.contains_key(key))
    }

    fn pick<T>(&self, key: &str, ours: T, theirs: T) -> T {
        if self.counts(key) { ours } else { theirs }
    }

    fn over(&self, base: SessionConfig) -> Result<SessionConfig, SessionError> {
        let (session, concurrency) = (&self.settings.session, &self.settings.concurrency);
        let (known, known_cookie, known_cache) = base.parts();
        let (known, cookie) = (known.clone(), self.cookie(known_cookie.clone()));
        let cache_limiter = self.cache_limiter(*known_cache);
        let cap = |cap: Option<NonZeroU32>| cap.map_or(0, NonZeroU32::get); // zero is no cap
        let mut config = base
            .idle(self.pick("session.idle", session.idle, known.lifetime.idle))
            .absolute(self.pick("session.absolute", session.absolute, known.lifetime.absolute))
            .touch_after(self.pick(
                "session.touch_after",
                f64::from(session.touch_after_percent) / 100.0,
                known.touch_after,
            ))
            .limits(Limits {
                session_bytes: self.pick("session.max_size", session.max_size, known.limits.session_bytes),
                keys: self.pick("session.max_keys", session.max_keys, known.limits.keys),
                key_bytes: self.pick(
                    "session.max_key_length",
                    session.max_key_length,
                    known.limits.key_bytes,
                ),
                ..known.limits
            })
            .sessions_per_user(self.pick(
                "session.max_per_user",
                cap(session.max_per_user),
                cap(known.sessions_per_user),
            ))
            .marker(self.pick("session.marker", session.marker, known.marker))
            .codec(self.pick("session.codec", session.codec.into(), known.codec.own))
            .mode(self.pick("concurrency.mode", concurrency.mode.into(), known.mode))
            .on_conflict(self.pick(
                "concurrency.on_conflict",
                concurrency.on_conflict.into(),
                known.on_conflict,
            ))
            .locking(Locking {
                lease: self.pick("concurrency.lease", concurrency.lease, known.locking.lease),
                wait: self.pick("concurrency.wait", concurrency.wait, known.locking.wait),
                waiters: self.pick("concurrency.waiters", concurrency.waiters, known.locking.waiters),
                ..known.locking
            })
            .deadlines(
                self.pick("concurrency.commit_deadline", concurrency.commit_deadline, known.commit_deadline),
                self.pick("concurrency.store_deadline", concurrency.store_deadline, known.call_deadline),
            )
            .commit_on_5xx(self.pick(
                "concurrency.commit_on_5xx",
                concurrency.commit_on_5xx,
                known.commit_on_5xx,
            ))
            .cookie(cookie)
            .cache_limiter(cache_limiter);
        config = match self.pick("session.renewal", session.renewal, known.lifetime.renewal) {
            Some(every) => config.renewal(every, self.pick("session.grace", session.grace, known.grace)),
            None => config.no_renewal(),
        };
        if self.counts("transport.kind") || self.counts("transport.header") {
            config = config.transport(self.settings.transport()?);
        }
        if self.counts("proxies.trusted") {
            config = config.trusted_proxies(self.settings.trusted_proxies()?);
        }
        if self.counts("logout.clear_site_data") {
            config = config.clear_site_data(self.settings.logout.clear_site_data);
        }
        Ok(config)
    }

    fn cache_limiter(&self, theirs: CacheLimiter) -> CacheLimiter {
        let (theirs, their_age) = match theirs {
            CacheLimiter::NoCache => (CacheLimiterSetting::NoCache, None),
            CacheLimiter::Private { max_age } => (CacheLimiterSetting::Private, Some(max_age)),
            CacheLimiter::PrivateNoExpire { max_age } => {
                (CacheLimiterSetting::PrivateNoExpire, Some(max_age))
            }
            CacheLimiter::Public { max_age } => (CacheLimiterSetting::Public, Some(max_age)),
            CacheLimiter::None => (CacheLimiterSetting::None, None),
        };
        let cache = &self.settings.cache;
        let max_age = self.pick("cache.expire", cache.expire, their_age.unwrap_or(cache.expire));
        match self.pick("cache.limiter", cache.limiter, theirs) {
            CacheLimiterSetting::NoCache => CacheLimiter::NoCache,
            CacheLimiterSetting::Private => CacheLimiter::Private { max_age },
            CacheLimiterSetting::PrivateNoExpire => CacheLimiter::PrivateNoExpire { max_age },
            CacheLimiterSetting::Public => CacheLimiter::Public { max_age },
            CacheLimiterSetting::None => CacheLimiter::None,
        }
    }

    fn cookie(&self, mut cookie: CookieConfig) -> CookieConfig {
        let settings = &self.settings.cookie;
        if self.counts("cookie.name") {
            cookie = cookie.name(self.cookie_name.as_str());
        }
        if self.counts("cookie.path") {
            cookie = cookie.path(settings.path.as_str());
        }
        if self.counts("cookie.domain") {
            cookie = match &settings.domain {
                Some(domain) => cookie.domain(domain.as_str()),
                None => cookie.this_host_only(),
            };
        }
        if self.counts("cookie.secure") {
            cookie = cookie.secure(settings.secure.into());
        }
        if self.counts("cookie.http_only") {
            cookie = cookie.http_only(settings.http_only);
        }
        if self.counts("cookie.same_site") {
            cookie = cookie.same_site(settings.same_site.into());
        }
        if self.counts("cookie.partitioned") {
            cookie = cookie.partitioned(settings.partitioned);
        }
        if self.counts("cookie.lifetime") {
            cookie = cookie.lifetime(match settings.lifetime {
                None => CookieLifetime::BrowserSession,
                Some(lifetime) => CookieLifetime::Persistent(lifetime),
            });
        }
        cookie
    }
}

impl From<CodecSetting> for Codec {
    fn from(setting: CodecSetting) -> Self {
        match setting {
            CodecSetting::MessagePack => Codec::MessagePack,
            CodecSetting::Json => Codec::Json,
        }
    }
}

impl From<ModeSetting> for Mode {
    fn from(setting: ModeSetting) -> Self {
        match setting {
            ModeSetting::Merge => Mode::Merge,
            ModeSetting::Exclusive => Mode::Exclusive,
        }
    }
}

impl From<ConflictSetting> for OnConflict {
    fn from(setting: ConflictSetting) -> Self {
        match setting {
            ConflictSetting::Refuse => OnConflict::Refuse,
            ConflictSetting::Overwrite => OnConflict::Overwrite,
        }
    }
}

impl From<SecureSetting> for Secure {
    fn from(setting: SecureSetting) -> Self {
        match setting {
            SecureSetting::Auto => Secure::Auto,
            SecureSetting::Always => Secure::Always,
            SecureSetting::Never => Secure::Never,
        }
    }
}

impl From<SameSiteSetting> for SameSite {
    fn from(setting: SameSiteSetting) -> Self {
        match setting {
            SameSiteSetting::Lax => SameSite::Lax,
            SameSiteSetting::Strict => SameSite::Strict,
            SameSiteSetting::None => SameSite::None,
        }
    }
}

fn header(key: &str, name: &str) -> Result<HeaderName, SessionError> {
    HeaderName::try_from(name).map_err(|_| {
        SessionError::because(ErrorKind::Config, format!("{key} {name:?} cannot be the name of a header"))
    })
}

/// The name with `__Host-` before it, where the other attributes are what browsers demand for the prefix.
fn cookie_name(settings: &CookieSettings) -> String {
    let prefixed = settings.name.get(..2) == Some("__");
    let allowed =
        settings.secure != SecureSetting::Never && settings.path == "/" && settings.domain.is_none();
    if allowed && !prefixed { format!("__Host-{}", settings.name) } else { settings.name.clone() }
}

//! From settings to what the session layer takes.

use http::HeaderName;

use super::settings::{
    CacheLimiterSetting, CodecSetting, ConflictSetting, CookieSettings, ModeSetting, SameSiteSetting,
    SecureSetting, Settings, TransportSetting,
};
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
        let session = &self.session;
        let concurrency = &self.concurrency;
        let config = SessionConfig::new()
            .idle(session.idle)
            .absolute(session.absolute)
            .touch_after(f64::from(session.touch_after_percent) / 100.0)
            .limits(Limits {
                session_bytes: session.max_size,
                keys: session.max_keys,
                key_bytes: session.max_key_length,
                ..Limits::default()
            })
            // Zero is no cap.
            .sessions_per_user(session.max_per_user.map_or(0, std::num::NonZeroU32::get))
            .marker(session.marker)
            .codec(match session.codec {
                CodecSetting::MessagePack => crate::Codec::MessagePack,
                CodecSetting::Json => crate::Codec::Json,
            })
            .mode(match concurrency.mode {
                ModeSetting::Merge => Mode::Merge,
                ModeSetting::Exclusive => Mode::Exclusive,
            })
            .on_conflict(match concurrency.on_conflict {
                ConflictSetting::Refuse => OnConflict::Refuse,
                ConflictSetting::Overwrite => OnConflict::Overwrite,
            })
            .locking(Locking {
                lease: concurrency.lease,
                wait: concurrency.wait,
                waiters: concurrency.waiters,
                ..Locking::default()
            })
            .deadlines(concurrency.commit_deadline, concurrency.store_deadline)
            .commit_on_5xx(concurrency.commit_on_5xx)
            .cookie(cookie(&self.cookie))
            .transport(self.transport()?)
            .cache_limiter(self.cache_limiter())
            .trusted_proxies(self.trusted_proxies()?)
            .clear_site_data(self.logout.clear_site_data);
        Ok(match session.renewal {
            Some(every) => config.renewal(every, session.grace),
            None => config,
        })
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

    fn cache_limiter(&self) -> CacheLimiter {
        let max_age = self.cache.expire;
        match self.cache.limiter {
            CacheLimiterSetting::NoCache => CacheLimiter::NoCache,
            CacheLimiterSetting::Private => CacheLimiter::Private { max_age },
            CacheLimiterSetting::PrivateNoExpire => CacheLimiter::PrivateNoExpire { max_age },
            CacheLimiterSetting::Public => CacheLimiter::Public { max_age },
            CacheLimiterSetting::None => CacheLimiter::None,
        }
    }

    fn trusted_proxies(&self) -> Result<TrustedProxies, SessionError> {
        let blocks = self.proxies.trusted.iter().map(ToString::to_string);
        TrustedProxies::parse(blocks).map_err(|e| SessionError::because(ErrorKind::Config, e.to_string()))
    }
}

fn header(key: &str, name: &str) -> Result<HeaderName, SessionError> {
    HeaderName::try_from(name).map_err(|_| {
        SessionError::because(ErrorKind::Config, format!("{key} {name:?} cannot be the name of a header"))
    })
}

fn cookie(settings: &CookieSettings) -> CookieConfig {
    let config = CookieConfig::new()
        .name(cookie_name(settings))
        .path(settings.path.as_str())
        .secure(match settings.secure {
            SecureSetting::Auto => Secure::Auto,
            SecureSetting::Always => Secure::Always,
            SecureSetting::Never => Secure::Never,
        })
        .http_only(settings.http_only)
        .same_site(match settings.same_site {
            SameSiteSetting::Lax => SameSite::Lax,
            SameSiteSetting::Strict => SameSite::Strict,
            SameSiteSetting::None => SameSite::None,
        })
        .partitioned(settings.partitioned)
        .lifetime(match settings.lifetime {
            None => CookieLifetime::BrowserSession,
            Some(lifetime) => CookieLifetime::Persistent(lifetime),
        });
    match &settings.domain {
        Some(domain) => config.domain(domain.as_str()),
        None => config,
    }
}

/// The name with `__Host-` before it, where the other attributes are what browsers demand for the prefix.
fn cookie_name(settings: &CookieSettings) -> String {
    let prefixed = settings.name.get(..2) == Some("__");
    let allowed =
        settings.secure != SecureSetting::Never && settings.path == "/" && settings.domain.is_none();
    if allowed && !prefixed { format!("__Host-{}", settings.name) } else { settings.name.clone() }
}

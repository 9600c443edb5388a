//! The builder.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{FailureHook, HttpPolicy};
use crate::codec::{Codec, Values};
use crate::engine::{Events, Subscriber};
use crate::error::{ErrorKind, SessionError};
use crate::http::cache_limiter::{CacheLimiter, CachePolicy};
use crate::http::cookie::{CookieConfig, CookiePolicy};
use crate::http::csrf::trusted_origins::TrustedOrigins;
use crate::http::transport::{IdTransport, Transport};
use crate::http::trusted_proxies::TrustedProxies;
use crate::settings::{Limits, Locking, Mode, OnConflict, OnObsoleteId, OnUnavailable, Settings};

/// How requests from other sites are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsrfConfig {
    /// The request header a token is looked for in. `x-csrf-token`.
    pub header: http::HeaderName,
    /// The form field a token is looked for in, where an adapter has the form at hand. `csrf_token`.
    pub field: String,
    /// Origins of other sites whose requests are wanted. None.
    pub allowed_origins: TrustedOrigins,
}

impl Default for CsrfConfig {
    fn default() -> Self {
        CsrfConfig {
            header: http::HeaderName::from_static("x-csrf-token"),
            field: "csrf_token".to_owned(),
            allowed_origins: TrustedOrigins::none(),
        }
    }
}

/// What sessions are like. Every default is a safe one; nothing has to be set.
///
/// ```
/// use std::time::Duration;
/// use cloakroom::{Mode, SessionConfig};
/// let config = SessionConfig::new()
///     .idle(Duration::from_secs(1800))
///     .sessions_per_user(5)
///     .mode(Mode::Exclusive);
/// ```
#[derive(Clone, Default)]
pub struct SessionConfig {
    settings: Settings,
    cookie: CookieConfig,
    transport: Transport,
    cache: CacheLimiter,
    proxies: TrustedProxies,
    csrf: Option<CsrfConfig>,
    clear_site_data: bool,
    on_failure: Option<FailureHook>,
    events: Events,
}

impl SessionConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A session ends after this long without a request. 3 hours.
    #[must_use]
    pub fn idle(mut self, idle: Duration) -> Self {
        self.settings.lifetime.idle = idle;
        self
    }

    /// A session ends this long after it began or its user logged in. 7 days.
    #[must_use]
    pub fn absolute(mut self, absolute: Duration) -> Self {
        self.settings.lifetime.absolute = absolute;
        self
    }

    /// The id is replaced by itself this long after it was issued; the old one works on for the grace. Off.
    #[must_use]
    pub fn renewal(mut self, every: Duration, grace: Duration) -> Self {
        self.settings.lifetime.renewal = Some(every);
        self.settings.grace = grace;
        self
    }

    /// The part of the idle time, 0 to 1, after which a mere read slides the idle deadline, in a store call of its own
    /// that no response waits for. 0: with every request. 0.1. A write slides it once a tenth of this part has passed, or a second, in the call that
    /// it is.
    #[must_use]
    pub fn touch_after(mut self, fraction: f64) -> Self {
        self.settings.touch_after = fraction;
        self
    }

    /// Whether requests of one session wait for one another. [`Mode::Merge`].
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// What becomes of a key that was read, changed by another request, and then written. [`OnConflict::Refuse`].
    #[must_use]
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.settings.on_conflict = on_conflict;
        self
    }

    /// What a request gets when the store cannot be asked. [`OnUnavailable::Fail`].
    #[must_use]
    pub fn on_unavailable(mut self, on_unavailable: OnUnavailable) -> Self {
        self.settings.on_unavailable = on_unavailable;
        self
    }

    /// What happens when a replaced id is presented past its grace. [`OnObsoleteId::Report`].
    #[must_use]
    pub fn on_obsolete_id(mut self, on_obsolete_id: OnObsoleteId) -> Self {
        self.settings.on_obsolete_id = on_obsolete_id;
        self
    }

    /// Leases and waiting for them. 10 s each; see [`Locking`].
    #[must_use]
    pub fn locking(mut self, locking: Locking) -> Self {
        self.settings.locking = locking;
        self
    }

    /// Bounds on what a session holds. 64 KiB, 256 keys; see [`Limits`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// A user's sessions, at most; a login beyond ends the oldest, in the step of the login. 0 is no limit. Unlimited.
    #[must_use]
    pub fn sessions_per_user(mut self, cap: u32) -> Self {
        self.settings.sessions_per_user = NonZeroU32::new(cap);
        self
    }

    /// How long a commit is tried in all, and how long one call of the store may take. 5 s and 2 s.
    #[must_use]
    pub fn deadlines(mut self, commit: Duration, call: Duration) -> Self {
        self.settings.commit_deadline = commit;
        self.settings.call_deadline = call;
        self
    }

    /// How long ended and replaced ids are remembered: longer than any request may run. 60 s.
    #[must_use]
    pub fn marker(mut self, marker: Duration) -> Self {
        self.settings.marker = marker;
        self
    }

    /// Also commit what was buffered by a handler that answers 5xx. Off.
    #[must_use]
    pub fn commit_on_5xx(mut self, commit: bool) -> Self {
        self.settings.commit_on_5xx = commit;
        self
    }

    /// The encoding of values; what another one wrote cannot be read. [`Codec::MessagePack`].
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.settings.codec = Values::own(codec);
        self
    }

    /// How often the store is asked to remove what is past its time; `None`: never, something else does it. 30 s.
    #[must_use]
    pub fn purge_every(mut self, every: Option<Duration>) -> Self {
        self.settings.purge_every = every;
        self
    }

    /// The cookie's name and attributes.
    #[must_use]
    pub fn cookie(mut self, cookie: CookieConfig) -> Self {
        self.cookie = cookie;
        self
    }

    /// How the id travels. [`Transport::Cookie`].
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// What responses say to caches. [`CacheLimiter::NoCache`].
    #[must_use]
    pub fn cache_limiter(mut self, limiter: CacheLimiter) -> Self {
        self.cache = limiter;
        self
    }

    /// Proxies whose forwarding headers count. None.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Refuse unsafe requests that come from other sites: by fetch metadata, else by `Origin`, else by token. Off.
    #[must_use]
    pub fn csrf(mut self, csrf: CsrfConfig) -> Self {
        self.csrf = Some(csrf);
        self
    }

    /// Send `Clear-Site-Data` when a session is destroyed: the browser then forgets cache, cookies and storage of the site.
    /// Off.
    #[must_use]
    pub fn clear_site_data(mut self, clear: bool) -> Self {
        self.clear_site_data = clear;
        self
    }

    /// Makes the response that leaves instead of the handler's when the commit failed. It sees the error and the head of
    /// the discarded response. By default the kind of the error as JSON, with its status.
    #[must_use]
    pub fn on_failure<F>(mut self, hook: F) -> Self
    where
        F: Fn(&SessionError, super::Discarded<'_>) -> http::Response<bytes::Bytes> + Send + Sync + 'static,
    {
        self.on_failure = Some(Arc::new(hook));
        self
    }

    /// Tells `subscriber` what happens to sessions. Several may be added. It is called in the request's task: a slow one
    /// makes requests slow.
    #[must_use]
    pub fn subscribe(mut self, subscriber: impl Subscriber) -> Self {
        self.events.0.push(Arc::new(subscriber));
        self
    }

    /// What is set so far, for whoever changes a part of it.
    #[cfg(feature = "config")]
    pub(crate) fn parts(&self) -> (&Settings, &CookieConfig, &CacheLimiter) {
        (&self.settings, &self.cookie, &self.cache)
    }

    /// No renewal after all.
    #[cfg(feature = "config")]
    pub(crate) fn no_renewal(mut self) -> Self {
        self.settings.lifetime.renewal = None;
        self
    }

    /// The defaults, which need no check.
    pub(super) fn prepare_defaults(self) -> (Settings, Events, HttpPolicy) {
        self.assemble(CookiePolicy::default())
    }

    pub(super) fn prepare(self) -> Result<(Settings, Events, HttpPolicy), SessionError> {
        self.check()?;
        let cookie = self.cookie.clone().build();
        let cookie = cookie.map_err(|e| SessionError::because(ErrorKind::Config, e.to_string()))?;
        Ok(self.assemble(cookie))
    }

    fn assemble(self, cookie: CookiePolicy) -> (Settings, Events, HttpPolicy) {
        let persistent = self.cookie.outlives_browser();
        let transport = IdTransport::new(self.transport, cookie);
        let http = HttpPolicy {
            varies_by: transport.varies_by(),
            transport,
            cache: CachePolicy::new(self.cache),
            proxies: self.proxies,
            csrf: self.csrf,
            clear_site_data: self.clear_site_data,
            persistent,
            on_failure: self.on_failure,
        };
        (self.settings, self.events, http)
    }

    fn check(&self) -> Result<(), SessionError> {
        let s = &self.settings;
        let refuse = |text: &str| Err(SessionError::because(ErrorKind::Config, text));
        if s.lifetime.idle < Duration::from_millis(1) || s.lifetime.absolute < Duration::from_millis(1) {
            return refuse("the idle and the absolute lifetime must be at least a millisecond");
        }
        if let Some(renewal) = s.lifetime.renewal
            && renewal <= s.grace
        {
            return refuse("the renewal must take longer than the grace, or old ids would pile up");
        }
        if !(0.0..=1.0).contains(&s.touch_after) {
            return refuse("touch_after is a fraction of the idle time, from 0 to 1");
        }
        if s.locking.lease < Duration::from_millis(10) {
            return refuse("a lease must last at least 10 ms, or it cannot be renewed in time");
        }
        if s.commit_deadline.is_zero() || s.call_deadline.is_zero() {
            return refuse("deadlines must not be zero");
        }
        if s.limits.background == 0 {
            return refuse("`Limits::background` must be at least 1, or no lease could ever be taken");
        }
        if s.purge_every.is_some_and(|every| every.is_zero()) {
            return refuse("purge_every must be longer than nothing; None switches purging off");
        }
        if s.limits.key_bytes > usize::from(u16::MAX) || s.limits.session_bytes > 64 << 20 {
            return refuse("at most 65,535 bytes in a key and 64 MiB in a session can be stored");
        }
        Ok(())
    }
}

impl std::fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionConfig")
            .field("settings", &self.settings)
            .field("cookie", &self.cookie)
            .field("transport", &self.transport)
            .field("cache", &self.cache)
            .field("proxies", &self.proxies)
            .field("csrf", &self.csrf)
            .field("clear_site_data", &self.clear_site_data)
            .finish_non_exhaustive()
    }
}

//! Everything that can be set, with its default.

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

/// Every setting. [`Default`] is what holds where nobody says otherwise.
///
/// Read by a [`Configuration`](super::Configuration); a program may change fields afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The store's driver; `None` leaves it to the connection, and else to the program's default.
    pub driver: Option<String>,
    /// Which `[connections.NAME]` the driver gets; `None`: the one named like the driver, where there is one.
    pub connection: Option<String>,
    /// `[session]`: deadlines and bounds.
    pub session: SessionSettings,
    /// `[concurrency]`: modes, leases, waiting.
    pub concurrency: ConcurrencySettings,
    /// `[cookie]`: the cookie and its attributes.
    pub cookie: CookieSettings,
    /// `[transport]`: how the id travels.
    pub transport: TransportSettings,
    /// `[csrf]`: protection against cross-site requests.
    pub csrf: CsrfSettings,
    /// `[cache]`: what responses that use a session tell caches.
    pub cache: CacheSettings,
    /// `[proxies]`: who may speak for the client.
    pub proxies: ProxySettings,
    /// `[logout]`: what `destroy` tells the browser.
    pub logout: LogoutSettings,
}

/// `[session]`: deadlines and bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionSettings {
    /// A session ends when it was not used for this long.
    pub idle: Duration,
    /// A session ends this long after it began or after the last login, used or not.
    pub absolute: Duration,
    /// The id is renewed by itself after this long; `None`: never.
    pub renewal: Option<Duration>,
    /// How long the old id still leads to the session after an automatic renewal.
    pub grace: Duration,
    /// A read slides the idle deadline once this percentage of the idle time has passed, a write once a tenth of it has, or a second.
    pub touch_after_percent: u8,
    /// A session's data, encoded, in bytes.
    pub max_size: usize,
    /// Keys in a session.
    pub max_keys: usize,
    /// A key's length in bytes.
    pub max_key_length: usize,
    /// Sessions of one user, the oldest ended first; `None`: unlimited.
    pub max_per_user: Option<NonZeroU32>,
    /// How long an ended session is remembered, to turn late writers away.
    pub marker: Duration,
    /// How values are encoded.
    pub codec: CodecSetting,
}

impl Default for SessionSettings {
    fn default() -> Self {
        SessionSettings {
            idle: Duration::from_secs(3 * 60 * 60),
            absolute: Duration::from_secs(7 * 24 * 60 * 60),
            renewal: None,
            grace: Duration::from_secs(30),
            touch_after_percent: 10,
            max_size: 64 * 1024,
            max_keys: 256,
            max_key_length: 256,
            max_per_user: None,
            marker: Duration::from_secs(60),
            codec: CodecSetting::MessagePack,
        }
    }
}

/// How values are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecSetting {
    /// `messagepack`: compact.
    MessagePack,
    /// `json`: readable in the store.
    Json,
}

/// `[concurrency]`: modes, leases, waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConcurrencySettings {
    /// Whether requests on one session run side by side.
    pub mode: ModeSetting,
    /// What becomes of a key that was read and written while another request changed it.
    pub on_conflict: ConflictSetting,
    /// A lease ends this long after its holder stopped renewing it.
    pub lease: Duration,
    /// How long a request waits for a lease.
    pub wait: Duration,
    /// Requests that may wait for one session.
    pub waiters: usize,
    /// How long a commit may take, retries included.
    pub commit_deadline: Duration,
    /// How long one call of the store may take.
    pub store_deadline: Duration,
    /// Whether a response of 500 and above still commits what was buffered.
    pub commit_on_5xx: bool,
}

impl Default for ConcurrencySettings {
    fn default() -> Self {
        ConcurrencySettings {
            mode: ModeSetting::Merge,
            on_conflict: ConflictSetting::Refuse,
            lease: Duration::from_secs(10),
            wait: Duration::from_secs(10),
            waiters: 128,
            commit_deadline: Duration::from_secs(5),
            store_deadline: Duration::from_secs(2),
            commit_on_5xx: false,
        }
    }
}

/// Whether requests on one session run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModeSetting {
    /// `merge`: they do, and their changes are merged key by key.
    Merge,
    /// `exclusive`: one after the other, as in PHP.
    Exclusive,
}

/// What becomes of a key that was read and written while another request changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictSetting {
    /// `refuse`: the request fails as a conflict and commits nothing of what it buffered.
    Refuse,
    /// `overwrite`: the last writer wins.
    Overwrite,
}

/// `[cookie]`: the cookie and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CookieSettings {
    /// The name; a secure cookie gets a prefix (`__Host-`) before it where its attributes allow one.
    pub name: String,
    /// `Path`.
    pub path: String,
    /// `Domain`; `None`: this host only.
    pub domain: Option<String>,
    /// `Secure`.
    pub secure: SecureSetting,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: SameSiteSetting,
    /// `Partitioned`.
    pub partitioned: bool,
    /// `Max-Age`; `None`: until the browser is closed.
    pub lifetime: Option<Duration>,
}

impl Default for CookieSettings {
    fn default() -> Self {
        CookieSettings {
            name: "id".into(),
            path: "/".into(),
            domain: None,
            secure: SecureSetting::Auto,
            http_only: true,
            same_site: SameSiteSetting::Lax,
            partitioned: false,
            lifetime: None,
        }
    }
}

/// When the cookie is `Secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecureSetting {
    /// `auto`: always, except between a client and a host that are both this machine.
    Auto,
    /// `always`.
    Always,
    /// `never`: for plain HTTP on a network one trusts.
    Never,
}

/// `SameSite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSiteSetting {
    /// `lax`.
    Lax,
    /// `strict`.
    Strict,
    /// `none`.
    None,
}

/// `[transport]`: how the id travels.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportSettings {
    /// In what.
    pub kind: TransportSetting,
    /// The header's name, for [`TransportSetting::Header`].
    pub header: String,
}

impl Default for TransportSettings {
    fn default() -> Self {
        TransportSettings { kind: TransportSetting::Cookie, header: "x-session-id".into() }
    }
}

/// How the id travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportSetting {
    /// `cookie`.
    Cookie,
    /// `header`: in a header of its own.
    Header,
    /// `bearer`: as a bearer token in `Authorization`.
    Bearer,
}

/// `[csrf]`: protection against cross-site requests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CsrfSettings {
    /// The header that may carry the token.
    pub header: String,
    /// The form field that may carry the token.
    pub field: String,
    /// Other origins that may send unsafe requests, such as `https://admin.example.com`.
    pub origins: Vec<String>,
}

impl Default for CsrfSettings {
    fn default() -> Self {
        CsrfSettings { header: "x-csrf-token".into(), field: "csrf_token".into(), origins: Vec::new() }
    }
}

/// `[cache]`: what responses that use a session tell caches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheSettings {
    /// How strict.
    pub limiter: CacheLimiterSetting,
    /// How long a browser may keep such a response, with the limiters that let it.
    pub expire: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings { limiter: CacheLimiterSetting::NoCache, expire: Duration::from_secs(180 * 60) }
    }
}

/// PHP's cache limiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheLimiterSetting {
    /// `nocache`: nobody keeps it.
    NoCache,
    /// `private`: the browser may, and proxies of HTTP/1.0 are told it is stale.
    Private,
    /// `private_no_expire`: the browser may.
    PrivateNoExpire,
    /// `public`: everybody may keep responses that did not open the session.
    Public,
    /// `none`: only what safety asks for.
    None,
}

/// `[proxies]`: who may speak for the client.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ProxySettings {
    /// Peers whose forwarding headers are believed.
    pub trusted: Vec<IpNet>,
}

/// `[logout]`: what `destroy` tells the browser.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LogoutSettings {
    /// Whether to send `Clear-Site-Data`.
    pub clear_site_data: bool,
}

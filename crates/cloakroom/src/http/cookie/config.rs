use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{CookieError, CookiePolicy};
use crate::http::word::{UnknownWord, pick};

/// The session cookie as an application wants it.
///
/// The default is the strictest a browser knows: `__Host-id`, `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/`, no
/// `Domain`, ending with the browser. [`build`](CookieConfig::build) checks what was changed.
///
/// ```
/// use cloakroom::{CookieConfig, SameSite};
///
/// assert!(CookieConfig::new().same_site(SameSite::Strict).build().is_ok());
/// // `__Host-` promises the browser that the cookie belongs to one host only.
/// let refused = CookieConfig::new().domain("example.com").build();
/// assert!(refused.unwrap_err().to_string().contains("no Domain"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieConfig {
    pub(in crate::http) name: Option<String>,
    pub(in crate::http) path: String,
    pub(in crate::http) domain: Option<String>,
    pub(in crate::http) secure: Secure,
    pub(in crate::http) http_only: bool,
    pub(in crate::http) same_site: SameSite,
    pub(in crate::http) partitioned: bool,
    pub(in crate::http) lifetime: CookieLifetime,
}

/// When the cookie is `Secure`, that is, sent over TLS only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Secure {
    /// Always, save where both the peer and the `Host` are loopback and no forwarding header is present, or where a
    /// *trusted* proxy says that the visitor came without TLS. There the cookie goes by its unprefixed name.
    #[default]
    Auto,
    /// On every response. Browsers accept it on `http://localhost` too.
    Always,
    /// On no response: for a network without TLS, never for the internet. Names with a prefix are refused.
    Never,
}

/// Whether the browser sends the cookie along with requests that another site caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SameSite {
    /// Never, not even when the visitor follows a link from another site.
    Strict,
    /// Only when the visitor follows a link.
    #[default]
    Lax,
    /// Always. Needs `Secure`; protect every form with a token.
    None,
}

/// How long the browser keeps the cookie. The server ends the session by its own deadlines in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CookieLifetime {
    /// Until the browser is closed: neither `Max-Age` nor `Expires` is sent.
    #[default]
    BrowserSession,
    /// For this long after each time it is sent, from 1 second to 400 days, in whole seconds.
    Persistent(Duration),
}

impl Default for CookieConfig {
    fn default() -> Self {
        CookieConfig {
            name: None,
            path: "/".to_owned(),
            domain: None,
            secure: Secure::default(),
            http_only: true,
            same_site: SameSite::default(),
            partitioned: false,
            lifetime: CookieLifetime::default(),
        }
    }
}

impl CookieConfig {
    /// The name where the request is secure and none was set.
    pub const DEFAULT_NAME: &'static str = "__Host-id";

    /// The default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the browser keeps the cookie when it is closed.
    pub(crate) fn outlives_browser(&self) -> bool {
        self.lifetime != CookieLifetime::BrowserSession
    }

    /// No `Domain` after all.
    #[cfg(feature = "config")]
    pub(crate) fn this_host_only(mut self) -> Self {
        self.domain = None;
        self
    }

    /// The cookie's name. Default: `__Host-id`.
    ///
    /// A name that begins with `__Host-` or `__Secure-` (in any case) must be configured as the prefix demands. Where a
    /// request is not secure, the name is used without its prefix, because browsers refuse the prefix there.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The path below which the browser sends the cookie. Default: `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sends the cookie to this domain and all below it. Default: to the one host that set it.
    ///
    /// Needs a name without the `__Host-` prefix, and trusts every subdomain with the session.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// When the cookie is `Secure`. Default: [`Secure::Auto`].
    #[must_use]
    pub fn secure(mut self, secure: Secure) -> Self {
        self.secure = secure;
        self
    }

    /// Whether scripts of the page are kept from reading the cookie. Default: yes.
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether the browser sends the cookie along with requests that another site caused. Default: [`SameSite::Lax`].
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Keeps a cookie jar of its own for each site that embeds this one in a frame (CHIPS). Default: no.
    #[must_use]
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// How long the browser keeps the cookie. Default: [`CookieLifetime::BrowserSession`].
    #[must_use]
    pub fn lifetime(mut self, lifetime: CookieLifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Checks everything and prepares what can be prepared.
    ///
    /// # Errors
    /// [`CookieError`], which says what to change.
    pub fn build(self) -> Result<CookiePolicy, CookieError> {
        CookiePolicy::new(&self)
    }
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        })
    }
}

/// `strict`, `lax` or `none`, in any case.
impl FromStr for SameSite {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        pick(word, &[("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)])
    }
}

/// `auto`, `always` or `never`, in any case.
impl FromStr for Secure {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        pick(word, &[("auto", Secure::Auto), ("always", Secure::Always), ("never", Secure::Never)])
    }
}

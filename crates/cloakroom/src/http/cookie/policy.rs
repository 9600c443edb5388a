//! Which attributes the cookie has, checked once against what browsers accept.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;

use super::config::{CookieConfig, CookieLifetime, SameSite, Secure};
use super::error::CookieError;
use super::format::Template;
use crate::clock::Timestamp;
use crate::ids::ID_LEN;

/// Name and value together, RFC 6265bis §5.6.
const MAX_PAIR: usize = 4096;
/// One attribute's value, RFC 6265bis §5.6.
const MAX_ATTRIBUTE: usize = 1024;
/// RFC 6265bis §5.5: browsers cut a longer life down to this.
const MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// A checked [`CookieConfig`], ready to write cookies.
///
/// It is two cookies: one for secure requests, and one for those that are not. The latter never has a reserved
/// prefix, `Secure` or `Partitioned`, because browsers would refuse it; where `SameSite=None` was asked for, it is
/// `Lax`. Which of the two a request gets is decided by the request's security and [`Secure`], never by its cookies.
#[derive(Clone)]
pub struct CookiePolicy {
    mode: Secure,
    secure: Template,
    plain: Template,
}

/// The policy of [`CookieConfig::default`], which needs no check.
impl Default for CookiePolicy {
    fn default() -> Self {
        Self::assemble(&CookieConfig::default(), CookieConfig::DEFAULT_NAME, "id", None, None)
    }
}

impl CookiePolicy {
    pub(super) fn new(config: &CookieConfig) -> Result<Self, CookieError> {
        let name = match (&config.name, config.secure) {
            (Some(name), _) => name.as_str(),
            // Nothing is ever secure here, so the default is the name that goes with that.
            (None, Secure::Never) => "id",
            (None, _) => CookieConfig::DEFAULT_NAME,
        };
        check_name(name)?;
        let plain_name = match Prefix::of(name) {
            Some(prefix) => {
                prefix.check(name, config)?;
                name.get(prefix.text().len()..).unwrap_or(name)
            }
            None => name,
        };
        check_name(plain_name).map_err(|_| CookieError::Name { name: name.to_owned() })?;
        check_path(&config.path)?;
        let domain = config.domain.as_deref().map(normal_domain).transpose()?;
        if config.secure == Secure::Never {
            let attribute = match (config.same_site, config.partitioned) {
                (SameSite::None, _) => Some("SameSite=None"),
                (_, true) => Some("Partitioned"),
                _ => None,
            };
            if let Some(attribute) = attribute {
                return Err(CookieError::NeedsSecure { attribute });
            }
        }
        let max_age = match config.lifetime {
            CookieLifetime::BrowserSession => None,
            CookieLifetime::Persistent(d) if d < Duration::from_secs(1) || d > MAX_AGE => {
                return Err(CookieError::Lifetime(d));
            }
            CookieLifetime::Persistent(d) => Some(d.as_secs()),
        };

        Ok(Self::assemble(config, name, plain_name, domain.as_deref(), max_age))
    }

    /// Puts together what was checked.
    fn assemble(
        config: &CookieConfig,
        name: &str,
        plain_name: &str,
        domain: Option<&str>,
        max_age: Option<u64>,
    ) -> Self {
        let attributes = |secure: bool| Attributes {
            path: &config.path,
            domain,
            secure,
            http_only: config.http_only,
            same_site: match config.same_site {
                SameSite::None if !secure => SameSite::Lax,
                as_configured => as_configured,
            },
            partitioned: config.partitioned && secure,
            max_age,
        };
        CookiePolicy {
            mode: config.secure,
            secure: Template::new(name, &attributes(true)),
            plain: Template::new(plain_name, &attributes(false)),
        }
    }

    /// The name by which the cookie is read and written on a request of this security.
    ///
    /// On a secure request it is the prefixed one alone, where there is a prefix: an unprefixed cookie could have been
    /// planted by whoever controls a subdomain or the network.
    pub fn name(&self, secure_request: bool) -> &str {
        self.side(secure_request).name()
    }

    /// The `Set-Cookie` value that hands out what the client is told of an id. Allocates once.
    pub(crate) fn set_cookie(
        &self,
        told: impl AsRef<[u8]>,
        secure_request: bool,
        now: Timestamp,
    ) -> HeaderValue {
        self.side(secure_request).set(told.as_ref(), now)
    }

    /// The `Set-Cookie` value that makes the browser forget the cookie. Prepared; only cloned here.
    pub(crate) fn deletion(&self, secure_request: bool) -> HeaderValue {
        self.side(secure_request).deletion()
    }

    fn side(&self, secure_request: bool) -> &Template {
        match self.mode {
            Secure::Always => &self.secure,
            Secure::Never => &self.plain,
            Secure::Auto if secure_request => &self.secure,
            Secure::Auto => &self.plain,
        }
    }
}

impl fmt::Debug for CookiePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookiePolicy")
            .field("mode", &self.mode)
            .field("secure", &self.secure)
            .field("plain", &self.plain)
            .finish()
    }
}

/// The attributes of one of the two cookies, already checked.
pub(super) struct Attributes<'a> {
    pub(super) path: &'a str,
    pub(super) domain: Option<&'a str>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) same_site: SameSite,
    pub(super) partitioned: bool,
    /// In seconds.
    pub(super) max_age: Option<u64>,
}

/// The name prefixes by which a browser enforces attributes, RFC 6265bis §4.1.3. Their case does not count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    HostHttp,
    Host,
    Http,
    Secure,
}

impl Prefix {
    fn of(name: &str) -> Option<Self> {
        // The longer of two that begin alike stands first.
        [Prefix::HostHttp, Prefix::Host, Prefix::Http, Prefix::Secure].into_iter().find(|prefix| {
            name.get(..prefix.text().len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.text()))
        })
    }

    const fn text(self) -> &'static str {
        match self {
            Prefix::HostHttp => "__Host-Http-",
            Prefix::Host => "__Host-",
            Prefix::Http => "__Http-",
            Prefix::Secure => "__Secure-",
        }
    }

    fn check(self, name: &str, config: &CookieConfig) -> Result<(), CookieError> {
        let one_host = matches!(self, Prefix::HostHttp | Prefix::Host);
        let no_script = matches!(self, Prefix::HostHttp | Prefix::Http);
        let (needs, remedy) = if config.secure == Secure::Never {
            ("Secure", "use `secure` `auto` or `always`, or a name without the prefix")
        } else if one_host && config.domain.is_some() {
            ("no Domain", "leave the domain out, or use a name such as `__Secure-id`")
        } else if one_host && config.path != "/" {
            ("Path=/", "leave the path out, or use a name such as `__Secure-id`")
        } else if no_script && !config.http_only {
            ("HttpOnly", "leave `http_only` on, or use a name without the prefix")
        } else {
            return Ok(());
        };
        Err(CookieError::Prefix { name: name.to_owned(), prefix: self.text(), needs, remedy })
    }
}

fn check_name(name: &str) -> Result<(), CookieError> {
    let max = MAX_PAIR - ID_LEN;
    if name.len() > max {
        return Err(CookieError::NameTooLong { len: name.len(), max });
    }
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(CookieError::Name { name: name.to_owned() });
    }
    Ok(())
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

fn check_path(path: &str) -> Result<(), CookieError> {
    if path.len() > MAX_ATTRIBUTE {
        return Err(CookieError::AttributeTooLong { attribute: "path", len: path.len() });
    }
    if !path.starts_with('/') || !path.bytes().all(|b| matches!(b, b' '..=b'~') && b != b';') {
        return Err(CookieError::Path { path: path.to_owned() });
    }
    // A space at the end would be trimmed by the browser, and the path be another one than configured.
    if path.ends_with(' ') {
        return Err(CookieError::Path { path: path.to_owned() });
    }
    Ok(())
}

/// Lower case, without the leading dot that browsers ignore.
fn normal_domain(domain: &str) -> Result<String, CookieError> {
    if domain.len() > MAX_ATTRIBUTE {
        return Err(CookieError::AttributeTooLong { attribute: "domain", len: domain.len() });
    }
    let refuse = |problem| Err(CookieError::Domain { domain: domain.to_owned(), problem });
    let name = domain.strip_prefix('.').unwrap_or(domain);
    if !name.is_ascii() {
        return refuse("expected ASCII: write an international name in its `xn--` form");
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return refuse("an address has no subdomains: leave the domain out");
    }
    if name.len() > 253 {
        return refuse("a host name has at most 253 characters");
    }
    let label_is_fine = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !name.split('.').all(label_is_fine) {
        return refuse("expected a host name such as example.com, without scheme, port or `*`");
    }
    Ok(name.to_ascii_lowercase())
}

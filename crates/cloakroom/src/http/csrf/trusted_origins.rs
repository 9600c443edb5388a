use std::fmt;
use std::str::FromStr;

/// Other origins whose pages may send requests that change something: an application's own front end on another host.
///
/// ```
/// use cloakroom::TrustedOrigins;
///
/// assert!(TrustedOrigins::parse(["https://app.example.com", "http://localhost:5173"]).is_ok());
/// let mistake = TrustedOrigins::parse(["https://app.example.com/path"]).unwrap_err();
/// assert!(mistake.to_string().contains("without a path"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedOrigins(Vec<Origin>);

/// Text that is no origin, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trusted origin {text:?}: {problem}")]
pub struct MalformedOrigin {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl TrustedOrigins {
    /// No other origin than the own one.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads origins as browsers write them: `scheme://host` or `scheme://host:port`.
    ///
    /// # Errors
    /// [`MalformedOrigin`] with the first that is none. There are no wildcards: each origin is named.
    pub fn parse<I>(origins: I) -> Result<Self, MalformedOrigin>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        origins.into_iter().map(|text| text.as_ref().parse()).collect::<Result<_, _>>().map(TrustedOrigins)
    }

    pub(crate) fn contains(&self, origin: &OriginRef<'_>) -> bool {
        self.0.iter().any(|trusted| trusted.as_ref().same_as(origin))
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn as_ref(&self) -> OriginRef<'_> {
        OriginRef { scheme: self.scheme.as_bytes(), host: self.host.as_bytes(), port: self.port }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Origin {
    type Err = MalformedOrigin;

    fn from_str(text: &str) -> Result<Self, MalformedOrigin> {
        let refuse = |problem| MalformedOrigin { text: text.to_owned(), problem };
        let Some((_, rest)) = text.split_once("://") else {
            return Err(refuse("expected scheme://host, such as https://app.example.com"));
        };
        if rest.contains('*') {
            return Err(refuse("wildcards are not supported: name each origin"));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(refuse("expected scheme and host, without a path or a slash at the end"));
        }
        if rest.contains('@') {
            return Err(refuse("expected scheme and host, without a user"));
        }
        if !text.is_ascii() {
            return Err(refuse("expected ASCII: write an international name in its `xn--` form"));
        }
        let parsed =
            OriginRef::parse(text.as_bytes()).ok_or_else(|| refuse("expected scheme://host[:port]"))?;
        let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
        Ok(Origin { scheme: owned(parsed.scheme), host: owned(parsed.host), port: parsed.port })
    }
}

/// An origin as it stands in a request: scheme, host and port (RFC 6454 §6.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct OriginRef<'a> {
    pub(crate) scheme: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) port: Option<u16>,
}

impl<'a> OriginRef<'a> {
    /// Reads a serialized origin. `null`, a list of origins and anything with a path are none.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let at = text.windows(3).position(|w| w == b"://")?;
        let (scheme, rest) = (text.get(..at)?, text.get(at + 3..)?);
        let [first, others @ ..] = scheme else { return None };
        let scheme_byte = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !first.is_ascii_alphabetic() || !others.iter().all(scheme_byte) {
            return None;
        }
        let (host, port) = split_port(rest)?;
        Some(OriginRef { scheme, host, port })
    }

    /// The origin of a request to this authority (`host[:port]`), given its scheme.
    pub(crate) fn of_request(scheme: &'a [u8], authority: &'a [u8]) -> Option<Self> {
        let (host, port) = split_port(authority)?;
        Some(OriginRef { scheme, host, port })
    }

    /// The same scheme, host and port; a scheme's own port may be written or left out.
    pub(crate) fn same_as(&self, other: &OriginRef<'_>) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.host.eq_ignore_ascii_case(other.host)
            && self.effective_port() == other.effective_port()
    }

    fn effective_port(&self) -> Option<u16> {
        self.port.or_else(|| match self.scheme {
            s if s.eq_ignore_ascii_case(b"https") => Some(443),
            s if s.eq_ignore_ascii_case(b"http") => Some(80),
            _ => None,
        })
    }
}

/// Host and port of an authority without user; the brackets of an IPv6 address stay.
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let host_end = match authority {
        [b'[', ..] => memchr::memchr(b']', authority)? + 1,
        _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(host_end)?;
    let host_byte = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'~' | b'%')
    };
    if host.is_empty() || !host.iter().all(host_byte) {
        return None;
    }
    match rest {
        [] | [b':'] => Some((host, None)),
        [b':', digits @ ..] => {
            let fits = digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
            let port = fits.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()?;
            Some((host, Some(port)))
        }
        _ => None,
    }
}

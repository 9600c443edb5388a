use std::time::Duration;

/// Why a cookie cannot be sent as configured. Found when the configuration is built, never while serving.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The name is empty, or has a character that no cookie name may have.
    #[error("cookie name {name:?}: expected one or more of A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~")]
    Name {
        /// The name as configured.
        name: String,
    },
    /// Name and value together would pass the 4096 bytes that browsers accept.
    #[error("cookie name of {len} bytes: name and value together may have 4096, so the name at most {max}")]
    NameTooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest accepted.
        max: usize,
    },
    /// A name with one of the reserved prefixes, and attributes that browsers refuse with it.
    #[error("cookie name {name:?}: the prefix {prefix} needs {needs}; {remedy}")]
    Prefix {
        /// The name as configured.
        name: String,
        /// The prefix, in its usual spelling.
        prefix: &'static str,
        /// What the prefix asks for.
        needs: &'static str,
        /// What to change.
        remedy: &'static str,
    },
    /// `SameSite=None` or `Partitioned` on a cookie that is never `Secure`: browsers drop it.
    #[error("{attribute} needs `Secure`, and `secure` is `never`: use `auto` or `always`")]
    NeedsSecure {
        /// The attribute.
        attribute: &'static str,
    },
    /// The path does not start with `/`, or holds `;`, a control character or a non-ASCII one.
    #[error("cookie path {path:?}: expected `/` and printable ASCII without `;`")]
    Path {
        /// The path as configured.
        path: String,
    },
    /// The domain is not a host name.
    #[error("cookie domain {domain:?}: {problem}")]
    Domain {
        /// The domain as configured.
        domain: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Browsers drop an attribute of more than 1024 bytes.
    #[error("cookie {attribute} of {len} bytes: browsers accept at most 1024")]
    AttributeTooLong {
        /// The attribute.
        attribute: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// A persistent cookie lives from one second to 400 days.
    #[error("cookie lifetime {0:?}: expected 1 second to 400 days; leave it out to end with the browser")]
    Lifetime(Duration),
}

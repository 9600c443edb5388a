//! A layout: how a PHP application names its sessions, in which format they are, under which lock, by which ids.

use std::str::FromStr;
use std::time::Duration;

use cloakroom::{CookieConfig, IdRules, Limits, Locking, PlainId, PlainIds, Secure, SessionConfig};

use super::coding::{Coding, Form, Packing};
use super::error::LayoutError;
use super::named;
use crate::{Compression, Format};

/// What PHP's session module and phpredis accept as an id, and what PHP makes ids of (six bits a character).
pub(super) const ACCEPTED: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,-";
/// Without the comma and the dash: the comma has to be encoded in a cookie.
pub(super) const LETTERS_AND_DIGITS: &[u8] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
pub(super) const UP_TO_V: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
pub(super) const HEXADECIMAL: &[u8] = b"0123456789abcdef";

/// PHP's cookie by its usual name, `Secure` where the request is: what PHP leaves out does not show.
pub(super) fn php_cookie() -> CookieConfig {
    CookieConfig::new().name("PHPSESSID").secure(Secure::Auto)
}

/// Where a PHP application keeps its sessions, and what they look like there: one value, chosen by name.
///
/// ```
/// use cloakroom_php::layout::Layout;
///
/// let layout: Layout = "phpredis".parse()?;
/// let layout = layout
///     .prefix("shop:")                  // prefix= in session.save_path
///     .serialize_handler("igbinary")?   // session.serialize_handler
///     .compression(None)?               // redis.session.compression
///     .sid(32, 4)?                      // session.sid_length, session.sid_bits_per_character
///     .user_variable("user_id");        // $_SESSION['user_id'] says who is logged in
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The store of it: [`PhpSessions`](super::PhpSessions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(super) name: &'static str,
    /// Before the id, unless another one is told.
    pub(super) own_prefix: &'static str,
    /// Told: it stands whatever the layout becomes, even where it is the same.
    pub(super) told_prefix: Option<String>,
    pub(super) lock: LockAt,
    pub(super) coding: Coding,
    pub(super) ids: IdRules,
    /// `session.gc_maxlifetime`.
    pub(super) lifetime: Duration,
    pub(super) user_variable: Option<String>,
    pub(super) cookie: CookieConfig,
    pub(super) in_cookie: InCookie,
    pub(super) ini: Ini,
    /// Whether PHP's keys never expire.
    pub(super) endless: bool,
    pub(super) in_file: InFile,
}

/// What a file has of a session, where the sessions are in files.
///
/// Whoever reads such files has to know each form, for one that is taken for another is a session that is lost: so this is exhaustive, and a further form
/// breaks what matches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFile {
    /// The value. Its time of modification is when it was last used.
    Session,
    /// A [`CacheEntry`](crate::CacheEntry), in a file named by the digest of the key.
    CacheEntry,
}

/// What of php.ini's settings for sessions holds for a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ini {
    All,
    /// Ids and cookie; format and lifetime are the application's own.
    Ids,
    /// None: the application has settings of its own.
    Nothing,
}

/// What the cookie has of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InCookie {
    /// The id.
    Id,
    /// The id as Laravel encrypts it.
    #[cfg(feature = "laravel")]
    Encrypted(crate::Encrypter),
}

/// Where the lock of a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LockAt {
    /// In the key of the session with this behind it: PHP takes it as well.
    Behind(&'static str),
    /// In a key with this between the prefix and the id: PHP takes it as well.
    #[cfg(feature = "laravel")]
    Between(&'static str),
    /// In the id with this before it: PHP takes it as well.
    #[cfg(feature = "amp")]
    Mutex(String),
    /// On PHP's value itself, which is a file: PHP takes it as well.
    OnData,
    /// In a key of ours: PHP takes none.
    Beside,
}

impl Layout {
    /// The names that parse.
    pub fn names() -> impl Iterator<Item = &'static str> {
        named::ALL.iter().map(|(name, _)| *name)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How long a session lives without a request.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// What the names of sessions begin with.
    pub fn data_prefix(&self) -> &str {
        self.told_prefix.as_deref().unwrap_or(self.own_prefix)
    }

    /// What keys begin with: `prefix=` in `session.save_path`, or `prefix` of the application's own.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.told_prefix = Some(prefix.into());
        self
    }

    /// The format: `session.serialize_handler`.
    ///
    /// # Errors
    /// The handler is not known, or the layout has a format of its own.
    pub fn serialize_handler(mut self, handler: &str) -> Result<Self, LayoutError> {
        let format = handler.parse().map_err(|_| LayoutError::SerializeHandler(handler.to_owned()))?;
        self.coding.form = match (&self.coding.form, format) {
            (Form::Handler(_), _) if self.ini == Ini::All => Form::Handler(format),
            (Form::Alone(_), Format::Igbinary | Format::PhpSerialize) => Form::Alone(format),
            (Form::Bags(_), _) => Form::Bags(format),
            _ => {
                return Err(LayoutError::Fixed { layout: self.name, setting: "session.serialize_handler" });
            }
        };
        Ok(self)
    }

    /// How phpredis compresses what it stores: `redis.session.compression`, which phpredis knows from version 6 on. The level makes no difference
    /// to who reads: what is written here has one of its own.
    ///
    /// # Errors
    /// The layout is not phpredis' session handler's, or the feature `compression` is off.
    pub fn compression(mut self, compression: Option<Compression>) -> Result<Self, LayoutError> {
        if !self.is_by_phpredis() {
            return Err(LayoutError::Fixed { layout: self.name, setting: "redis.session.compression" });
        }
        self.coding.packing = match compression {
            None => Packing::NotSet,
            #[cfg(feature = "compression")]
            Some(by) => Packing::By(by),
            #[cfg(not(feature = "compression"))]
            Some(by) => return Err(LayoutError::NeedsCompression(by)),
        };
        Ok(self)
    }

    /// What ids that are made here look like: `session.sid_length` and `session.sid_bits_per_character`.
    ///
    /// With six bits the comma and the dash are left out, which PHP accepts: no cookie of ours has to be encoded.
    ///
    /// # Errors
    /// Such ids would have fewer than 128 secret bits, PHP does not take the values, or the layout has ids of its own.
    pub fn sid(mut self, length: usize, bits_per_character: u32) -> Result<Self, LayoutError> {
        if self.ini == Ini::Nothing {
            return Err(LayoutError::Fixed { layout: self.name, setting: "session.sid_length" });
        }
        let alphabet = match bits_per_character {
            4 => HEXADECIMAL,
            5 => UP_TO_V,
            6 => LETTERS_AND_DIGITS,
            other => return Err(LayoutError::SidBits(other)),
        };
        if !(22..=256).contains(&length) {
            return Err(LayoutError::SidLength(length));
        }
        let ids = IdRules { alphabet, length, ..self.ids.clone() };
        if ids.bits() < 128.0 {
            return Err(LayoutError::ShortIds { bits: bits_per_character * length as u32 });
        }
        self.ids = ids;
        Ok(self)
    }

    /// How long a session lives without a request: `session.gc_maxlifetime`, or `lifetime` of the application's own.
    ///
    /// # Errors
    /// Less than a second.
    pub fn gc_maxlifetime(mut self, lifetime: Duration) -> Result<Self, LayoutError> {
        if lifetime < Duration::from_secs(1) {
            return Err(LayoutError::MaxLifetime);
        }
        self.lifetime = lifetime;
        Ok(self)
    }

    /// The cookie's name: `session.name`.
    #[must_use]
    pub fn session_name(mut self, name: impl Into<String>) -> Self {
        self.cookie = self.cookie.name(name);
        self
    }

    /// The variable in which the PHP application keeps who is logged in, a string or an integer: `"user_id"` for
    /// `$_SESSION['user_id']`.
    ///
    /// Whoever PHP logged in is then logged in here, and `login` here logs in there. Without it, `login` and `bind_user` are
    /// refused: PHP would not know of it.
    #[must_use]
    pub fn user_variable(mut self, name: impl Into<String>) -> Self {
        self.user_variable = Some(name.into());
        self
    }

    /// A configuration with the cookie and the lifetime that this layout's sessions have: begin with it.
    ///
    /// The cookie has the application's name and attributes, the path `/`, and what PHP leaves out: it is `HttpOnly`, `SameSite=Lax`, and `Secure` where the
    /// request is. A session may have 1 MiB and 4,096 variables: PHP knows no limit, and what it stored must be writable here.
    pub fn session_config(&self) -> SessionConfig {
        let limits = Limits { session_bytes: 1 << 20, keys: 4096, ..Limits::default() };
        SessionConfig::new()
            .cookie(self.cookie_config())
            .idle(self.lifetime)
            .limits(limits)
            .locking(self.locking())
    }

    /// The cookie, with PHP's name and path. Part of [`session_config`](Self::session_config); change it from there.
    pub fn cookie_config(&self) -> CookieConfig {
        self.cookie.clone()
    }

    /// How the lock is taken: never handed on within this process while PHP waits for it, which PHP does for 22 ms unless it is
    /// told otherwise. Part of [`session_config`](Self::session_config); change it from there.
    pub fn locking(&self) -> Locking {
        Locking { handovers: 0, ..Locking::default() }
    }

    /// Whether phpredis' own session handler has the sessions: then they are where `session.save_path` says, in a cluster or over several servers as well.
    pub fn is_by_phpredis(&self) -> bool {
        self.coding.packing != Packing::Never
    }

    pub(super) fn plain_ids(&self) -> PlainIds {
        match &self.in_cookie {
            InCookie::Id => PlainIds::new(self.ids.clone()),
            #[cfg(feature = "laravel")]
            InCookie::Encrypted(encrypter) => {
                PlainIds::enveloped(self.ids.clone(), std::sync::Arc::new(encrypter.clone()))
            }
        }
    }

    /// What a file has of a session, where the sessions are in files.
    pub fn in_file(&self) -> InFile {
        self.in_file
    }

    /// The name under which PHP has a session. The id is a secret, and so is this: never log it.
    pub fn data_name(&self, id: &PlainId) -> String {
        format!("{}{}", self.data_prefix(), id.expose())
    }

    /// The name under which PHP has the lock of a session, where it takes one. As secret.
    pub fn lock_name(&self, id: &PlainId) -> Option<String> {
        match &self.lock {
            LockAt::Behind(suffix) => Some(format!("{}{suffix}", self.data_name(id))),
            #[cfg(feature = "amp")]
            LockAt::Mutex(prefix) => Some(format!("{prefix}{}", id.expose())),
            #[cfg(feature = "laravel")]
            LockAt::Between(infix) => Some(format!("{}{infix}{}", self.data_prefix(), id.expose())),
            LockAt::OnData | LockAt::Beside => None,
        }
    }
}

/// By its name.
impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(name: &str) -> Result<Self, LayoutError> {
        if let Some(name) = named::WITH_A_KEY.iter().find(|known| **known == name) {
            return Err(LayoutError::NeedsKey(name));
        }
        let known = named::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, layout)| layout()).ok_or_else(|| LayoutError::Name(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_fewer_than_128_bits_are_refused_with_the_setting_to_change() {
        let refused = Layout::phpredis().sid(22, 5).unwrap_err();
        assert_eq!(refused, LayoutError::ShortIds { bits: 110 });
        assert!(refused.to_string().contains("session.sid_length"), "{refused}");
        for (length, bits) in [(26, 5), (32, 4), (22, 6), (256, 6)] {
            let layout = Layout::phpredis().sid(length, bits).unwrap();
            assert_eq!(layout.ids.length, length);
        }
        assert_eq!(Layout::phpredis().sid(31, 4), Err(LayoutError::ShortIds { bits: 124 }));
        assert_eq!(Layout::phpredis().sid(257, 4), Err(LayoutError::SidLength(257)));
        assert_eq!(Layout::phpredis().sid(32, 7), Err(LayoutError::SidBits(7)));
    }

    #[test]
    fn only_phpredis_own_handler_compresses() {
        for name in Layout::names() {
            let layout: Layout = name.parse().unwrap();
            let taken = layout.compression(Some(Compression::Zstd));
            match name {
                "phpredis" | "symfony-phpredis" if cfg!(feature = "compression") => {
                    assert!(taken.is_ok(), "{name}")
                }
                "phpredis" | "symfony-phpredis" => {
                    assert_eq!(taken, Err(LayoutError::NeedsCompression(Compression::Zstd)), "{name}");
                }
                _ => assert!(matches!(taken, Err(LayoutError::Fixed { .. })), "{name}"),
            }
        }
    }

    #[test]
    fn keys_are_phpredis_own() {
        let layout: Layout = "phpredis".parse().unwrap();
        let id = layout.plain_ids().hold(b"0123456789abcdefghijklmnop").unwrap();
        assert_eq!(layout.data_name(&id), "PHPREDIS_SESSION:0123456789abcdefghijklmnop");
        let lock = |layout: &Layout| layout.lock_name(&id).unwrap();
        assert_eq!(lock(&layout), "PHPREDIS_SESSION:0123456789abcdefghijklmnop_LOCK");
        assert_eq!(lock(&layout.prefix("shop:")), "shop:0123456789abcdefghijklmnop_LOCK");
        for (name, locked) in [
            ("uma", "PHPREDIS_SESSION:0123456789abcdefghijklmnop_lock"),
            ("phalcon", "SESSIONS:0123456789abcdefghijklmnop_lock"),
        ] {
            let layout: Layout = name.parse().unwrap();
            assert_eq!((layout.name(), lock(&layout).as_str()), (name, locked));
        }
        assert_eq!("none".parse::<Layout>(), Err(LayoutError::Name("none".to_owned())));
        assert!(Layout::phpredis().serialize_handler("wddx").is_err());
        let fixed = Layout::phalcon().serialize_handler("igbinary").unwrap_err().to_string();
        assert!(fixed.contains("phalcon") && fixed.contains("session.serialize_handler"), "{fixed}");
    }
}

//! The settings as values, with what PHP itself makes of a strange one.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::cluster_path::{self, ClusterPath};
use super::findings::{self, Finding, Severity};
use super::read::PhpIni;
use super::save_path::{self, FilesPath, RedisServer, SavePathError};
use crate::compression::Compression;
use crate::format::Format;

pub(super) const COMPRESSION: &str = "redis.session.compression";

/// `session.save_handler`: who keeps the sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveHandler {
    /// PHP's own files.
    Files,
    /// phpredis.
    Redis,
    /// phpredis, on a cluster.
    RedisCluster,
    /// Another extension.
    Other(String),
}

impl SaveHandler {
    /// Its name in `session.save_handler`.
    pub fn name(&self) -> &str {
        match self {
            SaveHandler::Files => "files",
            SaveHandler::Redis => "redis",
            SaveHandler::RedisCluster => "rediscluster",
            SaveHandler::Other(name) => name,
        }
    }
}

/// What PHP is set to do with sessions.
///
/// `Debug` shows no `save_path`: there may be a password in it.
#[derive(Clone)]
#[non_exhaustive]
pub struct SessionIni {
    /// `session.name`: the cookie's name.
    pub name: String,
    /// `session.save_handler`
    pub save_handler: SaveHandler,
    pub(super) save_path: String,
    /// `session.serialize_handler`; `None` for one that this crate does not know.
    pub format: Option<Format>,
    /// `redis.session.compression`, which phpredis knows from version 6 on; `None` for `none`, and for what phpredis takes for that.
    pub compression: Option<Compression>,
    /// `session.gc_maxlifetime`: how long a session lives without being used.
    pub lifetime: Duration,
    /// What ids look like.
    pub id: IdFormat,
    /// The cookie.
    pub cookie: CookieIni,
    /// `session.use_strict_mode`: ids that PHP did not make are refused.
    pub strict_mode: bool,
    /// `session.use_cookies`, `session.use_only_cookies` and not `session.use_trans_sid`: ids travel in cookies only.
    pub only_cookies: bool,
    /// `session.cache_limiter`
    pub cache_limiter: String,
    /// `session.cache_expire`
    pub cache_expire: Duration,
    /// `session.lazy_write`: an unchanged session is not written.
    pub lazy_write: bool,
    /// phpredis' lock.
    pub lock: LockIni,
    /// `igbinary.compact_strings`
    pub compact_strings: bool,
    /// `max_execution_time`: zero is for ever.
    pub max_execution_time: Duration,
    pub(super) findings: Vec<Finding>,
}

/// `session.sid_length` and `session.sid_bits_per_character`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdFormat {
    /// Characters, 22 to 256.
    pub length: u16,
    /// Bits in each: 4 for `0-9a-f`, 5 for `0-9a-v`, 6 for `0-9a-zA-Z-,`.
    pub bits_per_character: u8,
}

impl IdFormat {
    /// Bits that somebody has to guess.
    #[must_use]
    pub fn bits(self) -> u32 {
        u32::from(self.length) * u32::from(self.bits_per_character)
    }
}

/// The `session.cookie_…` settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieIni {
    /// Zero: until the browser is closed.
    pub lifetime: Duration,
    /// `Path`
    pub path: String,
    /// `Domain`; empty is none.
    pub domain: String,
    /// `Secure`
    pub secure: bool,
    /// `HttpOnly`
    pub http_only: bool,
    /// `SameSite`; empty is none.
    pub same_site: String,
}

/// phpredis' lock of a session. What is not set is as phpredis 5 has it, which waits for 22 ms; phpredis 6 waits for two seconds then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockIni {
    /// `redis.session.locking_enabled`
    pub enabled: bool,
    /// `redis.session.lock_expire`; zero is `max_execution_time`.
    pub expire: Duration,
    /// `redis.session.lock_retries`; `None` is for ever, and none at all where PHP does not even try once (below -1).
    pub retries: Option<u32>,
    /// `redis.session.lock_wait_time`: the pause between two tries.
    pub wait: Duration,
}

impl LockIni {
    /// How long a request waits for the lock; `None` is for ever.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        self.retries.map(|retries| self.wait.saturating_mul(retries.saturating_add(1)))
    }
}

impl fmt::Debug for SessionIni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionIni")
            .field("name", &self.name)
            .field("save_handler", &self.save_handler)
            .field("format", &self.format)
            .field("lifetime", &self.lifetime)
            .field("id", &self.id)
            .field("cookie", &self.cookie)
            .field("strict_mode", &self.strict_mode)
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

impl SessionIni {
    pub(super) fn of(ini: &PhpIni) -> Self {
        let mut reader = Reader { ini, findings: ini.troubles.clone() };
        let handler = reader.text("session.save_handler", "files");
        let serializer = reader.text("session.serialize_handler", "php");
        let only_cookies = reader.switch("session.use_cookies", true)
            & reader.switch("session.use_only_cookies", true)
            & !reader.switch("session.use_trans_sid", false);
        let gc_maxlifetime = match reader.number("session.gc_maxlifetime", 1440) {
            // As phpredis takes it.
            seconds if seconds <= 0 => 1440,
            seconds => seconds,
        };
        let id = IdFormat {
            length: u16::try_from(reader.bounded("session.sid_length", 32, 22..=256)).unwrap_or(32),
            bits_per_character: u8::try_from(reader.bounded("session.sid_bits_per_character", 4, 4..=6))
                .unwrap_or(4),
        };
        let mut session = SessionIni {
            name: reader.text("session.name", "PHPSESSID"),
            save_handler: match handler.as_str() {
                "files" => SaveHandler::Files,
                "redis" => SaveHandler::Redis,
                "rediscluster" => SaveHandler::RedisCluster,
                _ => SaveHandler::Other(handler),
            },
            save_path: reader.text("session.save_path", ""),
            format: serializer.parse().ok(),
            compression: Compression::of_setting(&reader.text(COMPRESSION, "none")).unwrap_or(None),
            lifetime: seconds(gc_maxlifetime),
            id,
            cookie: CookieIni {
                lifetime: seconds(reader.number("session.cookie_lifetime", 0)),
                path: reader.text("session.cookie_path", "/"),
                domain: reader.text("session.cookie_domain", ""),
                secure: reader.switch("session.cookie_secure", false),
                http_only: reader.switch("session.cookie_httponly", false),
                same_site: reader.text("session.cookie_samesite", ""),
            },
            strict_mode: reader.switch("session.use_strict_mode", false),
            only_cookies,
            cache_limiter: reader.text("session.cache_limiter", "nocache"),
            cache_expire: seconds(reader.number("session.cache_expire", 180).saturating_mul(60)),
            lazy_write: reader.switch("session.lazy_write", true),
            lock: lock(&mut reader),
            compact_strings: reader.switch("igbinary.compact_strings", true),
            max_execution_time: seconds(reader.number("max_execution_time", 30)),
            findings: Vec::new(),
        };
        let troubles = std::mem::take(&mut reader.findings);
        session.findings = findings::judge(&session, ini, troubles);
        session
    }

    /// The servers of `session.save_path`, where phpredis keeps the sessions.
    ///
    /// # Errors
    /// When the path is not of that form.
    pub fn servers(&self) -> Result<Vec<RedisServer>, SavePathError> {
        save_path::redis(&self.save_path)
    }

    /// The cluster of `session.save_path`, where phpredis keeps the sessions in one.
    ///
    /// # Errors
    /// When the path names no node.
    pub fn cluster(&self) -> Result<ClusterPath, SavePathError> {
        cluster_path::cluster(&self.save_path)
    }

    /// The folder of `session.save_path`, where PHP's own handler keeps the sessions.
    ///
    /// # Errors
    /// When the path is not of that form.
    pub fn folder(&self) -> Result<FilesPath, SavePathError> {
        save_path::files(&self.save_path)
    }

    /// What is wrong with these settings, the worst first.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

/// As phpredis takes it: zero is its default.
fn lock(reader: &mut Reader<'_>) -> LockIni {
    const RETRIES: i64 = 10;
    const MICROSECONDS: i64 = 2000;
    let or_default = |number, default| if number == 0 { default } else { number };
    let wait = or_default(reader.number("redis.session.lock_wait_time", MICROSECONDS), MICROSECONDS);
    LockIni {
        enabled: reader.switch("redis.session.locking_enabled", false),
        expire: seconds(reader.number("redis.session.lock_expire", 0)),
        retries: match or_default(reader.number("redis.session.lock_retries", RETRIES), RETRIES) {
            -1 => None,
            retries => Some(u32::try_from(retries.max(0)).unwrap_or(u32::MAX)),
        },
        wait: Duration::from_micros(u64::try_from(wait).unwrap_or(0)),
    }
}

/// Values as PHP takes them; what is none is found fault with.
struct Reader<'a> {
    ini: &'a PhpIni,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn text(&self, key: &str, otherwise: &str) -> String {
        self.ini.get(key).map_or(otherwise, |setting| setting.value.as_str()).to_owned()
    }

    /// `1`, `on`, `yes`, `true`, and any other number.
    fn switch(&self, key: &str, otherwise: bool) -> bool {
        let Some(setting) = self.ini.get(key) else { return otherwise };
        let value = setting.value.trim();
        ["on", "yes", "true"].iter().any(|word| value.eq_ignore_ascii_case(word))
            || leading_number(value).is_some_and(|(number, _)| number != 0)
    }

    /// A number that PHP refuses where it is out of bounds, with a warning in its log, to keep its default.
    fn bounded(&mut self, key: &str, otherwise: i64, bounds: RangeInclusive<i64>) -> i64 {
        let number = self.number(key, otherwise);
        if bounds.contains(&number) {
            return number;
        }
        if let Some(setting) = self.ini.get(key) {
            self.findings.push(Finding {
                severity: Severity::Risk,
                setting: key.to_owned(),
                place: setting.place.clone(),
                why: format!("is not between {} and {}: PHP takes {otherwise}", bounds.start(), bounds.end()),
                change: format!("{key} = {otherwise}"),
            });
        }
        otherwise
    }

    /// A whole number, with PHP's `K`, `M` and `G` behind it.
    fn number(&mut self, key: &str, otherwise: i64) -> i64 {
        let Some(setting) = self.ini.get(key) else { return otherwise };
        let value = setting.value.trim();
        let (number, rest) = leading_number(value).unwrap_or((0, value));
        let unit = match rest.trim() {
            "" => 1,
            "k" | "K" => 1 << 10,
            "m" | "M" => 1 << 20,
            "g" | "G" => 1 << 30,
            _ => 0,
        };
        if unit == 0 || (value.is_empty() && otherwise != 0) {
            self.findings.push(Finding::loses(
                key,
                &setting.place,
                format!("is not a whole number: PHP takes {number}"),
                format!("{key} = {otherwise}"),
            ));
        }
        number.saturating_mul(unit.max(1))
    }
}

fn leading_number(text: &str) -> Option<(i64, &str)> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = text.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at_checked(end)?;
    Some((number.strip_prefix('+').unwrap_or(number).parse().ok()?, rest))
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

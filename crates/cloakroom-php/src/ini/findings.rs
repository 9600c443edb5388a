//! What is wrong with a set of settings, why, and the line to write instead.

use std::fmt;
use std::time::Duration;

use super::read::PhpIni;
use super::session::{COMPRESSION, SaveHandler, SessionIni};
use crate::compression::Compression;

/// How bad it is. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Sessions, or changes to them, get lost.
    Loses,
    /// Somebody else may get into a session.
    Exposes,
    /// It may go wrong in some circumstances.
    Risk,
    /// Something to know when the sessions are shared.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Loses => "loses",
            Self::Exposes => "exposes",
            Self::Risk => "risk",
            Self::Note => "note",
        })
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// PHP's name of the setting.
    pub setting: String,
    /// Where it is set: file and line, or that it is not.
    pub place: String,
    /// What comes of it, as the end of a sentence that begins with the setting.
    pub why: String,
    /// The line to write.
    pub change: String,
}

impl Finding {
    pub(super) fn loses(setting: &str, place: &str, why: String, change: String) -> Self {
        Finding {
            severity: Severity::Loses,
            setting: setting.to_owned(),
            place: place.to_owned(),
            why,
            change,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}) {}; {}", self.severity, self.setting, self.place, self.why, self.change)
    }
}

/// Waiting for less than this, requests of one visitor give up on each other in ordinary use.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// Bits of an id that nobody guesses.
///
/// Source: OWASP's [Session Management Cheat Sheet](https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html)
/// asks for 64 bits of entropy at least; 128 is what everything of ours has.
const ENOUGH_BITS: u32 = 128;

/// Looks at everything.
pub(super) fn judge(session: &SessionIni, ini: &PhpIni, troubles: Vec<Finding>) -> Vec<Finding> {
    let mut judge = Judge { session, ini, found: troubles };
    judge.locks();
    judge.strangers();
    judge.cookie();
    judge.keeping();
    let mut found = judge.found;
    found.sort_by_key(|finding| finding.severity);
    found
}

struct Judge<'a> {
    session: &'a SessionIni,
    ini: &'a PhpIni,
    found: Vec<Finding>,
}

impl Judge<'_> {
    fn add(&mut self, severity: Severity, setting: &str, why: impl Into<String>, value: &str) {
        let place = match self.ini.get(setting) {
            Some(setting) => setting.place.clone(),
            None => "not set, so PHP's default".to_owned(),
        };
        self.found.push(Finding {
            severity,
            setting: setting.to_owned(),
            place,
            why: why.into(),
            change: format!("{setting} = {value}"),
        });
    }

    /// What two requests of one visitor do to each other.
    fn locks(&mut self) {
        let (handler, lock) = (&self.session.save_handler, self.session.lock);
        if *handler == SaveHandler::RedisCluster {
            self.add(
                Severity::Loses,
                "session.save_handler",
                "is phpredis' handler for clusters, which does not lock: of two requests at once, the later one overwrites \
                 what the earlier one changed",
                "redis",
            );
            if self.session.cluster().is_ok_and(|cluster| cluster.reads_replicas) {
                self.add(
                    Severity::Loses,
                    "session.save_path",
                    "has a failover that reads from replicas: what they do not have yet is overwritten",
                    "\"seed[]=HOST:PORT&seed[]=HOST:PORT\"",
                );
            }
        }
        if *handler != SaveHandler::Redis {
            return;
        }
        if !lock.enabled {
            self.add(
                Severity::Loses,
                "redis.session.locking_enabled",
                "is off: of two requests at once, the later one overwrites what the earlier one changed",
                "1",
            );
            return;
        }
        if self.session.servers().is_ok_and(|servers| servers.len() > 1) {
            self.add(
                Severity::Loses,
                "session.save_path",
                "names several servers while locking is on: phpredis frees a lock on another server than the one it took \
                 it on, and the session stays locked",
                "\"tcp://ONE_SERVER:6379\"",
            );
        }
        if lock.expire.is_zero() {
            let until = if self.session.max_execution_time.is_zero() {
                "a request that dies leaves its session locked for ever".to_owned()
            } else {
                format!(
                    "a request that dies leaves its session locked for {} seconds",
                    self.session.max_execution_time.as_secs()
                )
            };
            self.add(
                Severity::Loses,
                "redis.session.lock_expire",
                format!("is 0: {until}, and PHP writes without looking whether the lock is still its own"),
                "30",
            );
        }
        match lock.patience() {
            None => self.add(
                Severity::Risk,
                "redis.session.lock_retries",
                "is negative: requests wait for ever, and one slow page can take all of PHP's workers",
                "100",
            ),
            Some(patience) if patience < SHORT_PATIENCE => {
                let unset = ["redis.session.lock_retries", "redis.session.lock_wait_time"]
                    .iter()
                    .all(|setting| self.ini.get(setting).is_none());
                let why = format!(
                    "is such that a request waits {} ms for the lock{}; then phpredis 5 goes on without it, and what it changes is \
                     lost, and phpredis 6 begins no session",
                    patience.as_millis(),
                    if unset { " (with phpredis 6, whose default is another one, two seconds)" } else { "" },
                );
                let wait = lock.wait.max(Duration::from_millis(1));
                let retries = SHORT_PATIENCE.as_micros().div_ceil(wait.as_micros().max(1));
                self.add(Severity::Loses, "redis.session.lock_retries", why, &retries.to_string());
            }
            Some(_) => {}
        }
    }

    /// Who may get into a session.
    fn strangers(&mut self) {
        if !self.session.strict_mode {
            self.add(
                Severity::Exposes,
                "session.use_strict_mode",
                "is off: PHP takes any id it is given, so that an attacker can choose his victim's",
                "1",
            );
        }
        if !self.session.only_cookies {
            let setting = ["session.use_trans_sid", "session.use_only_cookies", "session.use_cookies"]
                .into_iter()
                .find(|setting| self.ini.get(setting).is_some())
                .unwrap_or("session.use_only_cookies");
            let value = if setting == "session.use_trans_sid" { "0" } else { "1" };
            self.add(
                Severity::Exposes,
                setting,
                "lets ids travel in addresses, where logs, bookmarks and other sites see them; Rust takes them from cookies only",
                value,
            );
        }
        if self.session.id.bits() < ENOUGH_BITS {
            let bits = self.session.id.bits_per_character;
            self.add(
                Severity::Exposes,
                "session.sid_length",
                format!(
                    "makes ids of {} bits, and Rust makes none below {ENOUGH_BITS}",
                    self.session.id.bits()
                ),
                &ENOUGH_BITS.div_ceil(u32::from(bits.max(1))).to_string(),
            );
        }
        for (setting, value, default) in [
            ("session.sid_length", i64::from(self.session.id.length), 32),
            ("session.sid_bits_per_character", i64::from(self.session.id.bits_per_character), 4),
        ] {
            if value != default {
                self.add(
                    Severity::Note,
                    setting,
                    "is deprecated since PHP 8.4, which says so whenever it starts; without both of these settings ids have 32 \
                     characters of 4 bits",
                    &default.to_string(),
                );
            }
        }
        let servers = self.session.servers().unwrap_or_default();
        let redis = matches!(self.session.save_handler, SaveHandler::Redis);
        if redis
            && servers.iter().any(|server| {
                server.address.is_remote()
                    && matches!(&server.address, super::Address::Tcp { tls: false, .. })
            })
        {
            self.add(
                Severity::Risk,
                "session.save_path",
                "leads to another machine without TLS: who can listen there reads every session",
                "\"tls://HOST:PORT\"",
            );
        }
    }

    fn cookie(&mut self) {
        let cookie = &self.session.cookie;
        if !cookie.http_only {
            self.add(
                Severity::Exposes,
                "session.cookie_httponly",
                "is off: a script that got into a page can read the id",
                "1",
            );
        }
        if !cookie.secure {
            self.add(
                Severity::Exposes,
                "session.cookie_secure",
                "is off: the id also travels without TLS",
                "1",
            );
        }
        let same_site = cookie.same_site.as_str();
        if !["lax", "strict", "none"].iter().any(|known| same_site.eq_ignore_ascii_case(known)) {
            let why = if same_site.is_empty() {
                "is not set: browsers differ in what they let other sites send"
            } else {
                "is none of Lax, Strict and None"
            };
            self.add(Severity::Exposes, "session.cookie_samesite", why, "\"Lax\"");
        } else if same_site.eq_ignore_ascii_case("none") && !cookie.secure {
            self.add(
                Severity::Loses,
                "session.cookie_samesite",
                "is None without session.cookie_secure: browsers drop the cookie",
                "\"Lax\"",
            );
        }
        if cookie.lifetime > self.session.lifetime {
            let (kept, lives) = (cookie.lifetime.as_secs(), self.session.lifetime.as_secs());
            self.add(
                Severity::Risk,
                "session.gc_maxlifetime",
                format!(
                    "ends a session after {lives} seconds of rest, while browsers keep its cookie for {kept}"
                ),
                &kept.to_string(),
            );
        }
        let limiter = self.session.cache_limiter.as_str();
        if !["nocache", "private", "private_no_expire"].contains(&limiter) {
            self.add(
                Severity::Exposes,
                "session.cache_limiter",
                "lets caches on the way keep pages of one visitor and show them to others",
                "nocache",
            );
        }
    }

    /// What phpredis 6 alone knows.
    fn compressing(&mut self) {
        if !matches!(self.session.save_handler, SaveHandler::Redis | SaveHandler::RedisCluster) {
            return;
        }
        let set = self.ini.get(COMPRESSION).map_or("none", |setting| setting.value.as_str());
        match Compression::of_setting(set) {
            Ok(None) => {}
            Ok(Some(_)) => self.add(
                Severity::Note,
                COMPRESSION,
                "is known to phpredis 6 (php --ri redis): an older one passes over it, and cannot read what is compressed",
                "none",
            ),
            Err(_) => self.add(
                Severity::Risk,
                COMPRESSION,
                "is no compression that phpredis knows: it says so in PHP's log at every request, and does not compress",
                "none",
            ),
        }
    }

    /// Where and how they are kept.
    fn keeping(&mut self) {
        if let SaveHandler::Other(_) = self.session.save_handler {
            self.add(
                Severity::Note,
                "session.save_handler",
                "is one whose sessions Rust does not read: files and redis are",
                "redis",
            );
        }
        if self.session.format.is_none() {
            self.add(
                Severity::Note,
                "session.serialize_handler",
                "is one that Rust does not read: php, php_serialize, php_binary, igbinary and msgpack are",
                "php_serialize",
            );
        }
        self.compressing();
        let (path, change) = match self.session.save_handler {
            SaveHandler::Redis => (self.session.servers().map(drop), "\"tcp://127.0.0.1:6379\""),
            SaveHandler::RedisCluster => {
                (self.session.cluster().map(drop), "\"seed[]=HOST:PORT&seed[]=HOST:PORT\"")
            }
            SaveHandler::Files => (self.session.folder().map(drop), "\"/var/lib/php/sessions\""),
            _ => return,
        };
        if let Err(error) = path {
            self.add(Severity::Loses, "session.save_path", format!("is wrong: {error}"), change);
        }
    }
}

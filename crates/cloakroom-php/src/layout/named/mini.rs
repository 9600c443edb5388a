//! mini's sessions, which it keeps in its cache.

use std::time::Duration;

use cloakroom::{CookieLifetime, IdRules};

use crate::Format;
use crate::layout::coding::Form;
use crate::layout::scheme::{ACCEPTED, HEXADECIMAL, InFile, Ini, Layout, LockAt, php_cookie};

impl Layout {
    /// mini, whose sessions are in its cache: on SQLite (it belongs on that file, `cloakroom_sqlite::php::PhpCache`), or in files where PHP has no SQLite (it belongs on
    /// that directory, `cloakroom_file::php::PhpFiles`).
    ///
    /// As mini has it without further settings: entries `session.ID`, `serialize()`, ids of 64 hexadecimal digits, 10,800 seconds (`session.cache_expire`), cookie
    /// `PHPSESSID` for as long. mini takes no lock: leases of ours exclude each other only.
    pub fn mini() -> Self {
        let three_hours = Duration::from_secs(180 * 60);
        Layout {
            name: "mini",
            own_prefix: "session.",
            told_prefix: None,
            lock: LockAt::Beside,
            coding: Form::Handler(Format::PhpSerialize).into(),
            ids: IdRules { alphabet: HEXADECIMAL, length: 64, accepted: ACCEPTED, lengths: 22..=256 },
            lifetime: three_hours,
            cookie: php_cookie().lifetime(CookieLifetime::Persistent(three_hours)),
            ini: Ini::Nothing,
            in_file: InFile::CacheEntry,
            ..Layout::phpredis()
        }
    }
}

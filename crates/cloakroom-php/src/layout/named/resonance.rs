//! Resonance's sessions.

use std::time::Duration;

use cloakroom::{CookieConfig, CookieLifetime, IdRules, SameSite, Secure};

use crate::Format;
use crate::layout::coding::Form;
use crate::layout::scheme::{HEXADECIMAL, InCookie, InFile, Ini, Layout, LockAt};

/// 128 random bytes.
const IDS: IdRules =
    IdRules { alphabet: HEXADECIMAL, length: 256, accepted: HEXADECIMAL, lengths: 256..=256 };

impl Layout {
    /// Resonance on Swoole: keys `dm:.sessionID`, values of `igbinary_serialize()`, a day, cookie `dmsession` (`Secure`, `SameSite=Strict`).
    ///
    /// [`prefix`](Self::prefix) is the prefix of its Redis pool with `.session` behind it; `cookie_name` is [`session_name`](Self::session_name), `cookie_lifespan` is
    /// [`gc_maxlifetime`](Self::gc_maxlifetime). Where PHP has no extension `igbinary`: [`serialize_handler`](Self::serialize_handler)`("php_serialize")`.
    ///
    /// Keys never expire there. Here they get an expiry whenever they are written or, once in a while, read; a key without one is read as any other. PHP's next
    /// write takes the expiry away again. PHP takes no lock; leases of ours are in keys of our own, and exclude each other only.
    pub fn resonance() -> Self {
        let day = Duration::from_secs(24 * 3600);
        let cookie = CookieConfig::new().name("dmsession").secure(Secure::Always);
        Layout {
            name: "resonance",
            own_prefix: "dm:.session",
            told_prefix: None,
            lock: LockAt::Beside,
            coding: Form::Alone(Format::Igbinary).into(),
            ids: IDS,
            lifetime: day,
            user_variable: None,
            cookie: cookie.same_site(SameSite::Strict).lifetime(CookieLifetime::Persistent(day)),
            in_cookie: InCookie::Id,
            ini: Ini::Nothing,
            endless: true,
            in_file: InFile::Session,
        }
    }
}

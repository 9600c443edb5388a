//! Laravel's session driver `redis`.

use std::time::Duration;

use cloakroom::{CookieConfig, CookieLifetime, IdEnvelope, IdRules, Secure};

use crate::layout::coding::Form;
use crate::layout::scheme::{InCookie, InFile, Ini, LETTERS_AND_DIGITS, Layout, LockAt};
use crate::{Encrypter, Laravel};

/// What the class `Illuminate\Auth\SessionGuard` is called in the names of variables: its SHA-1.
const SESSION_GUARD: &str = "59ba36addc2b2f9401580f014c7f58ea4e30989d";

/// The settings of a Laravel application that its sessions depend on.
///
/// ```
/// use cloakroom_php::layout::{LaravelApp, Layout};
/// use cloakroom_php::{AppKey, Cipher, Encrypter};
///
/// let key: AppKey = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse()?; // APP_KEY
/// let app = LaravelApp::new(Encrypter::new(Cipher::Cbc, key, [])).encrypt(); // SESSION_ENCRYPT=true
/// let layout = Layout::laravel(app).prefix("shop_database_shop_cache_"); // REDIS_PREFIX and CACHE_PREFIX
/// # Ok::<(), cloakroom_php::InvalidAppKey>(())
/// ```
#[derive(Clone, Debug)]
pub struct LaravelApp {
    encrypter: Encrypter,
    hyphens: bool,
    json: bool,
    encrypt: bool,
    plain_cookie: bool,
    expire_on_close: bool,
    lifetime: Duration,
    guard: String,
}

impl LaravelApp {
    /// As an application of Laravel 12 or older begins: sessions as `serialize()` text, not encrypted, for 120 minutes, under
    /// `laravel_database_laravel_cache_`, and the cookie `laravel_session`, which is encrypted.
    pub fn new(encrypter: Encrypter) -> Self {
        LaravelApp {
            encrypter,
            hyphens: false,
            json: false,
            encrypt: false,
            plain_cookie: false,
            expire_on_close: false,
            lifetime: Duration::from_secs(120 * 60),
            guard: "web".to_owned(),
        }
    }

    /// As Laravel 13 begins: under `laravel-database-laravel-cache-`.
    #[must_use]
    pub fn since_13(mut self) -> Self {
        self.hyphens = true;
        self
    }

    /// `session.serialization` is `json`.
    #[must_use]
    pub fn json(mut self) -> Self {
        self.json = true;
        self
    }

    /// `session.encrypt` is on: not the cookie alone is encrypted, the session is as well.
    #[must_use]
    pub fn encrypt(mut self) -> Self {
        self.encrypt = true;
        self
    }

    /// The session's cookie is excepted from `EncryptCookies`.
    #[must_use]
    pub fn plain_cookie(mut self) -> Self {
        self.plain_cookie = true;
        self
    }

    /// `session.lifetime`, which the cookie has as well.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// `session.expire_on_close` is on: the cookie ends with the browser.
    #[must_use]
    pub fn expire_on_close(mut self) -> Self {
        self.expire_on_close = true;
        self
    }

    /// The guard by which users are logged in, of the driver `session`; `web` unless told otherwise.
    ///
    /// `session.login("7")` sets `login_web_…`, as `Auth::loginUsingId(7)` does; `session.user()` is who is logged in by it. A guard of a class of one's own
    /// has another variable: name it with [`Layout::user_variable`].
    #[must_use]
    pub fn guard(mut self, name: impl Into<String>) -> Self {
        self.guard = name.into();
        self
    }
}

impl Layout {
    /// Laravel with `SESSION_DRIVER=redis`: what phpredis or Predis keeps for its cache, without a serializer or compression of the connection's own.
    ///
    /// Keys begin with the connection's prefix and the cache's: [`prefix`](Self::prefix) takes both. The cookie's name is [`session_name`](Self::session_name).
    ///
    /// The lock is the one that routes take with `block()`, or all with `session.block`: others of Laravel's requests take none, and undo what is written while
    /// they run. Flash data is aged by Laravel's own requests, not here.
    pub fn laravel(app: LaravelApp) -> Self {
        let prefix =
            if app.hyphens { "laravel-database-laravel-cache-" } else { "laravel_database_laravel_cache_" };
        let mut coding = Laravel::new();
        if app.json {
            coding = coding.with_json();
        }
        if app.encrypt {
            coding = coding.encrypted_by(app.encrypter.clone());
        }
        let cookie_lifetime = match app.expire_on_close {
            true => CookieLifetime::BrowserSession,
            false => CookieLifetime::Persistent(app.lifetime),
        };
        Layout {
            name: "laravel",
            own_prefix: prefix,
            told_prefix: None,
            lock: LockAt::Between("session:"),
            coding: Form::Laravel(coding).into(),
            ids: IdRules {
                alphabet: LETTERS_AND_DIGITS,
                length: 40,
                accepted: LETTERS_AND_DIGITS,
                lengths: 40..=40,
            },
            lifetime: app.lifetime,
            user_variable: Some(format!("login_{}_{SESSION_GUARD}", app.guard)),
            cookie: CookieConfig::new()
                .name("laravel_session")
                .secure(Secure::Auto)
                .lifetime(cookie_lifetime),
            in_cookie: if app.plain_cookie { InCookie::Id } else { InCookie::Encrypted(app.encrypter) },
            ini: Ini::Nothing,
            endless: false,
            in_file: InFile::Session,
        }
    }
}

/// Ids as `EncryptCookies` has them.
impl IdEnvelope for Encrypter {
    fn open(&self, cookie: &str, presented: &[u8]) -> Option<Vec<u8>> {
        self.open_cookie(cookie, presented)
    }

    fn seal(&self, cookie: &str, id: &str) -> Option<String> {
        self.seal_cookie(cookie, id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::LayoutError;
    use crate::{AppKey, Cipher};

    fn app() -> LaravelApp {
        let key: AppKey = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse().unwrap();
        LaravelApp::new(Encrypter::new(Cipher::Cbc, key, []))
    }

    #[test]
    fn keys_are_laravels_own_of_either_time() {
        let id = "aB3".repeat(13) + "z";
        let layout = Layout::laravel(app());
        let held = layout.plain_ids().hold(id.as_bytes()).unwrap();
        assert_eq!(layout.data_name(&held), format!("laravel_database_laravel_cache_{id}"));
        let lock = layout.lock_name(&held).unwrap();
        assert_eq!(lock, format!("laravel_database_laravel_cache_session:{id}"));
        let since = Layout::laravel(app().since_13());
        assert_eq!(since.data_name(&held), format!("laravel-database-laravel-cache-{id}"));
        for wrong in [&id[1..], &format!("{id}a"), &id.replace('z', "-"), &id.replace('z', ",")] {
            assert!(layout.plain_ids().hold(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_laravel_does_not_go_by_is_refused() {
        assert_eq!("laravel".parse::<Layout>(), Err(LayoutError::NeedsKey("laravel")));
        let refused = [Layout::laravel(app()).serialize_handler("php"), Layout::laravel(app()).sid(32, 5)];
        for refused in refused {
            assert!(matches!(refused, Err(LayoutError::Fixed { layout: "laravel", .. })), "{refused:?}");
        }
        let ini = crate::ini::PhpIni::default().session();
        assert!(Layout::laravel(app()).with_ini(&ini).unwrap_err().to_string().contains("php.ini"));
    }

    #[test]
    fn no_key_shows() {
        let shown = format!("{:?} {:?}", app(), Layout::laravel(app().encrypt()));
        assert!(shown.contains("AppKey(AES-256)") && !shown.contains("1, 2, 3"), "{shown}");
    }
}

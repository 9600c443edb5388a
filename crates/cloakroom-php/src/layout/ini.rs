//! What php.ini says of sessions wherever they are kept.

use std::time::Duration;

use cloakroom::{CacheLimiter, CookieConfig, CookieLifetime, SameSite, Secure, SessionConfig};

use super::error::LayoutError;
use super::scheme::{Ini, Layout};
use crate::ini::SessionIni;

impl Layout {
    /// This layout as php.ini has it: format, compression, ids, lifetime and cookie; and the configuration that goes with it. Format and lifetime stay as
    /// they are where the application does not go by php.ini there ([`phalcon`](Self::phalcon)).
    ///
    /// The configuration is stricter than PHP where that cannot be noticed: the cookie is `HttpOnly`, `SameSite=Lax` where PHP says nothing, and
    /// `Secure` where the request is.
    ///
    /// # Errors
    /// [`LayoutError`]: which setting does not do.
    pub fn with_ini(self, php: &SessionIni) -> Result<(Self, SessionConfig), LayoutError> {
        let mut layout = self;
        if layout.ini == Ini::Nothing {
            return Err(LayoutError::Fixed { layout: layout.name, setting: "php.ini" });
        }
        if layout.ini == Ini::All {
            layout = layout
                .serialize_handler(php.format.map_or("", |format| format.name()))?
                .gc_maxlifetime(php.lifetime)?;
        }
        if layout.is_by_phpredis() {
            layout = layout.compression(php.compression)?;
        }
        let layout = layout
            .sid(usize::from(php.id.length), u32::from(php.id.bits_per_character))?
            .session_name(&php.name);
        let config = layout.session_config().cookie(cookie(php)).cache_limiter(cache_limiter(php));
        Ok((layout, config))
    }
}

fn cookie(php: &SessionIni) -> CookieConfig {
    let php_cookie = &php.cookie;
    let cookie = CookieConfig::new()
        .name(&php.name)
        .path(&php_cookie.path)
        .same_site(php_cookie.same_site.parse().unwrap_or(SameSite::Lax))
        .secure(if php_cookie.secure { Secure::Always } else { Secure::Auto })
        .lifetime(match php_cookie.lifetime {
            Duration::ZERO => CookieLifetime::BrowserSession,
            lifetime => CookieLifetime::Persistent(lifetime),
        });
    if php_cookie.domain.is_empty() { cookie } else { cookie.domain(&php_cookie.domain) }
}

fn cache_limiter(php: &SessionIni) -> CacheLimiter {
    let max_age = php.cache_expire;
    match php.cache_limiter.as_str() {
        "private" => CacheLimiter::Private { max_age },
        "private_no_expire" => CacheLimiter::PrivateNoExpire { max_age },
        "public" => CacheLimiter::Public { max_age },
        "" => CacheLimiter::None,
        // PHP itself sends nothing for a name that it does not know; that is no reason to let pages be kept.
        _ => CacheLimiter::NoCache,
    }
}

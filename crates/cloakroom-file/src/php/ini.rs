//! From php.ini to a store: the settings that PHP has for its sessions are the ones to share them by.

use std::path::Path;

use cloakroom::SessionConfig;
use cloakroom_php::ini::{PhpIni, SaveHandler, SessionIni};
use cloakroom_php::layout::{Layout, PhpSettingsError};

use super::PhpFilesBuilder;

/// What a PHP application's settings say of its sessions, as what they are shared with.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use cloakroom::SessionManager;
/// use cloakroom_file::php::{PhpFileStore, PhpSettings};
///
/// let php = PhpSettings::read(["/etc/php/8.2/fpm/php.ini", "/etc/php/8.2/fpm/conf.d"])?;
/// let layout = php.layout.user_variable("user_id"); // php.ini does not tell who is logged in
/// let store = PhpFileStore::new(php.files.open().await?, layout);
/// let sessions = SessionManager::new(store, php.config)?; // into SessionLayer::of
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct PhpSettings {
    /// `session.save_path`: where the files are, how deep, with which mode.
    pub files: PhpFilesBuilder,
    /// Format, ids and lifetime.
    pub layout: Layout,
    /// The cookie, the lifetime and the cache limiter.
    ///
    /// It is stricter than PHP where that cannot be noticed: the cookie is `HttpOnly`, `SameSite=Lax` where PHP says nothing, and
    /// `Secure` where the request is.
    pub config: SessionConfig,
}

impl PhpSettings {
    /// Reads the files as PHP does: see [`PhpIni::read`]. What is in them and loses sessions is told by `cloakroom doctor`.
    ///
    /// They have to name `session.save_path`: PHP was built with one (Debian's with `/var/lib/php/sessions`), which no file tells.
    ///
    /// # Errors
    /// [`PhpSettingsError`]: which setting has to change.
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, PhpSettingsError> {
        Self::of(&PhpIni::read(paths)?.session())
    }

    /// The same, of settings that were read.
    ///
    /// # Errors
    /// [`PhpSettingsError`]: which setting has to change.
    pub fn of(php: &SessionIni) -> Result<Self, PhpSettingsError> {
        PhpSettingsError::unless_kept_by(SaveHandler::Files, php)?;
        let files = php.folder()?;
        if files.folder.is_empty() {
            return Err(PhpSettingsError::NoFolder);
        }
        let (layout, config) = Layout::php_files().with_ini(php)?;
        Ok(PhpSettings { files: PhpFilesBuilder::of(&files), layout, config })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(text: &str) -> Result<PhpSettings, PhpSettingsError> {
        let mut ini = PhpIni::default();
        ini.add("php.ini", text.as_bytes());
        PhpSettings::of(&ini.session())
    }

    #[test]
    fn what_php_is_set_to_is_taken_over() {
        let text = "session.save_path = \"2;0640;/srv/shop/sessions\"\nsession.serialize_handler = igbinary\n\
                    session.sid_length = 40\nsession.name = SHOP\nsession.gc_maxlifetime = 7200\n";
        let php = of(text).unwrap();
        let expected = Layout::php_files()
            .serialize_handler("igbinary")
            .and_then(|layout| layout.sid(40, 4))
            .and_then(|layout| layout.gc_maxlifetime(Duration::from_secs(7200)))
            .unwrap()
            .session_name("SHOP");
        assert_eq!(php.layout, expected);
        let shown = format!("{:?}", php.files);
        assert!(shown.contains("\"/srv/shop/sessions\", depth: 2, mode: 640"), "{shown}");
        let shown = format!("{:?}", of("session.save_path = /srv/shop\n").unwrap().files);
        assert!(shown.contains("\"/srv/shop\", depth: 0, mode: 600"), "{shown}");
    }

    #[test]
    fn what_cannot_be_shared_is_refused_with_the_setting_to_change() {
        for (text, told) in [
            ("session.save_handler = redis\n", "session.save_handler is redis"),
            ("session.save_handler = memcached\n", "session.save_handler is memcached"),
            ("session.save_path = \"x;/tmp\"\n", "N is how deep"),
            ("", "/var/lib/php/sessions"),
            ("session.save_path = \"1;\"\n", "set session.save_path"),
            ("session.save_path = /tmp\nsession.sid_length = 22\n", "raise session.sid_length"),
            ("session.save_path = /tmp\nsession.serialize_handler = wddx\n", "session.serialize_handler"),
        ] {
            let error = of(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(PhpSettings::read(["no/such.ini"]).unwrap_err().to_string().contains("no/such.ini"));
    }
}

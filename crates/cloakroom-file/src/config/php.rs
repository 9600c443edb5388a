//! Sessions of a PHP application: PHP's own files, or mini's cache in files.

use std::path::PathBuf;
use std::sync::Arc;

use cloakroom::config::{Connection, OpenError, Opened};
use cloakroom_php::layout::Layout;

use super::{DURABILITY, INI, LAYOUT, NATIVE, PATH, USER, durability, path};
use crate::php::{PhpFileStore, PhpFiles, PhpFilesBuilder, PhpSettings};

const PHP_FILES: &str = "php-files";
const MINI: &str = "mini";

/// Where the sessions of the application are that is asked for, if one is.
pub(super) struct Application {
    files: PhpFilesBuilder,
    layout: Layout,
    config: cloakroom::SessionConfig,
}

pub(super) fn application(connection: &Connection) -> Result<Option<Application>, OpenError> {
    let (layout, ini) = (connection.text(LAYOUT)?, connection.list(INI)?);
    let (files, layout, config) = match (layout, ini) {
        (Some(NATIVE), _) => return Ok(None),
        (None, None) if connection.text(USER)?.is_some() => {
            return Err(connection.refuse(USER, "stands without a layout or php_ini").into());
        }
        (None, None) => return Ok(None),
        (None | Some(PHP_FILES), Some(ini)) => {
            if connection.text(PATH)?.is_some() {
                return Err(connection
                    .refuse(PATH, "stands beside php_ini, whose session.save_path says it")
                    .into());
            }
            let refused = |error| connection.refuse(INI, &format!("is refused: {error}"));
            let php = PhpSettings::read(ini.iter().map(PathBuf::from)).map_err(refused)?;
            (php.files, php.layout, php.config)
        }
        (Some(PHP_FILES), None) => by_name(PhpFiles::builder(path(connection)?), Layout::php_files()),
        (Some(MINI), None) => by_name(PhpFiles::builder(path(connection)?).create(true), Layout::mini()),
        (Some(MINI), Some(_)) => {
            return Err(connection.refuse(INI, "is not what mini goes by: leave it out").into());
        }
        (Some(_), _) => {
            let why = format!("is no layout of sessions in files; accepted: {NATIVE}, {PHP_FILES}, {MINI}");
            return Err(connection.refuse(LAYOUT, &why).into());
        }
    };
    let layout = match connection.text(USER)? {
        Some(variable) => layout.user_variable(variable),
        None => layout,
    };
    Ok(Some(Application { files, layout, config }))
}

fn by_name(files: PhpFilesBuilder, layout: Layout) -> (PhpFilesBuilder, Layout, cloakroom::SessionConfig) {
    let config = layout.session_config();
    (files, layout, config)
}

/// The store of its sessions, and what they need.
pub(super) async fn open(connection: &Connection, application: Application) -> Result<Opened, OpenError> {
    let Application { mut files, layout, config } = application;
    if connection.text(DURABILITY)?.is_some() {
        files = files.durability(durability(connection)?);
    }
    let store = PhpFileStore::new(files.open().await?, layout);
    Ok(Opened::with_config(Arc::new(store), config))
}

#[cfg(test)]
mod tests {
    use cloakroom::config::{Configuration, Drivers, Environment};

    async fn open(lines: &str) -> Result<String, String> {
        let env = Environment::of([("SESSION_DRIVER", "file")]);
        let text = format!("[connections.file]\n{lines}\n");
        let read =
            Configuration::parse("c.toml", text.as_bytes(), &env).map_err(|error| error.to_string())?;
        let opened = Drivers::none().with(crate::driver()).open_with_config(&read).await;
        let (store, config) = opened.map_err(|error| error.to_string())?;
        Ok(format!("{} {config:?}", store.name()))
    }

    #[tokio::test]
    async fn a_table_names_phps_files_or_minis_and_its_sessions_have_their_cookie_and_lifetime() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(at("php")).unwrap();
        let found = open(&format!("layout = \"php-files\"\npath = {:?}", at("php"))).await.unwrap();
        assert!(found.starts_with("php-files ") && found.contains("idle: 1440s"), "{found}");
        let line = format!("layout = \"mini\"\npath = {:?}\nuser_variable = \"user_id\"", at("mini-cache"));
        let found = open(&line).await.unwrap();
        assert!(
            found.starts_with("mini ") && found.contains("idle: 10800s") && found.contains("PHPSESSID"),
            "{found}"
        );
        let ini = format!(
            "session.save_path = \"{}\"\nsession.gc_maxlifetime = 600\nsession.name = SHOP\n",
            at("php")
        );
        std::fs::write(at("php.ini"), ini).unwrap();
        let found =
            open(&format!("php_ini = [{:?}]\ndurability = \"process-crash\"", at("php.ini"))).await.unwrap();
        assert!(
            found.starts_with("php-files ") && found.contains("idle: 600s") && found.contains("SHOP"),
            "{found}"
        );
        let found = open(&format!("layout = \"native\"\npath = {:?}", at("own"))).await.unwrap();
        assert!(found.starts_with("file ") && found.contains("idle: 10800s"), "{found}");
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_layout_in_files_is_told_with_its_place_and_what_to_do() {
        for (lines, told) in [
            (
                "layout = \"phpredis\"\npath = \"x\"",
                "c.toml:2:10: connections.file.layout is no layout of sessions in files; accepted: native, php-files, mini",
            ),
            ("layout = \"mini\"", "connections.file.path is missing"),
            (
                "layout = \"mini\"\nphp_ini = [\"x\"]",
                "c.toml:3:11: connections.file.php_ini is not what mini goes by",
            ),
            ("php_ini = [\"no/such.ini\"]", "c.toml:2:11: connections.file.php_ini is refused: no/such.ini"),
            ("php_ini = [\"x\"]\npath = \"y\"", "c.toml:3:8: connections.file.path stands beside php_ini"),
            ("path = \"y\"\nuser_variable = \"u\"", "user_variable stands without a layout"),
            ("layout = \"php-files\"\npath = \"no/such\"", "no/such"),
        ] {
            let error = open(lines).await.unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}

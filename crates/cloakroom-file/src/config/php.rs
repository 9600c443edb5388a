//! Sessions of a PHP application: PHP's own files, or mini's cache in files.

use std::path::PathBuf;
use std::sync::Arc;

use cloakroom::config::{Connection, OpenError, Opened};
use cloakroom::store::Store;
use cloakroom_php::layout::{Layout, Move};

use super::{DURABILITY, INI, LAYOUT, MOVING, MOVING_TO, NATIVE, PATH, USER, durability, path};
use crate::FileStore;
use crate::php::{MovingStore, PhpFileStore, PhpFiles, PhpFilesBuilder, PhpSettings};

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
        (None, None) => {
            return match [USER, MOVING, MOVING_TO].into_iter().find(|key| connection.has(key)) {
                Some(key) => Err(connection.refuse(key, "stands without a layout or php_ini").into()),
                None => Ok(None),
            };
        }
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
    let moving = Move::of(connection)?;
    let php = PhpFileStore::new(files.open().await?, layout);
    let store: Arc<dyn Store> = match moving {
        None => Arc::new(php),
        Some(Move { stage, to, .. }) => {
            let new = FileStore::builder(to).durability(durability(connection)?).open().await?;
            Arc::new(MovingStore::new(php, Arc::new(new), stage))
        }
    };
    Ok(Opened::with_config(store, config))
}

#[cfg(test)]
mod tests {
    use cloakroom::config::{Configuration, Drivers, Environment};
    use cloakroom::store::Loaded;
    use cloakroom::{SessionConfig, SessionManager, StoreKey};

    use super::*;

    async fn opened(lines: &str) -> Result<(Arc<dyn Store>, SessionConfig), String> {
        let env = Environment::of([("SESSION_DRIVER", "file")]);
        let text = format!("[connections.file]\n{lines}\n");
        let read =
            Configuration::parse("c.toml", text.as_bytes(), &env).map_err(|error| error.to_string())?;
        let opened = Drivers::none().with(crate::driver()).open_with_config(&read).await;
        opened.map_err(|error| error.to_string())
    }

    /// The store's name, and what its sessions need.
    async fn open(lines: &str) -> Result<String, String> {
        opened(lines).await.map(|(store, config)| format!("{} {config:?}", store.name()))
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
    async fn sessions_of_either_layout_move_to_a_directory_of_their_own_under_the_cookie_that_they_have() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("{:?}", folder.path().join(name));
        std::fs::create_dir(folder.path().join("php")).unwrap();
        std::fs::write(folder.path().join("php.ini"), format!("session.save_path = {}\n", at("php")))
            .unwrap();
        for (n, place) in [
            format!("layout = \"php-files\"\npath = {}", at("php")),
            format!("php_ini = [{}]", at("php.ini")),
            format!("layout = \"mini\"\npath = {}", at("mini-cache")),
        ]
        .into_iter()
        .enumerate()
        {
            let to = format!("moving_to = {}", at(&format!("own-{n}")));
            for stage in ["prepare", "move", "done"] {
                let lines = format!("{place}\nmoving = \"{stage}\"\n{to}\ndurability = \"process-crash\"");
                let found = open(&lines).await.unwrap();
                assert!(found.starts_with("file ") && found.contains("PHPSESSID"), "{found}");
            }
        }
        // One directory cannot be both.
        let lines =
            format!("layout = \"php-files\"\npath = {0}\nmoving = \"move\"\nmoving_to = {0}", at("php"));
        let error = open(&lines).await.unwrap_err();
        assert!(error.contains("the file store did not open: "), "{error}");
    }

    #[tokio::test]
    async fn a_session_moves_from_phps_file_to_the_directory_that_the_table_names() {
        const ID: &str = "0123456789abcdefghijklmnop";
        let folder = tempfile::tempdir().unwrap();
        let (php, own) = (folder.path().join("php"), folder.path().join("own"));
        std::fs::create_dir(&php).unwrap();
        let file = php.join(format!("sess_{ID}"));
        std::fs::write(&file, "n|i:7;").unwrap();
        for (stage, moved) in [("prepare", false), ("move", true), ("done", true)] {
            let lines =
                format!("layout = \"php-files\"\npath = {php:?}\nmoving = {stage:?}\nmoving_to = {own:?}");
            let (store, config) = opened(&lines).await.unwrap();
            let sessions = SessionManager::over(store, config).unwrap();
            let request = http::Request::builder().header("cookie", format!("PHPSESSID={ID}"));
            let session = sessions.open(&request.body(()).unwrap(), None).open().await.unwrap();
            assert_eq!(session.get("n").unwrap(), Some(7), "{stage}");
            let there = FileStore::open(&own).await.unwrap().load(StoreKey::of_plain(ID.as_bytes())).await;
            assert_eq!(matches!(there.unwrap(), Loaded::Live(_)), moved, "{stage}");
            assert_eq!(!file.exists(), moved, "{stage}");
        }
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
            ("path = \"y\"\nmoving = \"move\"", "moving stands without a layout or php_ini"),
            ("path = \"y\"\nmoving_to = \"z\"", "moving_to stands without a layout or php_ini"),
            (
                "layout = \"mini\"\npath = \"no/such\"\nmoving = \"move\"",
                "c.toml:4:10: connections.file.moving stands without moving_to",
            ),
            (
                "layout = \"mini\"\npath = \"no/such\"\nmoving_to = \"z\"",
                "c.toml:4:13: connections.file.moving_to stands without moving; accepted",
            ),
            (
                "layout = \"mini\"\npath = \"no/such\"\nmoving = \"hush\"\nmoving_to = \"z\"",
                "c.toml:4:10: connections.file.moving is no stage of a move; accepted: prepare, move, done",
            ),
        ] {
            let error = open(lines).await.unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}

use std::sync::Arc;

use cloakroom::SessionConfig;
use cloakroom::config::{Configuration, Drivers, Environment};
use cloakroom::store::Store;

/// What the driver makes of a table with these lines.
async fn opened(lines: &str) -> Result<(Arc<dyn Store>, SessionConfig), String> {
    let env = Environment::of([("SESSION_DRIVER", "sqlite")]);
    let text = format!("[connections.sqlite]\n{lines}\n");
    let read = Configuration::parse("c.toml", text.as_bytes(), &env).map_err(|error| error.to_string())?;
    let opened = Drivers::none().with(crate::driver()).open_with_config(&read).await;
    opened.map_err(|error| error.to_string())
}

/// The store's name, and what its sessions need.
async fn open(lines: &str) -> Result<String, String> {
    opened(lines).await.map(|(store, config)| format!("{} {config:?}", store.name()))
}

async fn refused(lines: &str, told: &str) {
    let error = open(lines).await.unwrap_err();
    assert!(error.contains(told), "{error}");
}

#[tokio::test]
async fn a_table_names_the_file_and_when_a_write_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    for more in ["", "durability = \"full\"", "durability = \"process-crash\"", "layout = \"native\""] {
        let found = open(&format!("path = {path:?}\n{more}")).await.unwrap();
        assert!(found.starts_with("sqlite ") && found.contains("idle: 10800s"), "{found}");
    }
    refused("", "connections.sqlite.path is missing: name the file").await;
    refused("path = \"x\"\ndurability = \"some\"", "c.toml:3:14: connections.sqlite.durability can be full")
        .await;
    refused("path = \"x\"\npth = \"y\"", "did you mean path?").await;
    refused(&format!("path = {:?}", folder.path()), "the sqlite store did not open: ").await;
}

#[tokio::test]
async fn a_program_may_have_a_file_of_its_own_where_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (own, named) = (folder.path().join("own.db"), folder.path().join("named.db"));
    let open = async |text: &str| {
        let env = Environment::of([("SESSION_DRIVER", "sqlite")]);
        let read = Configuration::parse("c.toml", text.as_bytes(), &env).unwrap();
        let home = own.clone();
        let driver = crate::driver_with_home(move || Ok(home.clone()));
        Drivers::none().with(driver).open(&read).await.map(drop).map_err(|error| error.to_string())
    };
    open(&format!("[connections.sqlite]\npath = {named:?}\n")).await.unwrap();
    assert!(named.exists() && !own.exists());
    open("[connections.sqlite]\ndurability = \"process-crash\"\n").await.unwrap();
    assert!(own.exists());
    open("").await.unwrap();
    assert!(open("[connections.sqlite]\npath = 7\n").await.unwrap_err().contains("path"));
}

#[cfg(feature = "php")]
#[tokio::test]
async fn a_table_names_minis_cache_and_its_sessions_have_their_cookie_and_lifetime() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("{:?}", folder.path().join(name));
    let mini = format!("layout = \"mini\"\npath = {}\nuser_variable = \"user_id\"", at("cache.sqlite3"));
    let found = open(&mini).await.unwrap();
    assert!(
        found.starts_with("mini ") && found.contains("idle: 10800s") && found.contains("PHPSESSID"),
        "{found}"
    );
    // They move to a file of this store's own, under the same cookie.
    for stage in ["prepare", "move", "done"] {
        let lines = format!(
            "{mini}\nmoving = \"{stage}\"\nmoving_to = {}\ndurability = \"process-crash\"",
            at("sessions.db")
        );
        let found = open(&lines).await.unwrap();
        assert!(found.starts_with("sqlite ") && found.contains("PHPSESSID"), "{found}");
    }
    // One file cannot be both.
    refused(&format!("{mini}\nmoving = \"move\"\nmoving_to = {}", at("cache.sqlite3")), "did not open: ")
        .await;
}

#[cfg(feature = "php")]
#[tokio::test]
async fn a_session_moves_from_minis_cache_to_the_file_that_the_table_names() {
    use cloakroom::store::Loaded;
    use cloakroom::{SessionManager, StoreKey};

    const ID: &str = "0123456789abcdefghijklmnop";
    let folder = tempfile::tempdir().unwrap();
    let (cache, own) = (folder.path().join("cache.sqlite3"), folder.path().join("sessions.db"));
    drop(crate::php::PhpCache::open(&cache).unwrap());
    let mini = rusqlite::Connection::open(&cache).unwrap();
    let store = "INSERT INTO cache (key, value, expires_at, created_at) VALUES (?1, ?2, ?3, 0)";
    let row = rusqlite::params![format!("session.{ID}"), "a:1:{s:1:\"n\";i:7;}", i64::MAX / 1_000_000];
    mini.execute(store, row).unwrap();
    for (stage, moved) in [("prepare", false), ("move", true), ("done", true)] {
        let lines = format!("layout = \"mini\"\npath = {cache:?}\nmoving = {stage:?}\nmoving_to = {own:?}");
        let (store, config) = opened(&lines).await.unwrap();
        let sessions = SessionManager::over(store, config).unwrap();
        let request = http::Request::builder().header("cookie", format!("PHPSESSID={ID}"));
        let session = sessions.open(&request.body(()).unwrap(), None).open().await.unwrap();
        assert_eq!(session.get("n").unwrap(), Some(7), "{stage}");
        let there =
            crate::SqliteStore::open(&own).await.unwrap().load(StoreKey::of_plain(ID.as_bytes())).await;
        assert_eq!(matches!(there.unwrap(), Loaded::Live(_)), moved, "{stage}");
        let left: i64 = mini.query_row("SELECT count(*) FROM cache", [], |row| row.get(0)).unwrap();
        assert_eq!(left == 0, moved, "{stage}");
    }
}

#[cfg(feature = "php")]
#[tokio::test]
async fn what_is_wrong_with_minis_cache_is_told_with_its_place_and_what_to_do() {
    const MINI: &str = "layout = \"mini\"\npath = \"no/such\"";
    let with = |line: &str| format!("{MINI}\n{line}");
    for (lines, told) in [
        (
            "layout = \"phpredis\"\npath = \"x\"".to_owned(),
            "c.toml:2:10: connections.sqlite.layout is no layout of sessions in SQLite; accepted: native, mini",
        ),
        ("layout = \"mini\"".to_owned(), "connections.sqlite.path is missing"),
        ("path = \"x\"\nuser_variable = \"u\"".to_owned(), "user_variable stands without a layout"),
        ("path = \"x\"\nmoving = \"move\"".to_owned(), "moving stands without a layout"),
        (
            with("moving = \"move\""),
            "c.toml:4:10: connections.sqlite.moving stands without moving_to, the path that",
        ),
        (
            with("moving_to = \"y\""),
            "c.toml:4:13: connections.sqlite.moving_to stands without moving; accepted",
        ),
        (
            with("moving = \"hush\"\nmoving_to = \"y\""),
            "c.toml:4:10: connections.sqlite.moving is no stage of a move; accepted: prepare, move, done",
        ),
        (with("durability = \"full\""), "c.toml:4:14: connections.sqlite.durability is not for mini's cache"),
        (MINI.to_owned(), "no/such cannot be created because its directory does not exist"),
    ] {
        refused(&lines, told).await;
    }
}

#[cfg(not(feature = "php"))]
#[tokio::test]
async fn without_the_feature_whoever_asks_for_minis_cache_is_told_where_and_what_to_do() {
    for line in ["layout = \"mini\"", "user_variable = \"u\"", "moving = \"move\"", "moving_to = \"x\""] {
        let key = line.split(' ').next().unwrap();
        refused(line, &format!("connections.sqlite.{key} asks for the sessions of a PHP application")).await;
        refused(line, "feature php of cloakroom-sqlite").await;
    }
    let folder = tempfile::tempdir().unwrap();
    let lines =
        format!("layout = \"native\"\nuser_variable = \"u\"\npath = {:?}", folder.path().join("a.db"));
    open(&lines).await.unwrap();
}

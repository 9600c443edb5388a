use cloakroom::config::{Configuration, Driver, Drivers, Environment};

use super::*;

/// What is made of a file and an environment: the layout and the configuration, or the error.
pub(in super::super) async fn application(
    file: &str,
    variables: &[(&str, &str)],
) -> Result<Option<Application>, String> {
    let env = Environment::of(variables.iter().copied());
    let read = Configuration::parse("c.toml", file.as_bytes(), &env).map_err(|error| error.to_string())?;
    let (tell, told) = std::sync::mpsc::channel();
    let driver = Driver::new(super::super::NAME, super::super::keys::ALL, move |connection: Connection| {
        let found = super::application(&connection, &Variables(&env));
        let opened = found.map(|found| {
            let _ = tell.send(found);
            Opened::from(Arc::new(this_machine().build().unwrap()) as Arc<dyn cloakroom::store::Store>)
        });
        async move { opened }
    });
    Drivers::none().with(driver).open(&read).await.map_err(|error| error.to_string())?;
    Ok(told.recv().unwrap())
}

/// The same through the driver itself.
pub(in super::super) async fn config(file: &str, variables: &[(&str, &str)]) -> Result<String, String> {
    let env = Environment::of(variables.iter().copied());
    let read = Configuration::parse("c.toml", file.as_bytes(), &env).map_err(|error| error.to_string())?;
    let opened = Drivers::none().with(crate::driver(&env)).open_with_config(&read).await;
    let (store, config) = opened.map_err(|error| error.to_string())?;
    Ok(format!("{} {config:?}", store.name()))
}

pub(super) const TABLE: &str = "[connections.redis]\n";

#[tokio::test]
async fn a_table_names_a_layout_and_what_differs_from_it() {
    let file = format!(
        "{TABLE}layout = \"phpredis\"\nserialize_handler = \"igbinary\"\nphp_prefix = \"shop:\"\nsid_length = 40\n\
         sid_bits_per_character = 4\ngc_maxlifetime = 7200\nsession_name = \"SHOP\"\nuser_variable = \"user_id\"\n"
    );
    let expected = Layout::phpredis()
        .serialize_handler("igbinary")
        .and_then(|layout| layout.sid(40, 4))
        .and_then(|layout| layout.gc_maxlifetime(Duration::from_secs(7200)))
        .unwrap()
        .prefix("shop:")
        .session_name("SHOP")
        .user_variable("user_id");
    let found = application(&file, &[]).await.unwrap().unwrap();
    assert_eq!(found.layout, expected);
    // It is waited for as other sessions are.
    for waits in ["wait_replicas = 1\n", "wait_disk = true\nmoving = \"prepare\"\n"] {
        config(&format!("{file}{waits}"), &[]).await.unwrap();
    }
    // The environment alone says the same.
    let variables = [
        ("SESSION_DRIVER", "redis"),
        ("REDIS_LAYOUT", "phpredis"),
        ("REDIS_SERIALIZE_HANDLER", "igbinary"),
        ("REDIS_PHP_PREFIX", "shop:"),
        ("REDIS_SID_LENGTH", "40"),
        ("REDIS_SID_BITS_PER_CHARACTER", "4"),
        ("REDIS_GC_MAXLIFETIME", "7200"),
        ("REDIS_SESSION_NAME", "SHOP"),
        ("REDIS_USER_VARIABLE", "user_id"),
    ];
    assert_eq!(application("", &variables).await.unwrap().unwrap().layout, expected);
    // And stands over the table.
    let over = [("REDIS_GC_MAXLIFETIME", "60"), ("REDIS_PHP_PREFIX", "other:")];
    let found = application(&file, &over).await.unwrap().unwrap();
    assert_eq!(found.layout, expected.gc_maxlifetime(Duration::from_secs(60)).unwrap().prefix("other:"));
    // The same table under another name is no variable's business.
    let named = file.replace("connections.redis", "connections.php") + "driver = \"redis\"\n";
    let named = format!("connection = \"php\"\n{named}");
    let found = application(&named, &over).await.unwrap().unwrap();
    assert!(format!("{:?}", found.config).contains("idle: 7200s"));
}

/// Built for it or not, it is never passed over.
#[tokio::test]
async fn a_compression_is_taken_over_or_refused() {
    let with = |value: &str| format!("{TABLE}layout = \"phpredis\"\nphp_compression = \"{value}\"\n");
    let expected = Layout::phpredis().compression(Some(Compression::Lz4));
    let found = application(&with("lz4"), &[]).await;
    let by_variable = application(&with("none"), &[("REDIS_PHP_COMPRESSION", "lz4")]).await;
    match expected {
        Ok(expected) => {
            assert_eq!(found.unwrap().unwrap().layout, expected);
            assert_eq!(by_variable.unwrap().unwrap().layout, expected);
        }
        Err(error) => {
            let told = found.err().unwrap();
            assert!(told.contains(&error.to_string()) && told.contains("php-compression"), "{told}");
            assert!(by_variable.err().unwrap().contains("REDIS_PHP_COMPRESSION"));
        }
    }
    assert_eq!(application(&with("none"), &[]).await.unwrap().unwrap().layout, Layout::phpredis());
    let told = application(&with("hush"), &[]).await.err().unwrap();
    assert!(told.contains("accepted: none, lzf, lz4, zstd") && !told.contains("hush"), "{told}");
    let told = application(&with("lz4").replace("phpredis", "uma"), &[]).await.err().unwrap();
    assert!(told.contains("redis.session.compression") && told.contains("uma"), "{told}");
}

#[tokio::test]
async fn a_cluster_is_taken_with_the_layouts_that_phpredis_has_there() {
    let with = |rest: &str| format!("{TABLE}url = \"redis-cluster://a,b\"\n{rest}");
    for layout in ["phpredis", "symfony-phpredis"] {
        let told = config(&with(&format!("layout = \"{layout}\"\n")), &[]).await.unwrap();
        assert!(told.starts_with(layout), "{told}");
    }
    let told = config(&with("layout = \"uma\"\n"), &[]).await.unwrap_err();
    assert!(told.contains("uma cannot be shared in a Redis Cluster"), "{told}");
    let away = "layout = \"phpredis\"\nmoving = \"move\"\n";
    // Out of one, and into one.
    for moves in [away.to_owned(), format!("{away}php_servers = [\"tcp://a:1\", \"tcp://b:2\"]\n")] {
        let told = config(&with(&moves), &[]).await.unwrap_err();
        assert!(told.contains("moving is not built for a cluster yet"), "{told}");
    }
}

/// The store's keys of one connection, as PHP has them.
async fn data_prefix(file: &str, variables: &[(&str, &str)]) -> String {
    let found = application(file, variables).await.unwrap().unwrap();
    found.layout.in_cluster().unwrap().data_prefix().to_owned()
}

#[tokio::test]
async fn in_a_cluster_a_prefix_that_is_told_stands_even_where_it_is_the_one_of_a_single_server() {
    const SINGLE: &str = "PHPREDIS_SESSION:";
    let handler = "session.save_handler = rediscluster\nsession.save_path = \"seed[]=a:7000";
    let (_bare, bare) = ini(&format!("{handler}\"\n"));
    let (_told, told) = ini(&format!("{handler}&prefix={SINGLE}\"\n"));
    let by_url = format!("{TABLE}url = \"redis-cluster://a\"\nlayout = \"phpredis\"\n");
    for file in [&bare, &by_url] {
        assert_eq!(data_prefix(file, &[]).await, "PHPREDIS_CLUSTER_SESSION:");
        assert_eq!(data_prefix(&format!("{file}php_prefix = {SINGLE:?}\n"), &[]).await, SINGLE);
        assert_eq!(data_prefix(file, &[("REDIS_PHP_PREFIX", SINGLE)]).await, SINGLE);
    }
    assert_eq!(data_prefix(&told, &[]).await, SINGLE);
    assert_eq!(data_prefix(&format!("{told}php_prefix = \"shop:\"\n"), &[]).await, "shop:");
}

#[tokio::test]
async fn every_layout_that_parses_can_be_named() {
    for name in Layout::names().filter(|name| ![FILES, MINI].contains(name)) {
        let file = format!("{TABLE}layout = \"{name}\"\n");
        let found = application(&file, &[]).await.unwrap().unwrap();
        assert_eq!(found.layout, name.parse().unwrap());
        // And left.
        let found = config(&format!("{file}moving = \"move\"\n"), &[]).await.unwrap();
        assert!(found.starts_with("redis "), "{found}");
    }
}

#[tokio::test]
async fn the_layouts_cookie_and_lifetime_apply_where_the_file_says_nothing() {
    let file = format!("{TABLE}layout = \"phpredis\"\n");
    let plain = config(&file, &[]).await.unwrap();
    assert_eq!(plain, format!("phpredis {:?}", Layout::phpredis().session_config()));
    let more =
        "[session]\nmax_keys = 9\n[cookie]\nsame_site = \"strict\"\n[concurrency]\nmode = \"exclusive\"\n";
    let found = config(&format!("{file}{more}"), &[("SESSION_LIFETIME", "30")]).await.unwrap();
    for part in
        ["idle: 1800s", "keys: 9", "session_bytes: 1048576", "name: Some(\"PHPSESSID\")", "SameSite: Strict"]
    {
        let part = part.replace("SameSite", "same_site");
        assert!(found.contains(&part), "{part} is not in {found}");
    }
    assert!(found.contains("mode: Exclusive") && found.contains("handovers: 0"), "{found}");
}

#[tokio::test]
async fn a_move_has_its_stage_in_the_table_or_in_a_variable() {
    let file = format!("{TABLE}layout = \"phpredis\"\n");
    let stage = async |file: &str, variables: &[(&str, &str)]| {
        application(file, variables).await.unwrap().unwrap().moving
    };
    assert_eq!(stage(&file, &[]).await, None);
    assert_eq!(stage(&format!("{file}moving = \"prepare\"\n"), &[]).await, Some(Stage::Prepare));
    let over = [("REDIS_MOVING", "done")];
    assert_eq!(stage(&format!("{file}moving = \"move\"\n"), &over).await, Some(Stage::Done));
    // The place is the store's own, the cookie still PHP's.
    let found = config(&format!("{file}moving = \"move\"\n"), &[]).await.unwrap();
    assert!(found.starts_with("redis ") && found.contains("PHPSESSID"), "{found}");
}

/// Each server and its weight.
pub(super) fn urls(found: &Application) -> Vec<(String, u32)> {
    match &found.place {
        Place::Table(server) => vec![(server.url.to_string(), 1)],
        Place::Spread { servers, .. } => {
            servers.iter().map(|(server, weight)| (server.url.to_string(), *weight)).collect()
        }
    }
}

#[tokio::test]
async fn no_layout_and_the_native_one_are_sessions_of_our_own() {
    for file in ["", "layout = \"native\"\n", "layout = \"native\"\nuser_variable = \"u\"\n"] {
        let found = config(&format!("{TABLE}{file}"), &[]).await.unwrap();
        assert!(found.starts_with("redis ") && found.contains("idle: 10800s"), "{found}");
    }
    // The day on which PHP is gone: one variable.
    let file = format!("{TABLE}layout = \"phpredis\"\n");
    assert!(application(&file, &[("REDIS_LAYOUT", "native")]).await.unwrap().is_none());
}

/// A php.ini, and the line of a table that names it.
pub(super) fn ini(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("php.ini");
    std::fs::write(&path, text).unwrap();
    let line = format!("{TABLE}php_ini = [{:?}]\n", path.to_str().unwrap());
    (folder, line)
}

pub(super) const PHP_INI: &str = "session.save_handler = redis\n\
     session.save_path = \"tcp://10.0.0.1:7000?database=3&prefix=shop:&auth[]=web&auth[]=hush\"\n\
     session.serialize_handler = igbinary\nsession.sid_length = 40\nsession.name = SHOP\n\
     session.gc_maxlifetime = 7200\nsession.cookie_path = /shop\nsession.cache_limiter = private\n";

#[tokio::test]
async fn phps_own_settings_say_all_of_it() {
    let (_folder, line) = ini(PHP_INI);
    let file = format!("{line}user_variable = \"user_id\"\n");
    let found = application(&file, &[]).await.unwrap().unwrap();
    let expected = Layout::phpredis()
        .serialize_handler("igbinary")
        .and_then(|layout| layout.sid(40, 4))
        .and_then(|layout| layout.gc_maxlifetime(Duration::from_secs(7200)))
        .unwrap()
        .prefix("shop:")
        .session_name("SHOP")
        .user_variable("user_id");
    assert_eq!(found.layout, expected);
    assert_eq!(urls(&found), [("redis://10.0.0.1:7000/3".to_owned(), 1)]);
    let config = format!("{:?}", found.config);
    assert!(config.contains("path: \"/shop\"") && config.contains("Private"), "{config}");
    // The table stands over it, and the environment over the table.
    let over = format!("{file}gc_maxlifetime = 60\nserialize_handler = \"php\"\nsession_name = \"OTHER\"\n");
    let found = application(&over, &[("REDIS_SESSION_NAME", "THIRD")]).await.unwrap().unwrap();
    let config = format!("{:?}", found.config);
    assert!(config.contains("idle: 60s") && config.contains("Some(\"THIRD\")"), "{config}");
    assert_eq!(found.layout.name(), "phpredis");
}

/// The same, where phpredis keeps the sessions in a cluster.
pub(super) fn ini_of_cluster() -> (tempfile::TempDir, String) {
    ini(&PHP_INI
        .replace("= redis\n", "= rediscluster\n")
        .replace("tcp://10.0.0.1:7000?database=3", "seed[]=10.0.0.1:7000"))
}

/// Whoever is over phpredis' own handler has its sessions where that one has them.
#[tokio::test]
async fn the_server_and_the_prefix_of_php_are_those_of_every_layout_on_phpredis_own_handler() {
    let (_folder, line) = ini(PHP_INI);
    let (_cluster, cluster) = ini_of_cluster();
    for (file, server) in [(&line, "redis://10.0.0.1:7000/3"), (&cluster, "redis-cluster://10.0.0.1:7000")] {
        for layout in ["phpredis", "symfony-phpredis"] {
            let found = application(&format!("{file}layout = {layout:?}\n"), &[]).await.unwrap().unwrap();
            assert_eq!(urls(&found), [(server.to_owned(), 1)], "{layout}");
            assert_eq!((found.layout.name(), found.layout.data_prefix()), (layout, "shop:"));
        }
    }
    // Where another handler has them PHP does not tell.
    let found = application(&format!("{line}layout = \"symfony\"\n"), &[]).await.unwrap().unwrap();
    assert_eq!(urls(&found), [("redis://127.0.0.1:6379".to_owned(), 1)]);
    assert_eq!((found.layout.name(), found.layout.data_prefix()), ("symfony", "sf_s"));
    let (_files, files) = ini("session.save_handler = files\n");
    let told = application(&format!("{files}layout = \"symfony-phpredis\"\n"), &[]).await.err().unwrap();
    assert!(told.contains("session.save_handler is files"), "{told}");
}

#[tokio::test]
async fn the_server_is_phps_unless_the_table_or_the_environment_names_another() {
    let (_folder, line) = ini(PHP_INI);
    let place = async |more: &str, variables: &[(&str, &str)]| {
        let env = Environment::of(variables.iter().copied());
        let file = format!("{line}{more}");
        let read = Configuration::parse("c.toml", file.as_bytes(), &env).unwrap();
        let opened = Drivers::none().with(crate::driver(&env)).open_with_config(&read).await.unwrap();
        format!("{:?}", opened.0.as_ref().name())
    };
    assert_eq!(place("", &[]).await, "\"phpredis\"");
    let url = async |more: &str, variables: &[(&str, &str)]| {
        let env = Environment::of(variables.iter().copied());
        let file = format!("{line}{more}");
        let read = Configuration::parse("c.toml", file.as_bytes(), &env).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let driver =
            Driver::new(super::super::NAME, super::super::keys::ALL, move |connection: Connection| {
                let variables = Variables(&env);
                let Place::Table(base) = super::application(&connection, &variables).unwrap().unwrap().place
                else {
                    panic!("it is one server")
                };
                let _ = tell.send(settings(&connection, &variables, *base).unwrap());
                async { Err::<Opened, _>("seen".into()) }
            });
        assert!(Drivers::none().with(driver).open(&read).await.is_err());
        let found = told.recv().unwrap();
        let password = found.url.password.as_ref().map_or("none", |password| password.as_str()).to_owned();
        format!("{} {password}", found.url)
    };
    assert_eq!(url("", &[]).await, "redis://10.0.0.1:7000/3 hush");
    assert_eq!(url("host = \"h\"\n", &[]).await, "redis://h:6379 none");
    assert_eq!(url("database = 5\npassword = \"p\"\n", &[]).await, "redis://10.0.0.1:7000/5 p");
    assert_eq!(url("", &[("REDIS_HOST", "far"), ("REDIS_DB", "1")]).await, "redis://far:7000/1 hush");
    assert_eq!(url("", &[("REDIS_SOCKET", "/run/r.sock")]).await, "redis+unix:/run/r.sock?db=3 hush");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place_what_is_accepted_and_no_value() {
    let with = |lines: &str| format!("{TABLE}{lines}\n");
    let (_folder, files) = ini("session.save_handler = files\n");
    let (_several, several) =
        ini("session.save_handler = redis\nsession.save_path = \"tcp://a?auth=hush,tcp://b\"\n");
    let (_other, short) = ini(&format!("{PHP_INI}session.sid_length = 22\n"));
    for (file, variables, told) in [
        (
            with("layout = \"hush\""),
            &[][..],
            "c.toml:2:10: connections.redis.layout is no layout; accepted: native, phpredis",
        ),
        (
            with(""),
            &[("REDIS_LAYOUT", "hush")],
            "environment variable REDIS_LAYOUT is no layout; accepted: native",
        ),
        (
            with("layout = \"phpredis\"\nserialize_handler = \"hush\""),
            &[],
            "c.toml:3:21: connections.redis.serialize_handler is no session.serialize_handler that is known; accepted: php, \
             php_serialize, php_binary, igbinary, msgpack",
        ),
        (
            with("layout = \"phpredis\""),
            &[("REDIS_SERIALIZE_HANDLER", "hush")],
            "environment variable REDIS_SERIALIZE_HANDLER is no session.serialize_handler",
        ),
        (
            with("layout = \"phpredis\"\nsid_length = 22\nsid_bits_per_character = 5"),
            &[],
            "c.toml:3:14: connections.redis.sid_length is refused: ids of 110 bits can be guessed",
        ),
        (
            with("layout = \"phpredis\"\nsid_length = 26\nsid_bits_per_character = 9"),
            &[],
            "c.toml:4:26: connections.redis.sid_bits_per_character is refused",
        ),
        (
            with("layout = \"phpredis\"\nsid_length = 26"),
            &[],
            "sid_length stands without sid_bits_per_character",
        ),
        (
            with("layout = \"phpredis\""),
            &[("REDIS_SID_LENGTH", "hush")],
            "REDIS_SID_LENGTH is not a whole number",
        ),
        (with("layout = \"phpredis\"\ngc_maxlifetime = 0"), &[], "gc_maxlifetime is refused"),
        (
            with("layout = \"phpredis\"\ngc_maxlifetime = \"hush\""),
            &[],
            "gc_maxlifetime is not a whole number",
        ),
        (with("layout = \"phpredis\"\nlayuot = \"hush\""), &[], "did you mean layout?"),
        (with("user_variable = \"hush\""), &[], "user_variable stands without a layout or php_ini"),
        (with(""), &[("REDIS_SID_LENGTH", "hush")], "REDIS_SID_LENGTH stands without a layout"),
        (
            with("layout = \"phpredis\"\nmoving = \"hush\""),
            &[],
            "c.toml:3:10: connections.redis.moving is no stage of a move; accepted: prepare, move, done",
        ),
        (with("layout = \"php-files\"\nmoving = \"move\""), &[], "layout is of sessions in files"),
        (with("layout = \"mini\"\nmoving = \"move\""), &[], "layout is of sessions in a cache on SQLite"),
        (
            with("layout = \"laravel\"\nmoving = \"move\""),
            &[],
            if cfg!(feature = "laravel") { "needs the application's key" } else { "feature laravel" },
        ),
        (with("moving = \"move\""), &[], "moving stands without a layout or php_ini"),
        (with("php_ini = []"), &[], "php_ini names no file"),
        (
            with("php_ini = [\"no/such.ini\"]"),
            &[],
            "c.toml:2:11: connections.redis.php_ini is refused: no/such.ini",
        ),
        (files, &[], "session.save_handler is files"),
        (
            with("layout = \"phpredis\"\nphp_servers = []"),
            &[],
            "c.toml:3:15: connections.redis.php_servers names no server",
        ),
        (
            with("layout = \"phpredis\"\nphp_servers = [\"tcp://a\", \"hush\"]"),
            &[],
            "c.toml:3:15: connections.redis.php_servers is refused: server 2 of",
        ),
        (
            with(
                "layout = \"phpredis\"\nphp_servers = [\"tcp://a?auth=hush&weight=0\", \"tcp://b?weight=0\"]",
            ),
            &[],
            "connections.redis.php_servers is refused: ",
        ),
        (
            with("layout = \"phpredis\""),
            &[("REDIS_PHP_SERVERS", "tcp://a?prefix=p:,tcp://b?auth=hush")],
            "environment variable REDIS_PHP_SERVERS is refused: session.save_path has servers with different prefixes",
        ),
        (
            with("layout = \"uma\"\nphp_servers = [\"tcp://a\"]"),
            &[],
            "php_servers is for phpredis' own handler",
        ),
        (with("php_servers = [\"tcp://a\"]"), &[], "php_servers stands without a layout or php_ini"),
        (
            with("layout = \"phpredis\"\nhost = \"c\"\nphp_servers = [\"tcp://a\", \"tcp://b\"]"),
            &[],
            "c.toml:4:15: connections.redis.php_servers names where PHP's sessions are, and a url, host or socket another place",
        ),
        (
            several.clone(),
            &[("REDIS_HOST", "c")],
            "c.toml:2:11: connections.redis.php_ini names where PHP's sessions are",
        ),
        (
            format!("{several}moving = \"move\"\n"),
            &[],
            "php_ini says where the sessions come from, and nothing says where they move to",
        ),
        (short, &[], "raise session.sid_length"),
        (
            with("layout = \"phpredis\"\nnear_cache = true"),
            &[],
            "near_cache is for sessions that are not PHP's",
        ),
    ] {
        let error = config(&file, variables).await.unwrap_err();
        assert!(error.contains(told), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}

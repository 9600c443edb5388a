use crate::config::php::tests::{PHP_INI, TABLE, application, config, ini, ini_of_cluster, urls};

#[tokio::test]
async fn several_servers_are_named_in_the_table_in_a_variable_or_by_php() {
    let spread = [("redis://10.0.0.1:6379".to_owned(), 1), ("redis://10.0.0.2:7000/3".to_owned(), 2)];
    let listed = ["tcp://10.0.0.1?prefix=shop:", "tcp://10.0.0.2:7000?weight=2&database=3&prefix=shop:"];
    let file = format!("{TABLE}layout = \"phpredis\"\n");
    let table = format!("{file}php_servers = {listed:?}\n");
    let (_folder, by_php) =
        ini(&format!("session.save_handler = redis\nsession.save_path = \"{}\"\n", listed.join(", ")));
    let joined = listed.join(",");
    let variables = [("REDIS_PHP_SERVERS", joined.as_str())];
    for (file, variables) in [(&table, &[][..]), (&file, &variables), (&by_php, &[])] {
        let found = application(file, variables).await.unwrap().unwrap();
        assert_eq!(urls(&found), spread);
        assert_eq!(found.layout.data_prefix(), "shop:");
        assert!(config(file, variables).await.unwrap().starts_with("phpredis "));
        // They move to a server that is named besides.
        let moving = format!("{file}moving = \"move\"\nurl = \"redis://127.0.0.1:6379\"\n");
        assert!(config(&moving, variables).await.unwrap().starts_with("redis "));
    }
}

/// php.ini's own list is not what the sessions are spread over then.
#[tokio::test]
async fn several_servers_are_refused_where_phpredis_locks_whoever_names_them() {
    let (_folder, line) = ini(&format!("{PHP_INI}redis.session.locking_enabled = 1\n"));
    for layout in ["", "layout = \"symfony-phpredis\"\n"] {
        let servers = |list: &str| format!("{line}{layout}php_servers = {list}\n");
        let told = config(&servers("[\"tcp://a\", \"tcp://b\"]"), &[]).await.unwrap_err();
        assert!(told.contains("connections.redis.php_servers is refused: 2 servers"), "{told}");
        assert!(told.contains("redis.session.locking_enabled = 0"), "{told}");
        config(&servers("[\"tcp://a\"]"), &[]).await.unwrap();
        let file = format!("{line}{layout}");
        config(&file, &[]).await.unwrap();
        let told = config(&file, &[("REDIS_PHP_SERVERS", "tcp://a,tcp://b,tcp://c")]).await.unwrap_err();
        assert!(told.contains("environment variable REDIS_PHP_SERVERS is refused: 3 servers"), "{told}");
    }
}

/// Else PHP's sessions would be looked for where they are not, and every visitor of PHP's would begin again here.
#[tokio::test]
async fn several_servers_are_refused_where_php_keeps_its_sessions_in_a_cluster() {
    let (_folder, line) = ini_of_cluster();
    for layout in ["", "layout = \"symfony-phpredis\"\n"] {
        let file = format!("{line}{layout}");
        config(&file, &[]).await.unwrap();
        let told = config(&format!("{file}php_servers = [\"tcp://a\"]\n"), &[]).await.unwrap_err();
        assert!(told.contains("connections.redis.php_servers is of servers"), "{told}");
        assert!(told.contains("php_ini") && told.contains("session.save_handler = rediscluster"), "{told}");
        let told = config(&file, &[("REDIS_PHP_SERVERS", "tcp://a,tcp://b")]).await.unwrap_err();
        assert!(told.contains("environment variable REDIS_PHP_SERVERS is of servers"), "{told}");
    }
}

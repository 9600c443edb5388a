use cloakroom::config::{Configuration, Drivers};

use super::variables::Variables;
use super::*;

async fn open(file: &str, variables: &[(&str, &str)]) -> Result<String, String> {
    let env = Environment::of(variables.iter().copied());
    let read = Configuration::parse("c.toml", file.as_bytes(), &env).map_err(|error| error.to_string())?;
    let seen: Arc<std::sync::OnceLock<String>> = Arc::default();
    let (told, env_of_driver) = (seen.clone(), env.clone());
    // The driver itself, with the settings written down on the way.
    let spy = Driver::new(NAME, keys::ALL, move |connection: Connection| {
        let told = told.clone();
        let settings = settings(&connection, &Variables(&env_of_driver), this_machine());
        async move {
            let settings = settings?;
            let files = &settings.tls_files;
            let files = [("ca", &files.ca), ("certificate", &files.certificate), ("key", &files.key)];
            let files =
                files.iter().filter_map(|(key, file)| Some(format!(" {key}={}", file.as_ref()?.display())));
            let store = match &settings.url.tls {
                None => settings.clone().build()?,
                // Its files are a matter for the store.
                Some(_) => RedisBuilder::new(RedisUrl::at(HOST, PORT)).build()?,
            };
            let cache = near_cache(&connection, &store)?;
            let _ = told.set(format!(
                "{} {:?} {:?} {}{}",
                settings.url,
                settings.url.user,
                settings.url.password.as_ref().map(|p| p.as_str()),
                settings.prefix,
                files.collect::<String>() + &cache.map(|cache| format!(" {cache:?}")).unwrap_or_default()
            ));
            Ok(Arc::new(store) as Arc<dyn Store>)
        }
    });
    let opened = Drivers::none().with(spy.aliases(ALIASES)).open(&read).await;
    opened.map_err(|error| error.to_string())?;
    Ok(seen.get().cloned().unwrap_or_default())
}

#[tokio::test]
async fn without_settings_it_is_the_server_of_this_machine() {
    let found = open("", &[("SESSION_DRIVER", "valkey")]).await.unwrap();
    assert_eq!(found, "redis://127.0.0.1:6379 None None cloakroom:");
}

#[tokio::test]
async fn p01_a_table_says_where_and_as_whom() {
    let file = "[connections.redis]\nhost = \"h\"\nport = 7\nuser = \"u\"\npassword = { env = \"PW\" }\n\
                database = 2\nprefix = \"shop:\"\ndeadline = \"1s\"\nconnections = 2\n";
    let found = open(file, &[("PW", "hush")]).await.unwrap();
    assert_eq!(found, "redis://h:7/2 Some(\"u\") Some(\"hush\") shop:");
    let found = open("[connections.redis]\nsocket = \"/run/r.sock\"\n", &[]).await.unwrap();
    assert_eq!(found, "redis+unix:/run/r.sock None None cloakroom:");
    let found = open("[connections.redis]\nurl = \"redis://u:p@h/1\"\ndatabase = 4\n", &[]).await.unwrap();
    assert_eq!(found, "redis://h:6379/4 Some(\"u\") Some(\"p\") cloakroom:");
}

#[tokio::test]
async fn sentinels_stand_in_place_of_a_host() {
    let table = "[connections.redis]\nsentinels = [\"a\", \"b:7\"]\nservice = \"shop\"\n";
    let url = "redis-sentinel://a:26379,b:7/shop";
    let found = open(&format!("{table}database = 2\n"), &[("REDIS_PASSWORD", "hush")]).await.unwrap();
    assert_eq!(found, format!("{url}/2 None Some(\"hush\") cloakroom:"));
    let found = open("[connections.redis]\nurl = \"redis-sentinel://a,b:7/shop\"\n", &[]).await.unwrap();
    assert_eq!(found, format!("{url} None None cloakroom:"));
    let found = open(&format!("{table}tls = true\n"), &[]).await.unwrap();
    assert_eq!(found, "rediss-sentinel://a:26379,b:7/shop None None cloakroom:");
    let variables = [("REDIS_SENTINELS", "c,d"), ("REDIS_SENTINEL_SERVICE", "other"), ("REDIS_HOST", "h")];
    let found = open(table, &variables).await.unwrap();
    assert_eq!(found, "redis-sentinel://c:26379,d:26379/other None None cloakroom:");
    let found = open(table, &variables[..1]).await.unwrap();
    assert_eq!(found, "redis-sentinel://c:26379,d:26379/shop None None cloakroom:");
    assert_eq!(open(table, &variables[2..]).await.unwrap(), "redis://h:6379 None None cloakroom:");
    let found = open("", &variables).await.unwrap();
    assert_eq!(found, "redis-sentinel://c:26379,d:26379/other None None cloakroom:");

    // As whom to ask them, by table, URL and variable.
    let group = |file: &str, variables: &[(&str, &str)]| {
        let env = Environment::of(variables.iter().copied());
        let read = Configuration::parse("c.toml", file.as_bytes(), &env).unwrap();
        let found: Arc<std::sync::OnceLock<_>> = Arc::default();
        let told = found.clone();
        let driver = Driver::new(NAME, keys::ALL, move |connection: Connection| {
            let settings = settings(&connection, &Variables(&env), this_machine()).unwrap();
            let crate::redis_url::Address::Sentinels(group) = settings.url.address else { panic!() };
            let password = group.password.map(|password| password.as_str().to_owned());
            told.set((group.user, password)).unwrap();
            async { Err::<Opened, _>("seen".into()) }
        });
        async move {
            assert!(Drivers::none().with(driver).open(&read).await.is_err());
            found.get().cloned().unwrap()
        }
    };
    let pair = |user: &str, password: &str| (Some(user.to_owned()), Some(password.to_owned()));
    let own = format!("{table}sentinel_user = \"u\"\nsentinel_password = {{ env = \"PW\" }}\n");
    assert_eq!(group(&own, &[("PW", "hush")]).await, pair("u", "hush"));
    let over = [("PW", "hush"), ("REDIS_SENTINELS", "c"), ("REDIS_SENTINEL_USERNAME", "v")];
    assert_eq!(group(&own, &over).await, pair("v", "hush"));
    let in_url = [("REDIS_URL", "redis-sentinel://a/s?sentinel_user=x&sentinel_password=y")];
    assert_eq!(group(table, &in_url).await, pair("x", "y"));
    let over = [in_url[0], ("REDIS_SENTINEL_PASSWORD", "z")];
    assert_eq!(group(table, &over).await, pair("x", "z"));

    let with = |what: &str| format!("[connections.redis]\n{what}\n");
    for (file, variables, told) in [
        (with("sentinels = [\"a\"]"), &[][..], "sentinels stands without their service"),
        (with("service = \"s\""), &[], "service stands without sentinels"),
        (with("sentinels = \"a,b\"\nservice = \"s\""), &[], "sentinels is not a list of text"),
        (with("sentinels = [\"hush:hush\"]\nservice = \"s\""), &[], "sentinels is refused"),
        (with("sentinels = [\"a\"]\nservice = \"hush hush\""), &[], "service is refused"),
        (format!("{table}host = \"hush\"\n"), &[], "sentinels stands beside host"),
        (format!("{table}socket = \"hush\"\n"), &[], "sentinels stands beside socket"),
        (with("sentinel_password = \"hush\""), &[], "sentinel_password is for sentinels"),
        (with(""), &[("REDIS_SENTINELS", "a")], "REDIS_SENTINEL_SERVICE is missing"),
        (with(""), &[("REDIS_SENTINEL_SERVICE", "hush")], "REDIS_SENTINEL_SERVICE is for sentinels"),
        (table.to_owned(), &[("REDIS_SENTINELS", "hush:hush")], "variable REDIS_SENTINELS"),
        (with(""), &[("REDIS_SENTINEL_PASSWORD", "hush")], "REDIS_SENTINEL_PASSWORD are for sentinels"),
    ] {
        let error = open(&file, variables).await.unwrap_err();
        assert!(error.contains(told), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn a_table_may_have_writes_waited_for() {
    let found = |file: &str| {
        let file = format!("[connections.redis]\n{file}");
        let env = Environment::of([("SESSION_DRIVER", "redis")]);
        let read = Configuration::parse("c.toml", file.as_bytes(), &env).unwrap();
        let seen: Arc<std::sync::OnceLock<_>> = Arc::default();
        let told = seen.clone();
        let driver = Driver::new(NAME, keys::ALL, move |connection: Connection| {
            told.set(settings(&connection, &Variables(&env), this_machine()).map(|it| it.durability))
                .ok()
                .unwrap();
            async { Err::<Opened, _>("seen".into()) }
        });
        async move {
            let refused = Drivers::none().with(driver).open(&read).await.err().unwrap().to_string();
            let seen = seen.get().map(|seen| seen.as_ref().map_err(ToString::to_string).copied());
            seen.unwrap_or(Err(refused))
        }
    };
    assert_eq!(found("").await, Ok(None));
    assert_eq!(found("wait_replicas = 0").await, Ok(None));
    assert_eq!(found("wait_replicas = 2").await, Ok(Some(Durability::replicas(2))));
    let all = "wait_replicas = 1\nwait_disk = true\nwait_within = \"200ms\"\nwait_for = \"logins_and_ends\"";
    let short = std::time::Duration::from_millis(200);
    let expected = Durability::replicas(1).on_disk().within(short).only_logins_and_ends();
    assert_eq!(found(all).await, Ok(Some(expected)));
    assert_eq!(found("wait_disk = true\nwait_for = \"all\"").await, Ok(Some(Durability::disk())));
    for (file, told) in [
        ("wait_replicas = -1", "wait_replicas"),
        ("wait_within = \"1s\"", "wait_within stands without"),
        ("wait_disk = true\nwait_for = \"hush\"", "accepted: all, logins_and_ends"),
    ] {
        let error = found(file).await.unwrap_err();
        assert!(error.contains(told) && !error.contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn tls_is_a_switch_or_a_url_and_never_silently_off() {
    let table = "[connections.redis]\nhost = \"h\"\n";
    let files = "ca = \"ca.pem\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    let found = open(&format!("{table}tls = true\n{files}"), &[]).await.unwrap();
    assert_eq!(found, "rediss://h:6379 None None cloakroom: ca=ca.pem certificate=c.pem key=k.pem");
    let found = open("[connections.redis]\nurl = \"rediss://h\"\ntls = true\n", &[]).await.unwrap();
    assert_eq!(found, "rediss://h:6379 None None cloakroom:");
    let variables = [("REDIS_TLS", "true"), ("REDIS_TLS_CA", "x.pem"), ("REDIS_HOST", "other")];
    let found = open(&format!("{table}ca = \"ca.pem\"\n"), &variables).await.unwrap();
    assert_eq!(found, "rediss://other:6379 None None cloakroom: ca=x.pem");
    let variables =
        [("REDIS_TLS_CERTIFICATE", "d.pem"), ("REDIS_TLS_KEY", "l.pem"), ("REDIS_URL", "rediss://far")];
    let found = open(&format!("{table}tls = true\n{files}"), &variables).await.unwrap();
    assert_eq!(found, "rediss://far:6379 None None cloakroom: ca=ca.pem certificate=d.pem key=l.pem");
    for file in [String::new(), format!("{table}tls = true\n")] {
        let found = open(&file, &[("REDIS_URL", "redis://far"), ("REDIS_TLS", "true")]).await.unwrap();
        assert_eq!(found, "rediss://far:6379 None None cloakroom:");
    }
    // On the machine itself there is nothing to listen in on.
    let found = open(&format!("{table}tls = true\n"), &[("REDIS_URL", "redis+unix:/s")]).await.unwrap();
    assert_eq!(found, "redis+unix:/s None None cloakroom:");

    let beside = |what: &str| format!("[connections.redis]\n{what}\n");
    for (file, variables, told) in [
        (beside("url = \"rediss://h\"\ntls = false"), &[][..], "connections.redis.tls contradicts the url"),
        (beside("url = \"redis://h\"\ntls = true"), &[], "c.toml:3:7: connections.redis.tls contradicts"),
        (beside("socket = \"/s\"\ntls = true"), &[], "connections.redis.tls is for a host"),
        (beside("tls = \"maybe\""), &[], "accepted: true, false"),
        (format!("{table}{files}"), &[], "ca, certificate and key are for Redis over TLS"),
        (beside("tls = true"), &[("REDIS_TLS", "false")], "REDIS_TLS is false"),
        (beside("tls = true"), &[("REDIS_TLS", "yes")], "REDIS_TLS is not a switch; accepted: true, false"),
        (String::new(), &[("REDIS_SOCKET", "/s"), ("REDIS_TLS", "true")], "REDIS_TLS is for a host"),
        (format!("{table}tls = true\n{files}"), &[("REDIS_URL", "redis://far")], "REDIS_URL is without TLS"),
        (format!("{table}tls = true\n"), &[("REDIS_URL", "redis://far")], "ask for it (tls = true"),
        (beside("url = \"rediss://h\""), &[("REDIS_URL", "redis-cluster://far")], "REDIS_URL is without TLS"),
        (format!("{table}tls = true\n{files}"), &[("REDIS_SOCKET", "/s")], "are for Redis over TLS"),
    ] {
        let error = open(&file, variables).await.unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

/// Without a password nobody logs in, and the store would work as somebody else.
#[tokio::test]
async fn a_user_whose_password_is_missing_is_refused_with_the_setting() {
    let table = |rest: &str| format!("[connections.redis]\n{rest}\n");
    let sentinels = "sentinels = [\"a\"]\nservice = \"s\"\n";
    for (file, variables, told) in [
        (table("url = \"redis://shop@h\""), &[][..], "redis://USER:PASSWORD@"),
        (table("host = \"h\"\nuser = \"shop\""), &[], "(password, REDIS_PASSWORD"),
        (table("host = \"h\""), &[("REDIS_USERNAME", "shop")], "(password, REDIS_PASSWORD"),
        (
            String::new(),
            &[("REDIS_USERNAME", "shop"), ("REDIS_PASSWORD", "null")],
            "(password, REDIS_PASSWORD",
        ),
        (table(&format!("{sentinels}user = \"shop\"")), &[], "(password, REDIS_PASSWORD"),
        (table(&format!("{sentinels}sentinel_user = \"shop\"")), &[], "REDIS_SENTINEL_PASSWORD"),
        (table(sentinels), &[("REDIS_SENTINEL_USERNAME", "shop")], "REDIS_SENTINEL_PASSWORD"),
    ] {
        let error = open(&file, variables).await.unwrap_err();
        assert!(error.contains(told) && !error.contains("shop"), "{error}");
    }
    // A user of the server's who needs none takes any, an empty one as well.
    assert!(RedisBuilder::new(RedisUrl::at(HOST, PORT)).user("shop").password("").build().is_ok());
}

#[tokio::test]
async fn the_environment_stands_over_the_table_called_redis_and_over_no_other() {
    let variables = [
        ("REDIS_HOST", "other"),
        ("REDIS_PORT", "8"),
        ("REDIS_PASSWORD", "null"),
        ("REDIS_USERNAME", "w"),
        ("REDIS_DB", "5"),
        ("REDIS_PREFIX", "p:"),
    ];
    let table = "host = \"h\"\nport = 7\npassword = \"hush\"\n";
    let found = open(&format!("[connections.redis]\n{table}"), &variables).await.unwrap();
    assert_eq!(found, "redis://other:8/5 Some(\"w\") Some(\"hush\") p:");
    let named = format!("connection = \"sessions\"\n[connections.sessions]\ndriver = \"redis\"\n{table}");
    let found = open(&named, &variables).await.unwrap();
    assert_eq!(found, "redis://h:7 None Some(\"hush\") cloakroom:");
    let found = open("", &[("REDIS_URL", "redis://u:p@far:1/2"), ("REDIS_HOST", "near")]).await.unwrap();
    assert_eq!(found, "redis://far:1/2 Some(\"u\") Some(\"p\") cloakroom:");
}

#[tokio::test]
async fn a_cluster_is_named_by_its_url_and_has_no_database() {
    let table = "[connections.redis]\nurl = \"redis-cluster://u:p@a,b:1\"\n";
    let found = open(table, &[]).await.unwrap();
    assert_eq!(found, "redis-cluster://a:6379,b:1 Some(\"u\") Some(\"p\") cloakroom:");
    let found = open("", &[("REDIS_URL", "redis-cluster://a"), ("REDIS_TLS", "true")]).await.unwrap();
    assert_eq!(found, "rediss-cluster://a:6379 None None cloakroom:");
    let found = open(table, &[("REDIS_HOST", "other")]).await.unwrap();
    assert!(found.starts_with("redis://other:6379 "), "{found}");
    for (file, variables, told) in [
        (format!("{table}database = 1\n"), &[][..], "database 0 and no other"),
        (table.to_owned(), &[("REDIS_DB", "1")], "database 0 and no other"),
        (format!("{table}tls = true\n"), &[], "connections.redis.tls contradicts the url"),
    ] {
        let error = open(&file, variables).await.unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_table_may_put_a_cache_in_front() {
    let found = async |file: &str, variables: &[(&str, &str)]| {
        let file = format!("[connections.redis]\n{file}");
        let found = open(&file, variables).await.unwrap();
        found.split_once(" NearCacheBuilder ").map(|(_, cache)| cache.to_owned())
    };
    let cache = found("near_cache = true\n", &[]).await.unwrap();
    assert!(cache.contains("entries: 50000, bytes: 67108864, lifetime: 2s"), "{cache}");
    let sized = "near_cache = true\nnear_cache_entries = 10\nnear_cache_bytes = \"1MiB\"\nnear_cache_lifetime = \"500ms\"\n";
    let cache = found(sized, &[]).await.unwrap();
    assert!(cache.contains("entries: 10, bytes: 1048576, lifetime: 500ms"), "{cache}");
    assert_eq!(found("", &[]).await, None);
    // Switched by the environment, with its sizes where they are.
    let switched = "near_cache = { env = \"NEAR\" }\nnear_cache_entries = 10\n";
    assert_eq!(found(switched, &[("NEAR", "false")]).await, None);
    assert!(found(switched, &[("NEAR", "true")]).await.is_some());
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place_and_no_value() {
    for (file, variables, told) in [
        ("[connections.redis]\nurl = \"hush\"\n", &[][..], "c.toml:2:7: connections.redis.url is refused"),
        (
            "[connections.redis]\nurl = \"redis://h\"\nhost = \"h\"\n",
            &[],
            "connections.redis.url stands beside",
        ),
        ("[connections.redis]\nport = 65536\n", &[], "connections.redis.port"),
        ("[connections.redis]\nhots = \"hush\"\n", &[], "did you mean host"),
        ("[connections.redis]\nprefix = \"{hush}\"\n", &[], "prefix"),
        ("[connections.redis]\nconnections = 0\n", &[], "connections"),
        ("[connections.redis]\nnear_cache = \"hush\"\n", &[], "connections.redis.near_cache is not a switch"),
        (
            "[connections.redis]\nnear_cache_lifetime = \"1s\"\n",
            &[],
            "near_cache_lifetime stands without near_cache",
        ),
        (
            "[connections.redis]\nnear_cache = true\nnear_cache_entries = 0\n",
            &[],
            "near_cache_entries is zero",
        ),
        ("", &[("REDIS_PORT", "hush")], "environment variable REDIS_PORT"),
        ("", &[("REDIS_PORT", "+6379")], "REDIS_PORT is not a whole number"),
        ("", &[("REDIS_URL", "rediss://hush@h?hush=1")], "environment variable REDIS_URL"),
    ] {
        let error = open(file, variables).await.unwrap_err();
        assert!(error.contains(told), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}

/// In each build: by the driver of it.
#[tokio::test]
async fn what_is_said_of_an_application_that_nothing_names_is_refused_whatever_was_built() {
    for key in keys::of_application().filter(|key| !["layout", "php_ini"].contains(key)) {
        for line in ["x = true", "x = 40", "x = \"hush\"", "x = [\"hush\"]", "x = { env = \"NONE\" }"] {
            let env = Environment::of([("APP_KEY", "hush")]);
            let file = format!("[connections.redis]\n{key}{}\n", line.trim_start_matches('x'));
            let read = Configuration::parse("c.toml", file.as_bytes(), &env).unwrap();
            let opened = Drivers::none().with(crate::driver(&env)).open_with_config(&read).await;
            let told = opened.err().unwrap_or_else(|| panic!("{file} passed")).to_string();
            let why =
                if cfg!(feature = "php") { "stands without a layout or php_ini" } else { "feature php" };
            assert!(told.contains(&format!("connections.redis.{key} ")) && told.contains(why), "{told}");
            assert!(!told.contains("hush"), "{told}");
        }
    }
}

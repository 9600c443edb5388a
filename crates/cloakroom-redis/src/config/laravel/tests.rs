use super::super::php::tests::{application, config};
use super::*;

const TABLE: &str = "[connections.redis]\nlayout = \"laravel\"\n";
const LONG: &str = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SHORT: &str = "base64:AAECAwQFBgcICQoLDA0ODw==";
const OTHER: &str = "base64://79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

fn expected(app: impl FnOnce(LaravelApp) -> LaravelApp) -> Layout {
    let encrypter = Encrypter::new(Cipher::Cbc, LONG.parse().unwrap(), [OTHER.parse().unwrap()]);
    Layout::laravel(app(LaravelApp::new(encrypter)))
}

async fn found(file: &str, variables: &[(&str, &str)]) -> Layout {
    application(file, variables).await.unwrap().unwrap().layout
}

#[tokio::test]
async fn the_keys_are_where_laravel_has_them_or_where_the_table_says() {
    let as_it_is = expected(|app| app);
    let laravels = [(VARIABLE, LONG), (PREVIOUS_VARIABLE, OTHER)];
    assert_eq!(found(TABLE, &laravels).await, as_it_is);
    let named = format!("{TABLE}app_key = {{ env = \"A\" }}\napp_previous_keys = {{ env = \"B\" }}\n");
    let others = [("A", LONG), ("B", OTHER), (VARIABLE, "hush"), (PREVIOUS_VARIABLE, "hush")];
    assert_eq!(found(&named, &others).await, as_it_is);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, format!("{LONG}\n\n{OTHER}\n")).unwrap();
    let in_file = format!("{TABLE}app_key_file = {:?}\n", path.to_str().unwrap());
    assert_eq!(found(&in_file, &[(VARIABLE, "hush")]).await, as_it_is);
    // By variables alone, and in a connection of another name.
    let by_variables = [&laravels[..], &[("SESSION_DRIVER", "redis"), ("REDIS_LAYOUT", "laravel")]].concat();
    assert_eq!(found("", &by_variables).await, as_it_is);
    let elsewhere = TABLE.replace("redis]", "php]\ndriver = \"redis\"");
    assert_eq!(found(&format!("connection = \"php\"\n{elsewhere}"), &laravels).await, as_it_is);
}

#[tokio::test]
async fn what_differs_from_how_laravel_begins_is_said_as_laravel_says_it() {
    let laravels = [(VARIABLE, LONG), (PREVIOUS_VARIABLE, OTHER)];
    let file = format!(
        "{TABLE}laravel_13 = true\nsession_serialization = \"json\"\nsession_encrypt = true\nexpire_on_close = true\n\
         plain_cookie = true\nguard = \"admin\"\ngc_maxlifetime = 600\nsession_name = \"shop\"\nphp_prefix = \"p:\"\n"
    );
    let ten_minutes = Duration::from_secs(600);
    let app = |app: LaravelApp| {
        app.since_13().json().encrypt().expire_on_close().plain_cookie().guard("admin").lifetime(ten_minutes)
    };
    assert_eq!(found(&file, &laravels).await, expected(app).session_name("shop").prefix("p:"));
    // A variable stands over the table, and the layout's cookie and lifetime are those of the sessions.
    let over = [&laravels[..], &[("REDIS_SESSION_ENCRYPT", "false"), ("REDIS_GUARD", "web")]].concat();
    let off = |app: LaravelApp| app.since_13().json().expire_on_close().plain_cookie().lifetime(ten_minutes);
    assert_eq!(found(&file, &over).await, expected(off).session_name("shop").prefix("p:"));
    let opened = config(&file, &laravels).await.unwrap();
    assert!(
        opened.starts_with("laravel ") && opened.contains("idle: 600s") && opened.contains("shop"),
        "{opened}"
    );
    let gcm = format!("{TABLE}app_cipher = \"AES-128-GCM\"\n");
    let short = Encrypter::new(Cipher::Gcm, SHORT.parse().unwrap(), []);
    assert_eq!(found(&gcm, &[(VARIABLE, SHORT)]).await, Layout::laravel(LaravelApp::new(short)));
}

#[tokio::test]
async fn s66_a_key_that_is_missing_or_wrong_is_told_with_its_place_and_never_shown() {
    let with = |lines: &str| format!("{TABLE}{lines}\n");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        with(&format!("app_key_file = {:?}", path.to_str().unwrap()))
    };
    for (file, variables, told) in [
        (
            with(""),
            vec![],
            "c.toml:2:10: connections.redis.layout needs the application's key: set the environment variable APP_KEY",
        ),
        (
            with("app_key = { env = \"K\" }"),
            vec![(VARIABLE, LONG)],
            "c.toml:3:11: connections.redis.app_key is to come from environment variable K, which is not set",
        ),
        (
            with(&format!("app_key = {LONG:?}")),
            vec![],
            "c.toml:3:11: connections.redis.app_key must not stand in the file; accepted: { env = \"NAME\" }",
        ),
        (
            with(""),
            vec![(VARIABLE, "base64:AAEC")],
            "environment variable APP_KEY is none: an application key is `base64:` and 16 or 32 bytes",
        ),
        (
            with(""),
            vec![(VARIABLE, SHORT)],
            "environment variable APP_KEY is a key for aes-128-cbc, and app_cipher is aes-256-cbc: set app_cipher",
        ),
        (
            with("app_cipher = \"aes-128-gcm\"\napp_key = { env = \"K\" }"),
            vec![("K", LONG)],
            "c.toml:4:11: connections.redis.app_key is a key for aes-256-gcm, and app_cipher is aes-128-gcm",
        ),
        (
            with("app_cipher = \"rot13\""),
            vec![(VARIABLE, LONG)],
            "c.toml:3:14: connections.redis.app_cipher is none of Laravel's; accepted: aes-256-cbc",
        ),
        (
            with(""),
            vec![(VARIABLE, LONG), (PREVIOUS_VARIABLE, "hush,hush")],
            "environment variable APP_PREVIOUS_KEYS is none",
        ),
        (
            file("bad", "hush\n"),
            vec![],
            "c.toml:3:16: connections.redis.app_key_file names a file whose first line is none",
        ),
        (file("empty", ""), vec![], "names a file whose first line is none"),
        (
            file("old", &format!("{LONG}\nhush\n")),
            vec![],
            "names a file of whose further lines, which are previous keys, one is none",
        ),
        (
            with("app_key_file = \"no/such\""),
            vec![],
            "app_key_file names a file that cannot be read: No such file",
        ),
        (
            // A previous key would stand where it is read no more.
            file("long", &format!("{LONG}\n{}{OTHER}\n", "\n".repeat(16 * 1024))),
            vec![],
            "app_key_file names a file that cannot be read: it is longer than 16 KiB",
        ),
        (
            file("good", LONG) + "app_previous_keys = { env = \"P\" }\n",
            vec![("P", OTHER)],
            "app_key_file stands beside a key from elsewhere",
        ),
        (
            with("session_serialization = \"hush\""),
            vec![(VARIABLE, LONG)],
            "session_serialization is none of Laravel's; accepted: php, json",
        ),
        (with("session_encrypt = \"hush\""), vec![(VARIABLE, LONG)], "session_encrypt is not a switch"),
        (
            with("sid_length = 40\nsid_bits_per_character = 6"),
            vec![(VARIABLE, LONG)],
            "sid_length is refused",
        ),
        (with("serialize_handler = \"php\""), vec![(VARIABLE, LONG)], "serialize_handler is refused"),
        (
            "[connections.redis]\nlayout = \"phpredis\"\napp_cipher = \"aes-256-cbc\"\n".to_owned(),
            vec![],
            "c.toml:3:14: connections.redis.app_cipher belongs to the layout laravel, and this is phpredis",
        ),
        ("[connections.redis]\nguard = \"hush\"\n".to_owned(), vec![], "guard stands without a layout"),
    ] {
        let error = config(&file, &variables).await.unwrap_err();
        assert!(error.contains(told), "{error}");
        for secret in [LONG, SHORT, "AAEC", "hush"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

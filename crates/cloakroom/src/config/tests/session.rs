//! What the settings make of a session layer, seen from outside: by the cookies it sends.

use super::*;
use crate::{MemoryStore, SessionConfig, SessionManager};

/// The `Set-Cookie` of a first write over TLS, without its id.
fn cookie(config: SessionConfig) -> String {
    let manager = SessionManager::new(MemoryStore::new(), config).unwrap();
    let handle = manager.open(&http::Request::new(()), None);
    let mut headers = http::HeaderMap::new();
    now(async {
        handle.open().await.unwrap().set("a", 1).unwrap();
        let _ = manager.close(&handle, http::StatusCode::OK, &mut headers).await;
    });
    let cookie = headers["set-cookie"].to_str().unwrap();
    let (name, rest) = cookie.split_once('=').unwrap();
    format!("{name}=…; {}", rest.split_once("; ").unwrap().1)
}

fn cookie_of(text: &str) -> String {
    cookie(settings(text).session_config().unwrap())
}

#[test]
fn no_settings_are_the_defaults() {
    let read = settings("").session_config().unwrap();
    assert_eq!(cookie(read.clone()), cookie(SessionConfig::new()));
    let mut read = format!("{read:?}");
    // The prefix is spelt out there, and is the default's here.
    read = read.replace("name: Some(\"__Host-id\")", "name: None");
    assert_eq!(read, format!("{:?}", SessionConfig::new()));
}

#[test]
fn the_sample_file_is_the_defaults() {
    let sample = format!("{:?}", settings(SAMPLE).session_config().unwrap());
    assert_eq!(sample, format!("{:?}", settings("").session_config().unwrap()));
}

#[test]
fn s18_the_cookie_is_prefixed_where_its_attributes_allow_it() {
    assert!(cookie_of("[cookie]\nname = \"sid\"").starts_with("__Host-sid=…; Path=/;"));
    assert!(cookie_of("[cookie]\nname = \"sid\"\npath = \"/app\"").starts_with("sid=…; Path=/app;"));
    assert!(cookie_of("[cookie]\nname = \"sid\"\ndomain = \"example.com\"").starts_with("sid=…;"));
    assert!(cookie_of("[cookie]\nname = \"__Secure-sid\"").starts_with("__Secure-sid=…;"));
    let never = cookie_of("[cookie]\nname = \"sid\"\nsecure = \"never\"");
    assert!(never.starts_with("sid=…;") && !never.contains("Secure"), "{never}");
}

#[test]
fn every_setting_of_the_file_reaches_the_layer() {
    let text = "[session]\nidle = \"61s\"\nabsolute = \"62s\"\nrenewal = \"50s\"\ngrace = \"7s\"\ntouch_after = \"25%\"\n\
                max_size = 1001\nmax_keys = 11\nmax_key_length = 12\nmax_per_user = 13\nmarker = \"64s\"\ncodec = \"json\"\n\
                [concurrency]\nmode = \"exclusive\"\non_conflict = \"overwrite\"\nlease = \"3s\"\nwait = \"4s\"\nwaiters = 14\n\
                commit_deadline = \"8s\"\nstore_deadline = \"9s\"\ncommit_on_5xx = true\n\
                [cookie]\nhttp_only = false\nsame_site = \"strict\"\npartitioned = true\nlifetime = \"77s\"\n\
                [transport]\nkind = \"header\"\nheader = \"x-sid\"\n[cache]\nlimiter = \"private\"\nexpire = \"55s\"\n\
                [proxies]\ntrusted = [\"10.0.0.0/8\"]\n[logout]\nclear_site_data = true\n";
    let config = format!("{:?}", settings(text).session_config().unwrap());
    for part in [
        "idle: 61s",
        "absolute: 62s",
        "renewal: Some(50s)",
        "grace: 7s",
        "touch_after: 0.25",
        "session_bytes: 1001",
        "keys: 11",
        "key_bytes: 12",
        "sessions_per_user: Some(13)",
        "marker: 64s",
        "codec: Json",
        "mode: Exclusive",
        "on_conflict: Overwrite",
        "lease: 3s",
        "wait: 4s",
        "waiters: 14",
        "commit_deadline: 8s",
        "call_deadline: 9s",
        "commit_on_5xx: true",
        "http_only: false",
        "same_site: Strict",
        "partitioned: true",
        "Persistent(77s)",
        "Header(\"x-sid\")",
        "Private { max_age: 55s }",
        "10.0.0.0/8",
        "clear_site_data: true",
    ] {
        assert!(config.contains(part), "{part} is not in {config}");
    }
}

#[test]
fn protection_against_cross_site_requests_follows_the_file() {
    let text = "[csrf]\nheader = \"X-Token\"\nfield = \"token\"\norigins = [\"https://partner.example\"]";
    let csrf = settings(text).csrf_config().unwrap();
    assert_eq!((csrf.header.as_str(), csrf.field.as_str()), ("x-token", "token"));
    assert_eq!(csrf.allowed_origins, crate::TrustedOrigins::parse(["https://partner.example"]).unwrap());
    assert_eq!(settings("").csrf_config().unwrap(), crate::CsrfConfig::default());
}

/// What another system's sessions need.
fn theirs() -> SessionConfig {
    use crate::{CacheLimiter, CookieConfig, CookieLifetime, Limits, Locking, SameSite};
    let seconds = std::time::Duration::from_secs;
    SessionConfig::new()
        .idle(seconds(1440))
        .limits(Limits { session_bytes: 1 << 20, keys: 4096, ..Limits::default() })
        .locking(Locking { handovers: 0, ..Locking::default() })
        .cache_limiter(CacheLimiter::Private { max_age: seconds(60) })
        .cookie(
            CookieConfig::new()
                .name("PHPSESSID")
                .path("/shop")
                .domain("example.com")
                .same_site(SameSite::Strict)
                .lifetime(CookieLifetime::Persistent(seconds(90))),
        )
}

#[test]
fn what_is_set_nowhere_is_as_the_other_system_has_it() {
    let config = parse("").unwrap().session_config_over(theirs()).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", theirs()));
}

#[test]
fn what_file_and_environment_set_stands_over_the_other_systems() {
    let text = "[session]\nidle = \"61s\"\nmax_keys = 11\n[concurrency]\nwait = \"4s\"\n[cache]\nexpire = \"55s\"\n\
                [cookie]\nname = \"SHOP\"\nsame_site = \"lax\"\n[logout]\nclear_site_data = true\n";
    let read =
        parse_over(text, [("SESSION_MAX_SIZE", "1001"), ("SESSION_COOKIE_LIFETIME", "browser")]).unwrap();
    let config = format!("{:?}", read.session_config_over(theirs()).unwrap());
    for part in [
        "idle: 61s",
        "session_bytes: 1001",
        "keys: 11",
        "wait: 4s",
        "handovers: 0",
        "Private { max_age: 55s }",
        "name: Some(\"SHOP\")",
        "path: \"/shop\"",
        "same_site: Lax",
        "lifetime: BrowserSession",
        "clear_site_data: true",
    ] {
        assert!(config.contains(part), "{part} is not in {config}");
    }
}

/// Every key that the sample shows is one that counts when it is set: none is forgotten on the way.
#[test]
fn every_setting_stands_over_the_other_systems() {
    let text = "[session]\nidle = \"61s\"\nabsolute = \"62s\"\nrenewal = \"50s\"\ngrace = \"7s\"\ntouch_after = \"25%\"\n\
                max_size = 1001\nmax_keys = 11\nmax_key_length = 12\nmax_per_user = 13\nmarker = \"64s\"\ncodec = \"json\"\n\
                [concurrency]\nmode = \"exclusive\"\non_conflict = \"overwrite\"\nlease = \"3s\"\nwait = \"4s\"\nwaiters = 14\n\
                commit_deadline = \"8s\"\nstore_deadline = \"9s\"\ncommit_on_5xx = true\n\
                [cookie]\nname = \"__Host-x\"\npath = \"/\"\ndomain = \"\"\nsecure = \"always\"\nhttp_only = false\n\
                same_site = \"none\"\npartitioned = true\nlifetime = \"77s\"\n\
                [transport]\nkind = \"header\"\nheader = \"x-sid\"\n[cache]\nlimiter = \"private\"\nexpire = \"55s\"\n\
                [proxies]\ntrusted = [\"10.0.0.0/8\"]\n[logout]\nclear_site_data = true\n";
    let (alone, over) = {
        let read = parse(text).unwrap();
        let over = read.session_config_over(theirs()).unwrap();
        (format!("{:?}", read.settings.session_config().unwrap()), format!("{over:?}"))
    };
    // What no file can set stays the other system's.
    assert_eq!(alone.replace("handovers: 16", "handovers: 0"), over);
}

#[test]
fn sessions_with_a_configuration_of_their_own_are_not_opened_without_it() {
    let driver = Driver::new("php", &[], |_: Connection| async move {
        Ok::<_, OpenError>(Opened::with_config(Arc::new(MemoryStore::new()), theirs()))
    });
    let drivers = Drivers::none().with(driver);
    let read = parse("[connections.php]\n[session]\nidle = \"61s\"\n").unwrap();
    let refused = now(drivers.open(&read)).map(drop).unwrap_err().to_string();
    assert!(refused.starts_with("cloakroom.toml:1:14: the sessions of the memory layout"), "{refused}");
    let (_, config) = now(drivers.open_with_config(&read)).unwrap();
    assert!(format!("{config:?}").contains("idle: 61s") && cookie(config).starts_with("PHPSESSID=…"));
    // A store that needs none has the settings' own.
    let plain = Driver::new("memory", &[], |_: Connection| async move {
        Ok::<Arc<dyn Store>, OpenError>(Arc::new(MemoryStore::new()))
    });
    let (_, config) = now(Drivers::none().with(plain).open_with_config(&parse("").unwrap())).unwrap();
    assert!(cookie(config).starts_with("__Host-id=…"));
}

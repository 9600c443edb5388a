use std::time::Duration;

use ::cookie::Cookie;
use http::HeaderMap;
use http::header::SET_COOKIE;
use proptest::prelude::*;

use super::headers;
use crate::clock::Timestamp;
use crate::http::cookie::format::write;
use crate::http::cookie::{CookieConfig, CookieError, CookieLifetime, CookiePolicy, SameSite, Secure};
use crate::ids::SessionId;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

fn config() -> CookieConfig {
    CookieConfig::new()
}

fn set(policy: &CookiePolicy, secure: bool) -> (String, SessionId) {
    let id = SessionId::generate();
    let value = policy.set_cookie(id.expose(), secure, NOW);
    (value.to_str().unwrap().replace(id.expose(), "ID"), id)
}

fn refused(config: CookieConfig) -> String {
    config.build().unwrap_err().to_string()
}

#[test]
fn s05_s15_s16_s17_s18_s25_the_default_cookie() {
    let policy = config().build().unwrap();
    assert_eq!(set(&policy, true).0, "__Host-id=ID; Path=/; Secure; HttpOnly; SameSite=Lax");
    // A developer's own browser: the prefix and `Secure` would be refused there.
    assert_eq!(set(&policy, false).0, "id=ID; Path=/; HttpOnly; SameSite=Lax");
    assert_eq!((policy.name(true), policy.name(false)), ("__Host-id", "id"));
}

#[test]
fn the_value_is_marked_as_a_secret() {
    let policy = config().build().unwrap();
    let value = policy.set_cookie(SessionId::generate().expose(), true, NOW);
    assert!(value.is_sensitive());
    assert_eq!(format!("{value:?}"), "Sensitive");
}

#[test]
fn s15_secure_always_and_never_do_not_ask_the_request() {
    let always = config().secure(Secure::Always).build().unwrap();
    assert_eq!(set(&always, false).0, set(&always, true).0);
    assert!(set(&always, false).0.starts_with("__Host-id=ID; Path=/; Secure"));
    let never = config().secure(Secure::Never).build().unwrap();
    assert_eq!(set(&never, true).0, "id=ID; Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(never.name(true), "id");
}

#[test]
fn s18_s19_a_prefix_whose_rules_are_broken_is_refused_whatever_its_case() {
    for name in ["__Host-sid", "__host-sid", "__HOST-sid", "__hOsT-sid"] {
        assert!(refused(config().name(name).domain("example.com")).contains("no Domain"), "{name}");
        assert!(refused(config().name(name).path("/shop")).contains("Path=/"), "{name}");
        assert!(refused(config().name(name).secure(Secure::Never)).contains("Secure"), "{name}");
        let kept = config().name(name).build().unwrap();
        assert_eq!((kept.name(true), kept.name(false)), (name, "sid"));
    }
    // The default name has the prefix, too.
    assert!(refused(config().domain("example.com")).contains("no Domain"));
    assert!(refused(config().path("/shop")).contains("Path=/"));
    for name in ["__Secure-sid", "__SECURE-sid"] {
        assert!(refused(config().name(name).secure(Secure::Never)).contains("Secure"), "{name}");
        let shared = config().name(name).domain("example.com").path("/shop").build().unwrap();
        assert_eq!(
            set(&shared, true).0,
            format!("{name}=ID; Path=/shop; Domain=example.com; Secure; HttpOnly; SameSite=Lax")
        );
        assert_eq!(shared.name(false), "sid");
    }
    for name in ["__Http-sid", "__Host-Http-sid", "__host-http-sid"] {
        assert!(refused(config().name(name).http_only(false)).contains("HttpOnly"), "{name}");
        assert_eq!(config().name(name).build().unwrap().name(false), "sid", "{name}");
    }
    assert!(refused(config().name("__Host-Http-sid").domain("example.com")).contains("no Domain"));
    // Nothing would be left of these where the prefix goes.
    for name in ["__Host-", "__Secure-", "__Http-", "__Host-Http-"] {
        assert!(config().name(name).build().is_err(), "{name}");
    }
}

#[test]
fn s17_s27_same_site_none_and_partitioned_go_with_secure_only() {
    let never = config().secure(Secure::Never);
    assert!(refused(never.clone().same_site(SameSite::None)).contains("SameSite=None"));
    assert!(refused(never.partitioned(true)).contains("Partitioned"));
    let framed = config().same_site(SameSite::None).partitioned(true).build().unwrap();
    assert_eq!(set(&framed, true).0, "__Host-id=ID; Path=/; Secure; HttpOnly; SameSite=None; Partitioned");
    assert_eq!(set(&framed, false).0, "id=ID; Path=/; HttpOnly; SameSite=Lax");
    let strict = config().same_site(SameSite::Strict).http_only(false).build().unwrap();
    assert_eq!(set(&strict, true).0, "__Host-id=ID; Path=/; Secure; SameSite=Strict");
}

#[test]
fn s21_sizes_past_what_browsers_keep_are_refused() {
    let longest = "n".repeat(4096 - 32);
    assert!(config().name(&longest).build().is_ok());
    assert!(matches!(config().name(format!("{longest}n")).build(), Err(CookieError::NameTooLong { .. })));
    let path = format!("/{}", "p".repeat(1023));
    assert!(config().name("sid").path(&path).build().is_ok());
    let too_long = config().name("sid").path(format!("{path}p")).build();
    assert!(matches!(too_long, Err(CookieError::AttributeTooLong { attribute: "path", len: 1025 })));
    let too_long = config().name("sid").domain("d.".repeat(600)).build();
    assert!(matches!(too_long, Err(CookieError::AttributeTooLong { attribute: "domain", .. })));
    assert!(refused(config().name("sid").domain("d.".repeat(130))).contains("253"));
}

#[test]
fn s22_no_control_character_and_no_separator_gets_in() {
    for name in ["", "a b", "a=b", "a;b", "a,b", "a\r\nb", "a\0", "a\t", "é", "a\"", "a(b)", "a/b", "a\u{7f}"]
    {
        assert!(matches!(config().name(name).build(), Err(CookieError::Name { .. })), "{name:?}");
    }
    for path in ["", "shop", "/a;b", "/a\r\nSet-Cookie: x", "/\0", "/é", "/\t", "/a "] {
        let built = config().name("sid").path(path).build();
        assert!(matches!(built, Err(CookieError::Path { .. })), "{path:?}");
    }
    for domain in [
        "",
        ".",
        "a..b",
        "-a.b",
        "a-.b",
        "exa mple.com",
        "example.com;x",
        "example.com\r\n",
        "http://example.com",
        "example.com:80",
        "*.example.com",
        "bücher.example",
        "127.0.0.1",
        "::1",
        "example.com.",
        "..example.com",
    ] {
        let built = config().name("sid").domain(domain).build();
        assert!(matches!(built, Err(CookieError::Domain { .. })), "{domain:?}");
    }
    let normal = config().name("sid").domain(".Example.COM").build().unwrap();
    assert!(set(&normal, true).0.contains("; Domain=example.com;"));
}

#[test]
fn s23_s25_a_persistent_cookie_counts_from_each_response() {
    let policy = config().lifetime(CookieLifetime::Persistent(DAY)).build().unwrap();
    assert_eq!(
        set(&policy, true).0,
        "__Host-id=ID; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=86400; \
         Expires=Mon, 07 Nov 1994 08:49:37 GMT"
    );
    let later = policy.set_cookie(SessionId::generate().expose(), true, NOW.after(Duration::from_secs(1)));
    assert!(later.to_str().unwrap().ends_with("Expires=Mon, 07 Nov 1994 08:49:38 GMT"));
    // No moment is too late to be written, not even none at all.
    let end = policy.set_cookie(SessionId::generate().expose(), true, Timestamp::NEVER);
    assert!(end.to_str().unwrap().ends_with("Expires=Fri, 31 Dec 9999 23:59:59 GMT"));
}

#[test]
fn s24_a_lifetime_is_from_one_second_to_400_days() {
    let with = |d| config().lifetime(CookieLifetime::Persistent(d)).build();
    assert!(with(400 * DAY).is_ok() && with(Duration::from_secs(1)).is_ok());
    for d in [Duration::ZERO, Duration::from_millis(999), 400 * DAY + Duration::from_millis(1), Duration::MAX]
    {
        assert_eq!(with(d).unwrap_err(), CookieError::Lifetime(d));
    }
}

#[test]
fn s26_the_deletion_repeats_what_the_browser_files_it_under() {
    let everything = config()
        .name("__Secure-sid")
        .domain("example.com")
        .path("/shop")
        .same_site(SameSite::None)
        .partitioned(true)
        .lifetime(CookieLifetime::Persistent(DAY))
        .build()
        .unwrap();
    assert_eq!(
        everything.deletion(true),
        "__Secure-sid=; Path=/shop; Domain=example.com; Secure; HttpOnly; SameSite=None; Partitioned; \
         Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    );
    let plain = config().build().unwrap();
    assert_eq!(
        plain.deletion(false),
        "id=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    );
}

#[test]
fn s20_one_set_cookie_per_name_and_others_stay() {
    let policy = config().build().unwrap();
    let mut map = headers([
        ("set-cookie", "theme=dark"),
        ("set-cookie", "__Host-id=old; Path=/"),
        ("set-cookie", "__Host-id2=x"),
        ("set-cookie", " __Host-id =older"),
        ("set-cookie", "nameless"),
    ]);
    write(&mut map, policy.deletion(true));
    let (value, id) = {
        let id = SessionId::generate();
        (policy.set_cookie(id.expose(), true, NOW), id)
    };
    write(&mut map, value);
    let all: Vec<&str> = map.get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(all.len(), 4);
    assert_eq!(all[..3], ["theme=dark", "__Host-id2=x", "nameless"]);
    assert!(all[3].contains(id.expose()));
    let mut empty = HeaderMap::new();
    write(&mut empty, policy.deletion(true));
    assert_eq!(empty.get_all(SET_COOKIE).iter().count(), 1);
}

fn any_config() -> impl Strategy<Value = CookieConfig> {
    let names = prop_oneof![
        Just("sid".to_owned()),
        "[!#$%&'*+.^_`|~A-Za-z0-9-]{1,20}",
        "__(Host|Secure|host)-[a-z]{1,8}",
    ];
    let same_site = prop_oneof![Just(SameSite::Strict), Just(SameSite::Lax), Just(SameSite::None)];
    let secure = prop_oneof![Just(Secure::Auto), Just(Secure::Always), Just(Secure::Never)];
    let domain = prop::option::of("[a-z]{1,9}(\\.[a-z]{2,5}){1,2}");
    let lifetime = prop::option::of(1u64..=400 * 24 * 3600);
    let path = prop_oneof![Just("/".to_owned()), "/[a-zA-Z0-9/_.-]{0,12}"];
    (names, same_site, secure, domain, lifetime, path, any::<(bool, bool)>()).prop_map(
        |(name, same_site, secure, domain, lifetime, path, (http_only, partitioned))| {
            let mut config = config()
                .name(name)
                .same_site(same_site)
                .secure(secure)
                .path(path)
                .http_only(http_only)
                .partitioned(partitioned);
            if let Some(domain) = domain {
                config = config.domain(domain);
            }
            if let Some(seconds) = lifetime {
                config = config.lifetime(CookieLifetime::Persistent(Duration::from_secs(seconds)));
            }
            config
        },
    )
}

proptest! {
    /// What is written means to another parser what was configured, and no attribute stands twice.
    #[test]
    fn s20_s26_the_cookie_crate_reads_back_what_was_configured(
        config in any_config(), secure: bool, now in 0u64..253_402_300_000_000,
    ) {
        let Ok(policy) = config.clone().build() else { return Ok(()) };
        let id = SessionId::generate();
        let value = policy.set_cookie(id.expose(), secure, Timestamp::from_millis(now));
        let text = value.to_str().unwrap();
        let deletion = policy.deletion(secure);
        let deletion = Cookie::parse(deletion.to_str().unwrap()).unwrap();
        let cookie = Cookie::parse(text).unwrap();
        prop_assert_eq!(cookie.name(), policy.name(secure));
        prop_assert_eq!(cookie.value(), id.expose());
        prop_assert_eq!(cookie.path(), Some(config.path.as_str()));
        prop_assert_eq!(cookie.domain(), config.domain.as_deref());
        prop_assert_eq!(cookie.http_only().unwrap_or(false), config.http_only);
        let is_secure = cookie.secure().unwrap_or(false);
        let expected = match config.secure { Secure::Auto => secure, Secure::Always => true, Secure::Never => false };
        prop_assert_eq!(is_secure, expected);
        prop_assert!(is_secure || cookie.same_site() != Some(::cookie::SameSite::None));
        prop_assert!(is_secure || !cookie.partitioned().unwrap_or(false));
        prop_assert!(is_secure || !cookie.name().starts_with("__"));
        let seconds = match config.lifetime {
            CookieLifetime::BrowserSession => None,
            CookieLifetime::Persistent(d) => Some(i64::try_from(d.as_secs()).unwrap()),
        };
        prop_assert_eq!(cookie.max_age().map(|d| d.whole_seconds()), seconds);
        if let Some(seconds) = seconds {
            let at = cookie.expires_datetime().unwrap().unix_timestamp();
            prop_assert_eq!(at, (i64::try_from(now / 1000).unwrap() + seconds).min(253_402_300_799));
        } else {
            prop_assert_eq!(cookie.expires(), None);
        }
        let mut attributes: Vec<&str> = text.split("; ").skip(1).map(|a| a.split('=').next().unwrap()).collect();
        let count = attributes.len();
        attributes.sort_unstable();
        attributes.dedup();
        prop_assert_eq!(attributes.len(), count);
        // The deletion reaches the same cookie: browsers file it under name, domain, path and partition.
        prop_assert_eq!((deletion.name(), deletion.value()), (cookie.name(), ""));
        prop_assert_eq!(deletion.path(), cookie.path());
        prop_assert_eq!(deletion.domain(), cookie.domain());
        prop_assert_eq!(deletion.secure(), cookie.secure());
        prop_assert_eq!(deletion.same_site(), cookie.same_site());
        prop_assert_eq!(deletion.partitioned(), cookie.partitioned());
        prop_assert_eq!(deletion.max_age().map(|d| d.whole_seconds()), Some(0));
    }

    #[test]
    fn no_configuration_makes_it_panic(
        name in ".{0,40}", path in ".{0,40}", domain in ".{0,40}", seconds: u64, now: u64, secure: bool,
    ) {
        let built = config().name(name).path(path).domain(domain)
            .lifetime(CookieLifetime::Persistent(Duration::from_secs(seconds))).build();
        if let Ok(policy) = built {
            let _ = policy.set_cookie(SessionId::generate().expose(), secure, Timestamp::from_millis(now));
        }
    }
}

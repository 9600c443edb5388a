//! What is accepted, and which source wins.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::table::SETTINGS;
use super::*;

#[test]
fn the_sample_file_states_every_default_and_every_variable() {
    let sample = parse(SAMPLE).unwrap();
    assert_eq!(sample.settings, Settings::default());

    let mut table = String::new();
    let mut stated = BTreeSet::new();
    for line in SAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = format!("{name}.");
        }
        let line = line.strip_prefix("# ").unwrap_or(line);
        if let Some((key, rest)) = line.split_once(" = ") {
            let full = format!("{table}{key}");
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == full) {
                assert!(rest.contains(setting.variables[0]), "{full} stands without its variable");
                stated.insert(setting.key);
            }
        }
    }
    assert_eq!(stated, SETTINGS.iter().map(|setting| setting.key).collect());
}

#[test]
fn every_setting_has_a_key_and_a_variable_of_its_own() {
    let keys: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(keys.len(), SETTINGS.len());
    let variables: Vec<_> = SETTINGS.iter().flat_map(|setting| setting.variables).collect();
    assert_eq!(variables.iter().collect::<BTreeSet<_>>().len(), variables.len());
    assert!(variables.iter().all(|variable| variable.starts_with("SESSION_")));
}

/// For each setting, a value that is not its default: the file's notation, and the environment's.
const OTHER_VALUES: &[(&str, &str, &str)] = &[
    ("driver", r#""memory""#, "memory"),
    ("connection", r#""main""#, "main"),
    ("session.idle", r#""20m""#, "20"),
    ("session.absolute", r#""2d""#, "2d"),
    ("session.renewal", r#""15m""#, "15m"),
    ("session.grace", r#""10s""#, "10s"),
    ("session.touch_after", r#""50%""#, "50%"),
    ("session.max_size", r#""2MiB""#, "2097152"),
    ("session.max_keys", "10", "10"),
    ("session.max_key_length", "64", "64"),
    ("session.max_per_user", "5", "5"),
    ("session.marker", r#""2m""#, "120s"),
    ("session.codec", r#""json""#, "json"),
    ("concurrency.mode", r#""exclusive""#, "exclusive"),
    ("concurrency.on_conflict", r#""overwrite""#, "overwrite"),
    ("concurrency.lease", r#""20s""#, "20s"),
    ("concurrency.wait", r#""500ms""#, "500ms"),
    ("concurrency.waiters", "0", "0"),
    ("concurrency.commit_deadline", r#""1s""#, "1s"),
    ("concurrency.store_deadline", r#""1s""#, "1s"),
    ("concurrency.commit_on_5xx", "true", "1"),
    ("cookie.name", r#""sid""#, "sid"),
    ("cookie.path", r#""/shop""#, "/shop"),
    ("cookie.domain", r#""Example.com""#, ".example.com"),
    ("cookie.secure", r#""always""#, "true"),
    ("cookie.http_only", "false", "false"),
    ("cookie.same_site", r#""strict""#, "strict"),
    ("cookie.partitioned", "true", "true"),
    ("cookie.lifetime", r#""30d""#, "720h"),
    ("transport.kind", r#""bearer""#, "bearer"),
    ("transport.header", r#""X-Ticket""#, "x-ticket"),
    ("csrf.header", r#""x-xsrf-token""#, "x-xsrf-token"),
    ("csrf.field", r#""_token""#, "_token"),
    (
        "csrf.origins",
        r#"["https://A.example", "http://b.example:8080"]"#,
        "https://a.example, http://b.example:8080",
    ),
    ("cache.limiter", r#""private_no_expire""#, "private_no_expire"),
    ("cache.expire", r#""1h""#, "60"),
    ("proxies.trusted", r#"["10.0.0.0/8", "::1"]"#, "10.0.0.0/8,::1"),
    ("logout.clear_site_data", "true", "true"),
];

fn file_of(key: &str, value: &str) -> String {
    match key.split_once('.') {
        Some((table, key)) => format!("[{table}]\n{key} = {value}\n"),
        None => format!("{key} = {value}\n"),
    }
}

#[test]
fn x01_m07_r03_every_setting_is_taken_from_the_file_and_from_the_environment_alike() {
    let tried: BTreeSet<_> = OTHER_VALUES.iter().map(|(key, ..)| *key).collect();
    assert_eq!(tried, SETTINGS.iter().map(|setting| setting.key).collect());
    for (key, written, variable) in OTHER_VALUES {
        let from_file = parse(&file_of(key, written)).unwrap();
        assert_ne!(from_file.settings, Settings::default(), "{key} has no effect");
        assert!(matches!(from_file.place_of(key), Place::File { .. }), "{key}");
        let setting = SETTINGS.iter().find(|setting| setting.key == *key).unwrap();
        for name in setting.variables {
            let from_env = parse_over("", [(name, variable)]).unwrap();
            assert_eq!(from_env.settings, from_file.settings, "{name}");
            assert_eq!(*from_env.place_of(key), Place::Environment { variable: name.to_string() });
        }
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    for (key, written, variable) in OTHER_VALUES {
        let setting = SETTINGS.iter().find(|setting| setting.key == *key).unwrap();
        // The file says nothing of it, then another value than the environment.
        let expected = parse_over("", [(setting.variables[0], variable)]).unwrap().settings;
        let both = parse_over(SAMPLE, [(setting.variables[0], variable)]).unwrap().settings;
        assert_eq!(both, expected, "{key}");
        let file = parse_over(&file_of(key, written), [("SESSION_UNRELATED_THING", "1")]).unwrap();
        assert_ne!(file.settings, Settings::default(), "{key}");
    }
    // And the other way round: the default in the environment over another value in the file.
    let back =
        parse_over("[cookie]\nname = \"sid\"\nhttp_only = false\n", [("SESSION_HTTP_ONLY", "true")]).unwrap();
    assert!(back.settings.cookie.http_only);
    assert_eq!(back.settings.cookie.name, "sid");
}

#[test]
fn m06_x01_lifetime_and_cache_expire_are_minutes_in_the_environment() {
    let read = parse_over("", [("SESSION_LIFETIME", "120"), ("SESSION_CACHE_EXPIRE", "180")]).unwrap();
    assert_eq!(read.settings.session.idle, Duration::from_secs(7200));
    assert_eq!(read.settings.cache.expire, Duration::from_secs(10_800));
    let read = parse_over("", [("SESSION_LIFETIME", "90s")]).unwrap();
    assert_eq!(read.settings.session.idle, Duration::from_secs(90));
    assert_eq!(
        complaint_of("SESSION_LIFETIME", "18446744073709551615"),
        "environment variable SESSION_LIFETIME: \"18446744073709551615\" is too long; accepted: \
         a whole number and a unit (ms, s, m, h, d), such as \"3h\"; in the environment a bare number is minutes"
    );
}

#[test]
fn an_empty_variable_and_laravels_null_domain_say_nothing() {
    let read = parse_over(
        "[cookie]\ndomain = \"example.com\"\n",
        [("SESSION_DRIVER", ""), ("SESSION_LIFETIME", ""), ("SESSION_DOMAIN", "")],
    );
    let read = read.unwrap();
    assert_eq!(read.settings.driver, None);
    assert_eq!(read.settings.cookie.domain.as_deref(), Some("example.com"));
    let read = parse_over("[cookie]\ndomain = \"example.com\"\n", [("SESSION_DOMAIN", "null")]).unwrap();
    assert_eq!(read.settings.cookie.domain, None);
}

#[test]
fn words_for_nothing_are_understood() {
    let text =
        "[session]\nrenewal = \"off\"\nmax_per_user = \"unlimited\"\n[cookie]\nlifetime = \"browser\"\n";
    assert_eq!(settings(text), Settings::default());
}

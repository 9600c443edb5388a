//! What each mistake says.

use super::*;

#[test]
fn a_wrong_value_names_its_line_its_column_and_what_is_accepted() {
    assert_eq!(
        complaint("# a comment\n[session]\n  idle = \"3 hours\"\n"),
        "cloakroom.toml:3:10: session.idle = \"3 hours\" is not a duration; accepted: a whole number and a unit \
         (ms, s, m, h, d), such as \"3h\"; in the environment a bare number is minutes"
    );
    assert_eq!(
        complaint("[session]\ngrace = 30\n"),
        "cloakroom.toml:2:9: session.grace = 30 has no unit; accepted: a whole number and a unit (ms, s, m, h, d), \
         such as \"90s\" or \"3h\""
    );
    assert_eq!(
        complaint("[concurrency]\nmode = \"fast\"\n"),
        "cloakroom.toml:2:8: concurrency.mode = \"fast\" is not one of the choices; accepted: \"merge\", \"exclusive\""
    );
    assert_eq!(
        complaint("[cookie]\nhttp_only = \"yes\"\n"),
        "cloakroom.toml:2:13: cookie.http_only = \"yes\" is not a switch; accepted: true, false"
    );
    assert_eq!(
        complaint("[session]\nmax_keys = 0\n"),
        "cloakroom.toml:2:12: session.max_keys = 0 is less than 1; accepted: a whole number from 1"
    );
    assert_eq!(
        complaint("[session]\nmax_size = \"64KB\"\n"),
        "cloakroom.toml:2:12: session.max_size = \"64KB\" is not a size; accepted: bytes as a whole number, or with \
         KiB or MiB, such as \"64KiB\""
    );
    assert_eq!(
        complaint("[proxies]\ntrusted = [\"10.0.0.0/8\", \"proxy.local\"]\n"),
        "cloakroom.toml:2:11: proxies.trusted = a list holds an item that is no address and no CIDR block; accepted: \
         addresses or CIDR blocks, such as \"10.0.0.0/8\" or \"::1\""
    );
}

#[test]
fn a_wrong_variable_is_named() {
    assert_eq!(
        complaint_of("SESSION_SAME_SITE", "loose"),
        "environment variable SESSION_SAME_SITE: \"loose\" is not one of the choices; accepted: \
         \"lax\", \"strict\", \"none\""
    );
    assert_eq!(
        complaint_of("SESSION_ABSOLUTE", "7"),
        "environment variable SESSION_ABSOLUTE: \"7\" has no unit; accepted: a whole number and \
         a unit (ms, s, m, h, d), such as \"90s\" or \"3h\""
    );
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let env = Environment::of([("SESSION_DRIVER", std::ffi::OsString::from_vec(vec![0xff]))]);
    let error = Configuration::of_environment(&env).unwrap_err();
    assert_eq!(error.to_string(), "environment variable SESSION_DRIVER: is not UTF-8");
}

#[test]
fn two_names_of_one_variable_must_agree() {
    let both = parse_over("", [("SESSION_COOKIE", "sid"), ("SESSION_COOKIE_NAME", "sid")]).unwrap();
    assert_eq!(both.settings.cookie.name, "sid");
    let error = parse_over("", [("SESSION_COOKIE", "sid"), ("SESSION_COOKIE_NAME", "id")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment variable SESSION_COOKIE_NAME: says another value than SESSION_COOKIE: set one of them"
    );
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    for (text, expected) in [
        ("drivr = \"memory\"\n", "1:1: drivr is not a setting; did you mean driver?"),
        ("[session]\nidel = \"3h\"\n", "2:1: session.idel is not a setting; did you mean session.idle?"),
        ("[sesion]\nidle = \"3h\"\n", "1:2: sesion is not a setting; did you mean session?"),
        // The right key in the wrong table.
        ("same_site = \"lax\"\n", "1:1: same_site is not a setting; did you mean cookie.same_site?"),
        (
            "[session]\nlifetime = \"3h\"\n",
            "2:1: session.lifetime is not a setting; did you mean cookie.lifetime?",
        ),
        ("[conections.main]\n", "1:2: conections is not a setting; did you mean connections?"),
        ("[session]\ncolour = 1\n", "2:1: session.colour is not a setting"),
        ("\"a\\nb\" = 1\n", "1:1: a\\nb is not a setting"),
    ] {
        assert_eq!(complaint(text), format!("cloakroom.toml:{expected}"));
    }
}

#[test]
fn unknown_variables_are_left_alone_and_misspelt_ones_noted() {
    let read = parse_over(
        "",
        [("SESSION_MANAGER", "local/x"), ("SESSION_ID", "1"), ("SESSION_LIFTIME", "5"), ("DRIVER", "x")],
    )
    .unwrap();
    assert_eq!(read.notes(), ["SESSION_LIFTIME is not a setting; did you mean SESSION_LIFETIME?"]);
    assert_eq!(read.settings, Settings::default());
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    let error = parse_over("[session]\nzz = 1\nidle = 3\naa = 1\n", [("SESSION_MODE", "x")]).unwrap_err();
    let lines: Vec<_> =
        error.problems().iter().map(|problem| problem.place.clone().unwrap().to_string()).collect();
    assert_eq!(
        lines,
        [
            "cloakroom.toml:2:1",
            "cloakroom.toml:3:8",
            "cloakroom.toml:4:1",
            "environment variable SESSION_MODE"
        ]
    );
    assert_eq!(error.to_string().lines().count(), 4);
}

#[test]
fn a_table_that_is_no_table_is_refused() {
    assert_eq!(
        complaint("session = 3\n"),
        "cloakroom.toml:1:11: session is a table: write [session] and its settings below it"
    );
    let wrong = "connections holds tables: write [connections.NAME] and its settings below it";
    assert_eq!(complaint("connections = 3\n"), format!("cloakroom.toml:1:15: {wrong}"));
    assert_eq!(complaint("[connections]\nmain = 3\n"), format!("cloakroom.toml:2:1: {wrong}"));
}

#[test]
fn s66_broken_toml_names_the_place_and_never_quotes_the_line() {
    let error = parse("[connections.main]\npassword = \"hunter2\n").unwrap_err();
    assert_eq!(error.problems()[0].place.as_ref().unwrap().to_string(), "cloakroom.toml:2:20");
    assert!(error.to_string().starts_with("cloakroom.toml:2:20: not TOML: "), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_too_long_are_refused() {
    let bytes = b"driver = \"memory\"\n# \xff\n";
    let error = Configuration::parse("x.toml", bytes, &Environment::empty()).unwrap_err();
    assert_eq!(error.to_string(), "x.toml:2:3: is not UTF-8");
    let long = vec![b'\n'; 1 + usize::try_from(MAX_FILE_BYTES).unwrap()];
    let error = Configuration::parse("x.toml", &long, &Environment::empty()).unwrap_err();
    assert_eq!(error.to_string(), "x.toml: is longer than 1048576 bytes: not a configuration");
}

#[test]
fn a_named_file_that_is_missing_is_an_error() {
    let error = Configuration::read("/nonexistent/cloakroom.toml", &Environment::empty()).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/cloakroom.toml: cannot be read: "), "{error}");
}

#[test]
fn an_idle_time_past_the_absolute_one_is_refused_where_it_was_set() {
    assert_eq!(
        complaint_of("SESSION_LIFETIME", "20160"),
        "environment variable SESSION_LIFETIME: session.idle (1209600s) is longer than session.absolute (604800s; \
         default): no session would live to see it; shorten the one, or lengthen the other (SESSION_ABSOLUTE)"
    );
    let error = complaint("[session]\nabsolute = \"1h\"\n");
    assert!(error.starts_with("cloakroom.toml:2:12: session.idle (10800s) is longer"), "{error}");
}

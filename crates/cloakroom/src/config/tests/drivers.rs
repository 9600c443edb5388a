//! Drivers and their connections.

use std::time::Duration;

use super::*;

const TWO: &str = "driver = \"sqlite\"\nconnection = \"main\"\n[connections.main]\ndriver = \"sqlite\"\npath = \"a.db\"\n\
                   [connections.memory]\nmax_sessions = 10\n";

#[test]
fn x01_r03_the_driver_and_its_connection_are_chosen_by_file_and_environment() {
    // Nothing said: the program's first driver, without a table.
    assert_eq!(opens("", []), "sqlite sqlite -");
    assert_eq!(opens("[connections.sqlite]\npath = \"s.db\"\n", []), "sqlite sqlite s.db");
    assert_eq!(opens(TWO, []), "sqlite main a.db");
    // A table may choose the driver.
    assert_eq!(opens("connection = \"m\"\n[connections.m]\ndriver = \"memory\"\n", []), "memory m -");
    // `local` is Phenix' name of memory.
    assert_eq!(opens("", [("SESSION_DRIVER", "local")]), "memory memory -");
    // The file's connection stays behind with the file's driver.
    assert_eq!(opens(TWO, [("SESSION_DRIVER", "memory")]), "memory memory -");
    assert_eq!(opens(TWO, [("SESSION_DRIVER", "sqlite")]), "sqlite main a.db");
    assert_eq!(
        opens(TWO, [("SESSION_DRIVER", "memory"), ("SESSION_CONNECTION", "memory")]),
        "memory memory -"
    );
    let other = "[connections.other]\npath = \"b.db\"\n";
    assert_eq!(opens(other, [("SESSION_CONNECTION", "other")]), "sqlite other b.db");
}

#[test]
fn an_unknown_driver_lists_those_the_program_has() {
    assert_eq!(
        opens("driver = \"redis\"\n", []),
        "cloakroom.toml:1:10: there is no driver \"redis\"; this program was built with: sqlite, memory"
    );
    assert_eq!(
        opens("", [("SESSION_DRIVER", "sqlit")]),
        "environment variable SESSION_DRIVER: there is no driver \"sqlit\"; did you mean \"sqlite\"; this program was \
         built with: sqlite, memory"
    );
}

#[test]
fn an_unknown_connection_lists_those_of_the_file() {
    assert_eq!(
        opens(TWO, [("SESSION_CONNECTION", "mian")]),
        "environment variable SESSION_CONNECTION: there is no table [connections.mian]; did you mean main?"
    );
    assert_eq!(
        opens(TWO, [("SESSION_CONNECTION", "cluster")]),
        "environment variable SESSION_CONNECTION: there is no table [connections.cluster]; the file has: main, memory"
    );
    assert_eq!(
        opens("", [("SESSION_CONNECTION", "main")]),
        "environment variable SESSION_CONNECTION: there is no table [connections.main]; the file has no connections"
    );
}

#[test]
fn p01_unknown_keys_and_wrong_values_of_a_connection_name_their_line() {
    let with = |line: &str| format!("connection = \"main\"\n[connections.main]\n{line}\n");
    assert_eq!(
        opens(&with("pth = \"a.db\""), []),
        "cloakroom.toml:3:1: connections.main.pth is not a setting of the sqlite driver; did you mean path?"
    );
    assert_eq!(
        opens(&with("max_sessions = 3"), []),
        "cloakroom.toml:3:1: connections.main.max_sessions is not a setting of the sqlite driver; accepted: path, \
         password"
    );
    assert_eq!(
        opens(&with("path = 3"), []),
        "cloakroom.toml:3:8: connections.main.path is not text; accepted: text"
    );
    assert_eq!(
        opens(&with("driver = \"memory\""), [("SESSION_DRIVER", "sqlite")]),
        "sqlite sqlite -",
        "the connection is another driver's"
    );
    assert_eq!(
        opens(&with("driver = \"memory\""), [("SESSION_DRIVER", "sqlite"), ("SESSION_CONNECTION", "main")]),
        "cloakroom.toml:3:10: connections.main.driver asks for another driver than the chosen one, sqlite \
         (environment variable SESSION_DRIVER)"
    );
}

#[test]
fn a_value_can_come_from_a_variable_of_its_own() {
    let text = "connection = \"main\"\n[connections.main]\npath = { env = \"DB_FILE\" }\n";
    assert_eq!(opens(text, [("DB_FILE", "from-env.db")]), "sqlite main from-env.db");
    assert_eq!(
        opens(text, []),
        "cloakroom.toml:3:8: connections.main.path is to come from environment variable DB_FILE, which is not set"
    );
}

#[test]
fn a_connection_reads_each_type_and_refuses_the_others() {
    let text = "[connections.c]\nt = \"x\"\nn = 5\nf = true\nd = \"30s\"\ns = \"2KiB\"\nl = [\"a\", \"b\"]\nbad = 1.5\n\
                neg = -1\nen = { env = \"N\" }\n";
    let read = parse_over(text, [("N", "7")]).unwrap();
    let c = &read.connections["c"];
    assert_eq!(c.text("t").unwrap(), Some("x"));
    assert_eq!(c.number("n").unwrap(), Some(5_u16));
    assert_eq!(c.flag("f").unwrap(), Some(true));
    assert_eq!(c.duration("d").unwrap(), Some(Duration::from_secs(30)));
    assert_eq!(c.size("s").unwrap(), Some(2048));
    assert_eq!(c.list("l").unwrap(), Some(vec!["a", "b"]));
    assert_eq!(c.number("en").unwrap(), Some(7_u64));
    assert_eq!(c.text("absent").unwrap(), None);
    for key in ["bad", "neg"] {
        assert!(c.text(key).is_err() && c.number::<u64>(key).is_err() && c.flag(key).is_err(), "{key}");
        assert!(c.duration(key).is_err() && c.size(key).is_err() && c.list(key).is_err(), "{key}");
    }
    assert_eq!(
        c.number::<u64>("t").unwrap_err().to_string(),
        "cloakroom.toml:2:5: connections.c.t is not a whole number that fits; accepted: a whole number"
    );
}

#[test]
fn s66_secrets_show_in_no_debug_and_no_error() {
    let text = "connection = \"main\"\n[connections.main]\npassword = \"hunter2\"\npath = [\"hunter2\"]\n\
                url = \"redis://:hunter2@db\"\n";
    let read = parse_over(text, [("REDIS_PASSWORD", "hunter2")]).unwrap();
    let (drivers, _) = recording();
    let error = now(drivers.open(&read)).map(drop).unwrap_err();
    let typed = read.connections["main"].number::<u64>("password").unwrap_err();
    let unquoted = complaint_of("SESSION_DRIVER", "redis://:hunter2@db");
    let env = Environment::of([("REDIS_PASSWORD", "hunter2")]);
    let shown = format!("{read:?} {error} {error:?} {typed} {typed:?} {unquoted} {env:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("password") && shown.contains("REDIS_PASSWORD"), "names may show");
}

#[test]
fn a_store_that_does_not_open_is_reported_with_its_connection() {
    let (drivers, _) = recording();
    let error = now(drivers.open(&parse(TWO).unwrap())).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "cloakroom.toml:3:14: the sqlite store did not open: no disk");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no disk");
}

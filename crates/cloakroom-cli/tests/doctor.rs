//! `cloakroom doctor`: what PHP is set to do, what is wrong with it, and that a pipeline can tell.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use std::path::Path;

use support::program;

/// Whether it was content, and what it said.
fn doctor(paths: &[&Path]) -> (bool, String) {
    let said = program().arg("doctor").arg("--php-ini").args(paths).output().unwrap();
    (said.status.success(), String::from_utf8([said.stdout, said.stderr].concat()).unwrap())
}

#[test]
fn settings_that_lose_sessions_are_told_with_their_line_and_fail() {
    let folder = tempfile::tempdir().unwrap();
    let ini = folder.path().join("php.ini");
    let text = "[Session]\nsession.save_handler = redis\n\
                session.save_path = \"tcp://127.0.0.1:6380?database=2&auth=hunter2\"\nsession.use_strict_mode = 0\n";
    std::fs::write(&ini, text).unwrap();
    let (content, said) = doctor(&[&ini]);
    assert!(!content, "{said}");
    for told in [
        "Redis at 127.0.0.1, port 6380; database 2, prefix \"PHPREDIS_SESSION:\"",
        "32 characters of 4 bits: 128 bits",
        "loses    redis.session.locking_enabled (not set, so PHP's default)",
        "write: redis.session.locking_enabled = 1",
        "php.ini:4)",
        "settings that lose sessions: 1,",
    ] {
        assert!(said.contains(told), "{told}\n{said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn sound_settings_are_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("20-sessions.ini"),
        "session.use_strict_mode = 1\nsession.cookie_httponly = 1\nsession.cookie_secure = 1\n\
         session.cookie_samesite = \"Lax\"\nsession.save_path = \"2;/srv/sessions\"\n",
    )
    .unwrap();
    let (content, said) = doctor(&[folder.path()]);
    assert!(content, "{said}");
    assert!(said.contains("files in /srv/sessions"), "{said}");
    assert!(said.contains("PHPSESSID; Path=/; Secure; HttpOnly; SameSite=Lax"), "{said}");
    assert!(
        said.ends_with("settings that lose sessions: 0, that expose them: 0; risks: 0; to note: 0\n"),
        "{said}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let (content, said) = doctor(&[Path::new("no/such/php.ini")]);
    assert!(!content && said.contains("no/such/php.ini"), "{said}");
}

//! What the program says of itself, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use std::path::Path;
use std::process::Output;

use support::{Demo, program};

fn refused(arguments: &[&str], folder: &Path) -> (i32, String) {
    let Output { status, stdout, stderr } = program().current_dir(folder).args(arguments).output().unwrap();
    assert!(stdout.is_empty(), "{}", String::from_utf8_lossy(&stdout));
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn without_options_it_keeps_sessions_in_the_user_s_own_folder() {
    let home = tempfile::tempdir().unwrap();
    let demo =
        Demo::start(program().current_dir(home.path()).env("HOME", home.path()).args(["--listen", "0"]));
    assert_eq!(demo.visitor().get("/").status, 200);
    let folder = home.path().join(if cfg!(target_os = "macos") {
        "Library/Application Support/cloakroom"
    } else {
        ".local/share/cloakroom"
    });
    assert!(folder.join("sessions.db").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn two_of_them_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Demo::on(folder.path()), Demo::on(folder.path()));
    let mut visitor = one.visitor();
    visitor.add("cape");
    let mut elsewhere = two.visitor();
    elsewhere.cookie = visitor.cookie.clone();
    assert_eq!(elsewhere.get("/basket").in_basket(), 1);
    elsewhere.add("cape");
    assert_eq!(visitor.get("/basket").in_basket(), 2);
}

#[test]
fn a_port_that_is_taken_is_an_error_and_the_usual_one_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::in_memory();
    let (code, said) = refused(&["--store", "memory:", "--listen", demo.address()], folder.path());
    assert_eq!(code, 1);
    assert!(said.contains("is taken") && said.contains("--listen"), "{said}");
    // Whoever has the usual port: of two that ask for none in particular, both start.
    let first = Demo::start(program().args(["--store", "memory:"]));
    let second = Demo::start(program().args(["--store", "memory:"]));
    assert_ne!(first.base, second.base);
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_can() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (&["--store", "mysql://localhost"][..], "HOST:PORT` and `memory:`"),
        (&["--listen", "example.com"], "an address with a port"),
        (&["--data", "a", "--store", "memory:"], "cannot be used with"),
        (&["bench"], "bench"),
    ] {
        let (code, said) = refused(arguments, folder.path());
        assert_eq!(code, 2, "{arguments:?}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
fn a_wrong_configuration_is_told_by_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cloakroom.toml"), "[session]\nidel = \"1h\"\nabsolute = 7\n").unwrap();
    let (code, said) = refused(&["--listen", "0"], folder.path());
    assert_eq!(code, 1);
    assert!(said.contains("cloakroom: cloakroom.toml:2:1: session.idel is not a setting"), "{said}");
    assert!(said.contains("cloakroom: cloakroom.toml:3:"), "{said}");
    let (code, said) = refused(&["--config", "missing.toml"], folder.path());
    assert_eq!(code, 1);
    assert!(said.contains("missing.toml"), "{said}");
}

#[test]
fn a_configuration_names_store_and_cookie() {
    let folder = tempfile::tempdir().unwrap();
    // With all that the library's driver knows.
    let config = "[cookie]\nname = \"coat\"\n[connections.sqlite]\npath = \"here.db\"\ndurability = \"process-crash\"\n";
    std::fs::write(folder.path().join("cloakroom.toml"), config).unwrap();
    let demo = Demo::start(program().current_dir(folder.path()).args(["--listen", "0"]));
    let mut visitor = demo.visitor();
    visitor.add("cape");
    assert!(visitor.cookie.unwrap().starts_with("coat="));
    assert!(folder.path().join("here.db").exists());
    // The command line is over it.
    let demo = Demo::start(program().current_dir(folder.path()).args([
        "--listen",
        "0",
        "--store",
        "sqlite:there.db",
    ]));
    demo.visitor().add("cape");
    assert!(folder.path().join("there.db").exists());
    // And what it knows and this program was built without is refused with the reason.
    let config = "[connections.sqlite]\npath = \"here.db\"\nlayout = \"mini\"\n";
    std::fs::write(folder.path().join("cloakroom.toml"), config).unwrap();
    let (code, said) = refused(&["--listen", "0"], folder.path());
    assert_eq!(code, 1);
    assert!(said.contains("the sessions of "), "{said}");
}

#[test]
fn sessions_in_files_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("sessions");
    let store = format!("file:{}", place.display());
    let start =
        || Demo::start(program().current_dir(folder.path()).args(["--listen", "0", "--store", &store]));
    let demo = start();
    let mut visitor = demo.visitor();
    visitor.add("cape");
    let cookie = visitor.cookie.clone();
    drop(demo);
    let demo = start();
    let mut visitor = demo.visitor();
    visitor.cookie = cookie;
    assert_eq!(visitor.get("/basket").in_basket(), 1);
    drop(demo);
    // The configuration names them in another way.
    let config = "driver = \"files\"\nconnection = \"here\"\n[connections.here]\npath = \"coats\"\n";
    std::fs::write(folder.path().join("cloakroom.toml"), config).unwrap();
    let demo = Demo::start(program().current_dir(folder.path()).args(["--listen", "0"]));
    demo.visitor().add("cape");
    assert!(folder.path().join("coats/format").exists());
    std::fs::write(folder.path().join("cloakroom.toml"), "driver = \"file\"\n").unwrap();
    let (code, said) = refused(&["--listen", "0"], folder.path());
    assert_eq!(code, 1);
    assert!(said.contains("path is missing"), "{said}");
}

#[test]
fn a_file_that_is_no_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "a letter to somebody, and no database".repeat(100);
    std::fs::write(folder.path().join("sessions.db"), &text).unwrap();
    let (code, said) = refused(&["--listen", "0", "--data", folder.path().to_str().unwrap()], folder.path());
    assert_eq!(code, 1);
    assert!(said.contains("sessions.db"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.path().join("sessions.db")).unwrap(), text);
}

#[test]
fn s15_behind_a_proxy_that_nobody_named_the_cookie_is_for_tls_only() {
    let demo = Demo::in_memory();
    let headers = [("sec-fetch-site", "same-origin"), ("x-forwarded-for", "192.0.2.7")];
    let answer = demo.visitor().ask("POST", "/basket/add", &headers, "good=cape");
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-id=") && cookie.contains("Secure"), "{cookie}");
}

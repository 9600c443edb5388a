//! The process: what it refuses, how it ends, what survives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::harness::phps_layout::PhpsLayout;
use crate::harness::probe::{command, refused};
use crate::harness::{Place, Visitor, across_processes, everywhere, in_parallel, run, sleep_ms, until};

everywhere! { it_stops_cleanly_when_asked_to }

across_processes! {
    m05_sessions_survive_a_restart,
    c8_what_was_acknowledged_survives_kill_9,
    two_processes_serve_one_store,
}

async fn it_stops_cleanly_when_asked_to(place: Place) {
    let mut probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    // A request that is under way is answered.
    let slow = visitor.start("/slow-put/k/1?ms=600").await;
    let slow = tokio::spawn(slow.response());
    sleep_ms(20).await;
    let status = tokio::task::spawn_blocking(move || (probe.terminate(), probe)).await.unwrap();
    assert_eq!(status.0.code(), Some(0));
    slow.await.unwrap().ok();
}

async fn m05_sessions_survive_a_restart(place: Place) {
    let mut probe = place.start(&[]);
    let visitor = probe.logged_in("ada").await;
    visitor.get("/set/colour/red").await.ok();
    assert_eq!(probe.terminate().code(), Some(0));
    let again = probe.start_again(&[]);
    let visitor = Visitor::presenting(again.address, &visitor.cookie().unwrap());
    assert_eq!(visitor.get("/whoami").await.without_cookie().ok(), "\"ada\"");
    assert_eq!(visitor.get("/get/colour").await.ok(), "\"red\"");
    assert_eq!(visitor.get("/devices").await.json().as_array().unwrap().len(), 1);
}

async fn c8_what_was_acknowledged_survives_kill_9(place: Place) {
    // Requests that race for one key queue for its lock in the end; a killed holder's lease has to run out.
    let flags = ["--lock-lease-ms", "200"];
    let mut probe = place.start(&flags);
    let visitor = probe.visitor_with_session().await;
    // There is something to find, however little a slow disk takes in the first round.
    let mut acknowledged = visitor.get("/incr/n").await.number();
    let mut cookie = visitor.cookie().unwrap();
    let rounds = if std::env::var_os("CLOAKROOM_LONG").is_some() { 50 } else { 5 };
    for round in 0..rounds {
        let address = probe.address;
        let visitor = Visitor::presenting(address, &cookie);
        let highest = Arc::new(AtomicI64::new(acknowledged));
        let writers = tokio::spawn(in_parallel(8, 8, {
            let highest = highest.clone();
            move |_| {
                let (visitor, highest) = (visitor.stolen(), highest.clone());
                async move {
                    // Until the process is gone in the middle of something.
                    while let Some(response) = visitor.try_get("/incr/n").await {
                        highest.fetch_max(response.number(), Ordering::SeqCst);
                    }
                }
            }
        }));
        sleep_ms(40 + 17 * (round % 7)).await;
        // Something is under way, however slow the machine is.
        until("something is acknowledged", async || highest.load(Ordering::SeqCst) > acknowledged).await;
        probe.kill();
        writers.await.unwrap();
        acknowledged = highest.load(Ordering::SeqCst);
        probe = probe.start_again(&flags);
        let visitor = Visitor::presenting(probe.address, &cookie);
        let stored = visitor.get("/get/n").await.number();
        // At most the one that was under way for each of the eight is more.
        assert!(
            (acknowledged..=acknowledged + 8).contains(&stored),
            "{acknowledged} acknowledged, {stored} stored"
        );
        acknowledged = stored;
        visitor.get("/regenerate").await.ok();
        cookie = visitor.cookie().unwrap();
    }
    assert!(acknowledged > rounds as i64, "hardly anything was written: {acknowledged}");
}

async fn two_processes_serve_one_store(place: Place) {
    let here = place.start(&[]);
    let there = here.start_again(&[]);
    let visitor = here.visitor_with_session().await;
    let elsewhere = Visitor::presenting(there.address, &visitor.cookie().unwrap());
    let responses = in_parallel(100, 10, |i| {
        let visitor = if i % 2 == 0 { visitor.clone() } else { elsewhere.clone() };
        async move { visitor.get(&format!("/slow-set/key{i}/{i}?ms=5")).await.ok() }
    })
    .await;
    assert_eq!(responses.len(), 100);
    place.shows(async || elsewhere.get("/state").await.json()["len"] == 101).await;
    elsewhere.get("/destroy").await.ok();
    place.shows(async || !visitor.is_alive().await).await;
}

#[test]
fn what_is_not_built_or_makes_no_sense_is_refused_with_one_line() {
    let memory = ["--store", "memory:"];
    for (option, why) in [
        (&["--framework", "actix"][..], "not built"),
        (&["--framework", "rails"], "axum"),
        (&["--layout", "phpredis"], "needs a store in Redis"),
        (&["--layout", "php-files"], "needs a store in files: file:PATH"),
        (&["--layout", "mini"], "needs a store in SQLite or in files"),
        (&["--layout", "laravel"], "needs a store in Redis"),
        (&["--layout", "nonsense"], "native"),
        (&["--php-serializer", "igbinary"], "needs a PHP layout"),
        (&["--near-cache"], "a store on a server that tells of changes"),
        (&["--encrypt-key", "00"], "not built"),
        (&["--compress"], "not built"),
        (&["--id-format", "32,4"], "needs a PHP layout"),
        (&["--mode", "turbo"], "exclusive"),
        (&["--on-conflict", "shrug"], "overwrite"),
        (&["--same-site", "loose"], "strict, lax, none"),
        (&["--secure", "perhaps"], "auto, always, never"),
        (&["--cache-limiter", "lots"], "nocache"),
        (&["--trusted-proxy", "10.0.0.0/99"], "block such as"),
        (&["--idle", "0"], "zero"),
        (&["--idle", "-1"], "-1"),
        (&["--idle", "soon"], "seconds"),
        (&["--absolute", "NaN"], "seconds"),
        (&["--grace", "5"], "--renewal"),
        (&["--renewal", "5", "--grace", "10"], "grace"),
        (&["--lock-lease-ms", "1"], "lease"),
        (&["--max-sessions-per-user", "0"], "0"),
        (&["--listen", "nowhere"], "nowhere"),
        (&["--frobnicate"], "--frobnicate"),
    ] {
        refused(&[&memory[..], option].concat(), why);
    }
    let php = ["--store", "redis://127.0.0.1:1", "--layout", "phpredis"];
    for (option, why) in [
        (&["--php-serializer", "wddx"][..], "known are php, php_serialize"),
        (&["--id-format", "22,5"], "110 bits"),
        (&["--id-format", "long"], "LENGTH,BITS"),
        (&["--near-cache"], "PHP's"),
    ] {
        refused(&[&php[..], option].concat(), why);
    }
    refused(&["--store", "redis://127.0.0.1:1", "--layout", "php-files"], "needs a store in files");
    refused(&["--store", "sqlite:x.db", "--layout", "php-files"], "needs a store in files");
    refused(&["--store", "file:/nonexistent", "--layout", "php-files"], "session.save_path");
    for (store, why) in [
        ("rediss://127.0.0.1?insecure=1", "ca, certificate and key"),
        ("rediss://127.0.0.1?ca=/nowhere/ca.pem", "/nowhere/ca.pem cannot be read"),
        ("redis-sentinel://127.0.0.1", "the service that sentinels look after"),
        ("redis-sentinel:///shop", "between 1 and 16 hosts"),
        ("redis-cluster://127.0.0.1/1", "database 0"),
        ("redis:127.0.0.1", "host"),
        ("redis://127.0.0.1/sessions", "number"),
        ("redis+unix:", "path"),
        ("postgres://localhost/x", "not built"),
        ("mysql://localhost/x", "not built"),
        ("file:", "path"),
        ("file:/nonexistent/directory/sessions", "directory"),
        ("file:/tmp", "/tmp"),
        ("memory:x", "nothing"),
        ("sqlite:", "path"),
        ("floppy:a", "memory:"),
        ("", "memory:"),
        ("sqlite:/nonexistent/directory/sessions.db", "directory"),
    ] {
        refused(&["--store", store], why);
    }
    refused(&[], "--store");
}

/// The layouts that the other cases do not run on.
#[test]
fn a_session_is_kept_in_minis_cache_on_sqlite_and_where_laravel_has_it() {
    for (layout, place) in [(PhpsLayout::MINI, Place::SQLITE_AXUM), (PhpsLayout::LARAVEL, Place::REDIS_HYPER)]
    {
        run(async {
            let probe = Place { php: Some(layout), ..place }.start(&[]);
            let visitor = probe.logged_in("ann").await;
            visitor.get("/set/n/7").await.ok();
            let another = probe.start_again(&[]);
            let there = Visitor::presenting(another.address, &visitor.cookie().unwrap());
            assert_eq!(there.get("/get/n").await.number(), 7);
            there.get("/destroy").await.ok();
            assert!(!visitor.is_alive().await);
        });
    }
    let mut command = command();
    command.env_remove("APP_KEY").args(["--store", "redis://127.0.0.1:1", "--layout", "laravel"]);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("APP_KEY"));
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    let text = "dear diary, ".repeat(1000);
    std::fs::write(&path, &text).unwrap();
    refused(&["--store", &format!("sqlite:{}", path.display())], "notes.txt");
    refused(&["--store", &format!("file:{}", path.display())], "notes.txt");
    refused(&["--store", &format!("file:{}", dir.path().display())], "other things");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

//! The id: what is issued, what is accepted.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::client::ask_again_and_again;
use crate::harness::{Place, Request, dump, everywhere, in_parallel, on_disk};

everywhere! {
    s03_fresh_ids_are_distinct_of_one_length_and_safe_in_a_cookie,
    s04_the_id_says_nothing_of_its_owner,
    s05_the_cookie_name_does_not_tell_the_framework,
    s08_a_well_formed_unknown_id_is_never_adopted,
    s09_a_malformed_cookie_is_no_session_no_error_and_no_store_call,
    s10_malformed_and_unknown_ids_are_counted,
    s11_an_id_anywhere_but_in_the_cookie_is_ignored,
    s12_an_id_is_never_echoed,
    s13_of_several_cookies_the_one_live_session_wins_in_any_order,
    s13_two_live_sessions_are_none,
    s13_at_most_four_candidates_are_looked_up,
    s14_a_cookie_header_split_over_fields_works,
}

on_disk! { s06_a_dump_of_the_store_holds_no_usable_cookie }

const MADE_UP: &str = "AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH";

fn ids_of(responses: &[crate::harness::Response]) -> Vec<String> {
    responses.iter().map(|r| r.set_cookie().unwrap().value).collect()
}

async fn s03_fresh_ids_are_distinct_of_one_length_and_safe_in_a_cookie(place: Place) {
    let probe = place.start(&[]);
    // 10,000 behind each framework, in memory and on a server; ids are made by neither, and elsewhere some are enough.
    let thoroughly = [Place::MEMORY_AXUM, Place::MEMORY_HYPER, Place::REDIS_HYPER, Place::VALKEY_AXUM];
    let each = if thoroughly.contains(&place) { 625 } else { 50 };
    let address = probe.address;
    let batches =
        in_parallel(16, 16, |_| async move { ask_again_and_again(address, "/set/k/1", each).await }).await;
    let ids: Vec<String> = batches.iter().flat_map(|b| ids_of(b)).collect();
    assert_eq!(ids.len(), 16 * each);
    for id in &ids {
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{id}");
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

async fn s04_the_id_says_nothing_of_its_owner(place: Place) {
    let probe = place.start(&[]);
    let address = probe.address;
    // One user, one address, within a second: whatever an id could tell would be the same in all of them.
    let batches =
        in_parallel(10, 10, |_| async move { ask_again_and_again(address, "/login/ada", 20).await }).await;
    let ids: Vec<String> = batches.iter().flat_map(|b| ids_of(b)).collect();
    for position in 0..32 {
        let seen: BTreeSet<u8> = ids.iter().map(|id| id.as_bytes()[position]).collect();
        // Of 64 characters, 200 draws show 61 on average, fewer than 45 in less than one of 10^12 runs.
        assert!(seen.len() >= 45, "position {position} takes only {} values", seen.len());
    }
}

async fn s05_the_cookie_name_does_not_tell_the_framework(place: Place) {
    let probe = place.start(&[]);
    assert_eq!(probe.get("/set/k/1").await.set_cookie().unwrap().name, "id");
    let remote = probe.ask(Request::get("/set/k/1").host("shop.example")).await;
    assert_eq!(remote.set_cookie().unwrap().name, "__Host-id");
}

async fn s08_a_well_formed_unknown_id_is_never_adopted(place: Place) {
    for mode in ["merge", "exclusive"] {
        let probe = place.start(&["--mode", mode]);
        let made_up = format!("id={MADE_UP}");
        probe.get_with(&made_up, "/state").await.without_cookie().ok();
        let issued = probe.get_with(&made_up, "/set/k/1").await.set_cookie().unwrap();
        assert_ne!(issued.value, MADE_UP);
        assert_eq!(probe.get_with(&made_up, "/get/k").await.status, 404);
        assert_eq!(probe.get_with(&issued.pair(), "/get/k").await.number(), 1);
    }
}

/// Cookie header values that hold no id of this server.
fn malformed() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "id=",
        "id",
        "=",
        ";;;",
        "id=short",
        "id=../../../../etc/passwd",
        "id=..%2f..%2fetc%2fpasswd000000000",
        "id=AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHHI",
        "id=AAAABBBBCCCCDDDDEEEEFFFFGGGGHHH",
        "id=AAAABBBBCCCCDDDDEEEEFFFFGGGGHHH'",
        "id=AAAABBBBCCCCDDDD EEEFFFFGGGGHHHH",
        "id=AAAABBBBCCCCDDDD%00EEFFFFGGGGHHH",
        "id=\"AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH",
        "ID=AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH",
        "__Host-id=AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH",
    ]
    .iter()
    .map(|s| s.as_bytes().to_vec())
    .collect();
    all.push(b"id=\xc3\xa4\xc3\xb6\xc3\xbcBBBBCCCCDDDDEEEEFFFFGGGGHH".to_vec());
    all.push(b"id=\xff\xfe\xfdABBBBCCCCDDDDEEEEFFFFGGGGHHHH".to_vec());
    all.push([b"id=".to_vec(), vec![b'A'; 10_000]].concat());
    all.push([vec![b'a'; 9_000], b"=1; id=short".to_vec()].concat());
    all.push(b"id=A; ".repeat(500));
    all
}

async fn store_calls(probe: &crate::harness::Probe) -> u64 {
    let text = probe.get("/metrics").await.ok();
    let line = text.lines().find_map(|l| l.strip_prefix("cloakroom_store_latency_seconds_count "));
    line.unwrap().parse().unwrap()
}

async fn s09_a_malformed_cookie_is_no_session_no_error_and_no_store_call(place: Place) {
    let probe = place.start(&[]);
    let before = store_calls(&probe).await;
    for cookie in malformed() {
        let response = probe.ask(Request::get("/state").header("cookie", &cookie)).await;
        assert_eq!(response.without_cookie().json()["present"], false, "{cookie:?}");
    }
    // A header that HTTP itself refuses never reaches the session, and the server lives on.
    for cookie in [&b"id=AAAA\0BBB"[..], b"id=AAAA\x07BBB"] {
        let response = probe.ask(Request::get("/state").header("cookie", cookie)).await;
        assert_eq!(response.without_cookie().status, 400);
    }
    assert_eq!(store_calls(&probe).await, before);
}

async fn s10_malformed_and_unknown_ids_are_counted(place: Place) {
    let probe = place.start(&[]);
    probe.get_with("id=nonsense", "/state").await.ok();
    probe.get_with("id=", "/state").await.ok();
    assert_eq!(probe.counter("malformed_ids").await, 2);
    probe.get_with(&format!("id={MADE_UP}"), "/state").await.ok();
    assert_eq!(probe.counter("unknown_ids").await, 1);
}

async fn s11_an_id_anywhere_but_in_the_cookie_is_ignored(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let id = visitor.cookie().unwrap().replace("id=", "");
    let requests = [
        Request::get(&format!("/peek?id={id}&__Host-id={id}&PHPSESSID={id}")),
        Request::get("/peek").header("x-session-id", &id),
        Request::get("/peek").header("authorization", format!("Bearer {id}")),
        Request::get("/peek").header("set-cookie", format!("id={id}")),
        Request::get("/peek").header("x-cookie", format!("id={id}")),
        Request::get("/peek").header("referer", format!("http://127.0.0.1/?id={id}")),
        Request::get("/peek").header("cookie", format!("sid={id}; session={id}; xid={id}")),
    ];
    for request in requests {
        let response = probe.ask(request.clone()).await;
        assert_eq!(response.json()["present"], false, "{request:?}");
    }
    assert_eq!(probe.get(&format!("/peek;id={id}")).await.status, 404);
}

async fn s12_an_id_is_never_echoed(place: Place) {
    let mut probe = place.start_logging(&["--renewal", "3600"]);
    let visitor = probe.logged_in("ada").await;
    let mut ids: Vec<String> = vec![MADE_UP.to_owned()];
    let routes = [
        "/set/k/1",
        "/all",
        "/state",
        "/devices",
        "/get/none",
        "/fail/k/1",
        "/panic/k/1",
        "/big/100000",
        "/metrics",
        "/login-then-fail/eve",
        "/regenerate",
        "/count/n",
        "/lock-count/n",
        "/csrf",
        "/destroy",
        "/nowhere",
    ];
    for route in routes {
        ids.extend(visitor.cookie().map(|c| c.replace("id=", "")));
        let response = visitor.get(route).await;
        ids.extend(response.set_cookie().map(|c| c.value).filter(|v| !v.is_empty()));
        let other_headers: String =
            response.headers.iter().filter(|(n, _)| n != "set-cookie").map(|(_, v)| v.as_str()).collect();
        for id in &ids {
            assert!(!response.body.contains(id), "{route} shows an id");
            assert!(!other_headers.contains(id), "{route} shows an id");
        }
    }
    for id in [MADE_UP.to_owned(), ids[1].clone()] {
        let response = probe.get_with(&format!("id={id}"), "/state").await;
        assert!(!response.body.contains(&id));
    }
    let log = probe.log();
    assert!(log.contains("DEBUG"), "the log is not detailed enough to show anything: {log}");
    for id in &ids {
        assert!(!log.contains(id), "the log shows an id");
    }
}

async fn s13_of_several_cookies_the_one_live_session_wins_in_any_order(place: Place) {
    for mode in ["merge", "exclusive"] {
        let probe = place.start(&["--mode", mode]);
        let live = probe.visitor_with_session().await.cookie().unwrap();
        let visitor = probe.visitor_with_session().await;
        let dead = visitor.cookie().unwrap();
        visitor.get("/destroy").await.ok();
        let unknown = format!("id={MADE_UP}");
        let four = [live.as_str(), dead.as_str(), unknown.as_str(), "id=malformed"];
        for turn in 0..4 {
            let mut order = four;
            order.rotate_left(turn);
            for order in [order, {
                order.reverse();
                order
            }] {
                let response = probe.get_with(&order.join("; "), "/get/seed").await;
                assert_eq!(response.without_cookie().number(), 1, "{order:?}");
            }
        }
        // The same id twice is one candidate.
        assert_eq!(probe.get_with(&format!("{live}; {live}"), "/get/seed").await.number(), 1);
    }
}

async fn s13_two_live_sessions_are_none(place: Place) {
    let probe = place.start(&[]);
    let (one, two) = (probe.visitor_with_session().await, probe.visitor_with_session().await);
    let (first, second) = (one.cookie().unwrap(), two.cookie().unwrap());
    for cookie in [format!("{first}; {second}"), format!("{second}; {first}")] {
        let response = probe.get_with(&cookie, "/state").await;
        assert_eq!(response.without_cookie().json()["present"], false);
        // A logout that cannot tell whose ends nobody's.
        probe.get_with(&cookie, "/destroy").await.without_cookie().ok();
    }
    assert_eq!(probe.counter("ambiguous_ids").await, 4);
    assert!(one.is_alive().await && two.is_alive().await);
}

async fn s13_at_most_four_candidates_are_looked_up(place: Place) {
    let probe = place.start(&[]);
    let unknown = |n: usize| -> String {
        (0..n).map(|i| format!("id=AAAABBBBCCCCDDDDEEEEFFFFGGGGHH{:02}", i)).collect::<Vec<_>>().join("; ")
    };
    probe.get_with(&unknown(4), "/state").await.ok();
    assert_eq!(probe.counter("unknown_ids").await, 4);
    probe.get_with(&unknown(50), "/state").await.ok();
    assert!(probe.counter("unknown_ids").await <= 8);
}

async fn s14_a_cookie_header_split_over_fields_works(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let request = Request::get("/get/seed")
        .header("cookie", "theme=dark")
        .header("cookie", visitor.cookie().unwrap())
        .header("cookie", "lang=en");
    assert_eq!(probe.ask(request).await.number(), 1);
}

async fn s06_a_dump_of_the_store_holds_no_usable_cookie(place: Place) {
    let probe = place.start(dump::RENEWALS);
    let ids = dump::ids_of_all_sorts(&probe).await;
    let mut dump = Vec::new();
    read_all(probe.dir.path(), &mut dump);
    dump::holds_no_usable_cookie(&probe, &ids, &dump).await;
}

/// Names and contents.
fn read_all(dir: &Path, dump: &mut Vec<u8>) {
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        dump.extend(path.file_name().unwrap().as_encoded_bytes());
        if path.is_dir() { read_all(&path, dump) } else { dump.extend(std::fs::read(path).unwrap()) }
    }
}

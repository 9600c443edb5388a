//! What somebody finds who has all that a store keeps.

use std::collections::BTreeSet;

use super::{Probe, Visitor, sleep_ms};

/// For a probe of [`ids_of_all_sorts`].
pub const RENEWALS: &[&str] = &["--renewal", "0.1", "--grace", "0.09"];

/// The ids of a visitor, one after the other: begun, regenerated, logged in, renewed.
pub async fn ids_of_all_sorts(probe: &Probe) -> Vec<String> {
    let visitor = probe.visitor();
    let mut ids = Vec::new();
    for route in ["/set/secret/marker-of-the-data", "/regenerate", "/login/ada", "/state", "/regenerate"] {
        visitor.get(route).await.ok();
        ids.push(visitor.cookie().unwrap().replace("id=", ""));
        sleep_ms(110).await;
        // By now it is due: an old id in its grace, its successor sealed, is in the store as well.
        visitor.get("/state").await.ok();
        ids.push(visitor.cookie().unwrap().replace("id=", ""));
    }
    ids
}

/// Neither these ids nor anything else in the dump opens a session.
pub async fn holds_no_usable_cookie(probe: &Probe, ids: &[String], dump: &[u8]) {
    let holds = |text: &[u8]| dump.windows(text.len()).any(|w| w == text);
    assert!(holds(b"marker-of-the-data"), "this is not the store");
    for id in ids {
        assert!(!holds(id.as_bytes()), "the store holds an id");
        // Nor its secret part, encoded or not.
        assert!(!holds(&id.as_bytes()[4..]), "the store holds a secret");
        let raw = decode(id);
        assert!(!holds(&raw[3..]), "the store holds a secret");
    }
    // What looks like one, and is a key, a digest, a sealed id.
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
    let alike: BTreeSet<&[u8]> = dump.windows(32).filter(|w| w.iter().all(fits)).collect();
    for window in alike {
        let cookie = format!("id={}", String::from_utf8_lossy(window));
        assert!(!Visitor::presenting(probe.address, &cookie).is_alive().await);
    }
}

/// base64url.
fn decode(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let values = text.bytes().map(|b| alphabet.iter().position(|a| *a == b).unwrap() as u32);
    let values: Vec<u32> = values.collect();
    values
        .chunks(4)
        .flat_map(|four| {
            let bits = four.iter().fold(0, |bits, value| (bits << 6) | value);
            [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]
        })
        .collect()
}

//! Random sessions through PHP itself, in each format and in both directions.
//!
//! `CLOAKROOM_LONG` makes it 100,000 sessions a format and direction, `CLOAKROOM_SEED` repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod differential;
#[cfg(all(feature = "amp", feature = "laravel"))]
mod envelopes;
mod invent;
#[path = "../support/program.rs"]
mod program;
mod server;

use std::hash::{BuildHasher, Hasher};

use cloakroom_php::{Format, Session};
use invent::Random;
use server::{Php, Seen};

/// So many sessions at a time.
const BATCH: usize = 100;

fn batches() -> usize {
    let sessions = if std::env::var_os("CLOAKROOM_LONG").is_some() { 100_000 } else { 3_000 };
    sessions / BATCH
}

/// The short form is the same every time; a long one takes another way each time.
fn seed() -> u64 {
    let given = std::env::var("CLOAKROOM_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| match std::env::var_os("CLOAKROOM_LONG") {
        Some(_) => std::hash::RandomState::new().build_hasher().finish(),
        None => 1,
    })
}

/// Says what to do to see it again, and what was sent.
fn fail(what: &str, seed: u64, format: Format, bytes: &[&[u8]]) -> ! {
    let shown: Vec<String> = bytes.iter().map(|bytes| bytes.escape_ascii().to_string()).collect();
    panic!("{what} (CLOAKROOM_SEED={seed}, {format}):\n{}", shown.join("\n"));
}

/// The session in words that every format has in common.
fn says(session: &Session) -> Vec<u8> {
    session.encode_as(Format::PhpSerialize).unwrap_or_else(|error| {
        panic!("{error}: {}", session.encode().unwrap_or_default().escape_ascii());
    })
}

/// Sessions of this side: PHP reads what was meant, and what it writes is read here as the same.
fn from_here(format: Format) {
    let seed = seed();
    let (mut random, mut php) = (Random(seed), Php::start(format));
    for _ in 0..batches() {
        let sessions: Vec<Session> = (0..BATCH).map(|_| invent::session(&mut random, format)).collect();
        let payloads: Vec<Vec<u8>> =
            sessions.iter().map(|session| session.encode_as(format).unwrap()).collect();
        let seen = php.read(&payloads);
        assert_eq!(seen.len(), BATCH);
        for ((session, payload), Seen { complaints, written, says: heard }) in
            sessions.iter().zip(&payloads).zip(seen)
        {
            let meant = says(session);
            if !complaints.is_empty() {
                fail(&format!("PHP complains: {complaints}"), seed, format, &[payload]);
            }
            if heard != meant {
                fail("PHP read something else", seed, format, &[payload, &meant, &heard]);
            }
            let back = match Session::decode(format, written.as_slice()) {
                Ok(back) => back,
                Err(error) => fail(&error.to_string(), seed, format, &[payload, &written]),
            };
            if says(&back) != meant {
                fail("PHP's writing is read as something else", seed, format, &[payload, &written]);
            }
            // igbinary's writing depends on which arrays share memory, and PHP makes all empty ones one.
            if format != Format::Igbinary && written != *payload {
                fail("PHP writes it otherwise", seed, format, &[payload, &written]);
            }
        }
    }
}

/// Sessions of PHP's: read here as PHP means them, written here to the byte, and changed here as PHP reads it.
fn from_php(format: Format) {
    let seed = seed();
    let (mut random, mut php) = (Random(seed), Php::start(format));
    for _ in 0..batches() {
        let invented = php.invent(random.next() as u32, BATCH);
        assert_eq!(invented.len(), BATCH);
        let mut payloads = Vec::new();
        let mut expected = Vec::new();
        for Seen { complaints, written, says: meant } in invented {
            if !complaints.is_empty() {
                fail(&format!("PHP complains: {complaints}"), seed, format, &[&written]);
            }
            let mut session = match Session::decode(format, written.as_slice()) {
                Ok(session) => session,
                Err(error) => fail(&error.to_string(), seed, format, &[&written]),
            };
            if says(&session) != meant {
                fail("read as something else", seed, format, &[&written, &meant, &says(&session)]);
            }
            let again = session.encode_as(format).unwrap();
            if again != written {
                fail("written otherwise", seed, format, &[&written, &again]);
            }
            payloads.push(written);
            expected.push(meant);
            // The same with one variable more.
            if session.read_only().is_none() {
                session.set("rust", &("set here", random.next() as i64)).unwrap();
                payloads.push(session.encode().unwrap());
                expected.push(says(&session));
            }
        }
        for ((payload, meant), Seen { complaints, says: heard, .. }) in
            payloads.iter().zip(&expected).zip(php.read(&payloads))
        {
            if !complaints.is_empty() {
                fail(&format!("PHP complains: {complaints}"), seed, format, &[payload]);
            }
            if heard != *meant {
                fail("PHP read something else", seed, format, &[payload, meant, &heard]);
            }
        }
    }
}

macro_rules! formats {
    ($($name:ident $format:ident)*) => { $(
        mod $name {
            use cloakroom_php::Format::$format;

            #[test]
            fn what_is_written_here_is_the_same_after_php() {
                super::from_here($format);
            }

            #[test]
            fn what_php_writes_is_the_same_after_us() {
                super::from_php($format);
            }
        }
    )* };
}

formats! {
    php Php
    php_serialize PhpSerialize
    php_binary PhpBinary
    igbinary Igbinary
    msgpack Msgpack
}

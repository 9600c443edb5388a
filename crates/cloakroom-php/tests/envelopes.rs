//! Sessions in the envelopes of frameworks: opened as PHP meant them, put back the same, and nothing hostile gets through.
#![cfg(all(feature = "amp", feature = "laravel"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use cloakroom_php::{Amp, AppKey, Cipher, DecodeErrorKind, EncodeError, Format, Laravel, Limits, Session};
use data_encoding::BASE64;
use support::{describe, expected, unhex, vectors};

fn key(bytes: &[u8]) -> AppKey {
    format!("base64:{}", BASE64.encode(bytes)).parse().unwrap()
}

/// Each vector of a handler: its name, the payload, what the session says and the text inside.
fn each(handler: &str, mut check: impl FnMut(&str, &serde_json::Value, &[u8], &[u8])) {
    let mut count = 0;
    for vector in vectors("extra").into_iter().filter(|vector| vector["handler"] == handler) {
        let payload = unhex(vector["hex"].as_str().unwrap());
        let inner = unhex(vector["inner_hex"].as_str().unwrap());
        check(vector["name"].as_str().unwrap(), &vector, &payload, &inner);
        count += 1;
    }
    assert!(count >= 5, "{handler}: {count}");
}

#[test]
fn amp_s_sessions_are_opened_and_their_text_is_kept() {
    each("amp", |name, vector, payload, inner| {
        let session = Amp.decode(payload).unwrap();
        assert_eq!(describe(session.document().root()), expected(&vector["json"]), "{name}");
        assert_eq!(session.encode().unwrap(), inner, "{name}");
        let again = Amp.encode(&session).unwrap();
        assert_eq!(again[0] & 1 == 1, vector["compressed"] == true, "{name}");
        assert_eq!(Amp.decode(&again).unwrap().encode().unwrap(), inner, "{name}");
    });
}

#[test]
fn laravel_s_sessions_are_opened_and_put_back_to_the_byte() {
    each("laravel_php", |name, vector, payload, inner| {
        let laravel = Laravel::new();
        let session = laravel.decode(payload).unwrap();
        assert_eq!(describe(session.document().root()), expected(&vector["json"]), "{name}");
        assert_eq!(session.encode().unwrap(), inner, "{name}");
        assert_eq!(laravel.encode(&session).unwrap(), payload, "{name}");
    });
    each("laravel_json", |name, vector, payload, inner| {
        let laravel = Laravel::new().with_json();
        let session = laravel.decode(payload).unwrap();
        assert_eq!(describe(session.document().root()), expected(&vector["json"]), "{name}");
        let again = laravel.encode(&session).unwrap();
        // PHP wrote the double -0.0 as -0, which is an integer.
        if !inner.windows(3).any(|text| text == b"-0,") {
            assert_eq!(again, payload, "{name}");
        }
    });
}

#[test]
fn laravel_s_encrypted_sessions_are_opened_and_put_back() {
    each("laravel_encrypted_cbc", |name, vector, payload, inner| {
        let key = key(&unhex(vector["key_hex"].as_str().unwrap()));
        let laravel = Laravel::new().with_encryption(Cipher::Cbc, key, []);
        let session = laravel.decode(payload).unwrap();
        assert_eq!(describe(session.document().root()), expected(&vector["json"]), "{name}");
        assert_eq!(session.encode().unwrap(), inner, "{name}");
        let (one, two) = (laravel.encode(&session).unwrap(), laravel.encode(&session).unwrap());
        assert_ne!(one, two, "each has an initialisation vector of its own");
        assert_eq!(laravel.decode(&one).unwrap().encode().unwrap(), inner, "{name}");
    });
}

fn session() -> Session {
    Session::decode(Format::PhpSerialize, br#"a:2:{s:6:"_token";s:3:"abc";s:4:"user";i:7;}"#.as_slice())
        .unwrap()
}

#[test]
fn a_previous_key_opens_and_the_key_itself_closes() {
    for cipher in [Cipher::Cbc, Cipher::Gcm] {
        let (old, new) = (key(&[1; 32]), key(&[2; 16]));
        let before = Laravel::new().with_encryption(cipher, old.clone(), []);
        let after = Laravel::new().with_encryption(cipher, new.clone(), [key(&[9; 32]), old.clone()]);
        let bytes = before.encode(&session()).unwrap();
        let opened = after.decode(&bytes).unwrap();
        assert_eq!(opened.get("user").unwrap().as_int(), Some(7));
        let bytes = after.encode(&opened).unwrap();
        assert!(before.decode(&bytes).is_err());
        assert!(Laravel::new().with_encryption(cipher, new, []).decode(&bytes).is_ok());
    }
}

/// Whatever is changed in a ciphertext, it is refused, and the error is the same for every key and padding.
#[test]
fn what_was_tampered_with_is_refused() {
    for cipher in [Cipher::Cbc, Cipher::Gcm] {
        let laravel = Laravel::new().with_encryption(cipher, key(&[7; 32]), []);
        let bytes = laravel.encode(&session()).unwrap();
        let start = bytes.iter().position(|byte| *byte == b'"').unwrap() + 1;
        let sealed = BASE64.decode(&bytes[start..bytes.len() - 2]).unwrap();
        let mut accepted = 0;
        for at in 0..sealed.len() {
            let mut sealed = sealed.clone();
            sealed[at] = if sealed[at] == b'0' { b'1' } else { b'0' };
            let text = BASE64.encode(&sealed);
            let payload = format!("s:{}:\"{text}\";", text.len());
            match laravel.decode(payload.as_bytes()) {
                Ok(_) => accepted += 1,
                Err(error) => assert!(!error.to_string().contains("padding"), "{error}"),
            }
        }
        // The bytes that may be another: those of the name "mac" or "tag" where the cipher does not use it.
        assert!(accepted <= 8, "{cipher:?}: {accepted}");
    }
    let laravel = Laravel::new().with_encryption(Cipher::Cbc, key(&[7; 32]), []);
    let gcm = Laravel::new().with_encryption(Cipher::Gcm, key(&[7; 32]), []);
    let other = Laravel::new().with_encryption(Cipher::Cbc, key(&[8; 32]), []);
    let bytes = laravel.encode(&session()).unwrap();
    for wrong in [&gcm, &other] {
        assert!(matches!(wrong.decode(&bytes).unwrap_err().kind(), DecodeErrorKind::Envelope(_)));
    }
    // Encrypted or not, as the settings say and not as the payload says.
    assert!(laravel.decode(&Laravel::new().encode(&session()).unwrap()).is_err());
    assert!(Laravel::new().decode(&bytes).is_err());
}

#[test]
fn keys_are_never_shown() {
    let laravel =
        Laravel::new().with_encryption(Cipher::Gcm, key(b"never shown, ever and"[..16].as_ref()), []);
    let shown = format!("{laravel:?}");
    assert!(shown.contains("AES-128") && !shown.contains("never") && !shown.contains("110, 101"), "{shown}");
    for wrong in ["", "base64:", "base64:*", "short", "base64:AAEC"] {
        let error = wrong.parse::<AppKey>().unwrap_err();
        assert!(error.to_string().contains("key:generate"), "{error}");
    }
}

#[test]
fn a_deflate_bomb_is_inflated_no_further_than_the_limit() {
    let zeros = vec![0; 80 << 20];
    let bomb = [&[1], miniz_oxide::deflate::compress_to_vec(&zeros, 1).as_slice()].concat();
    assert!(bomb.len() < 1 << 20);
    let began = std::time::Instant::now();
    assert_eq!(Amp.decode(&bomb).unwrap_err().kind(), &DecodeErrorKind::Memory(64 << 20));
    let limits = Limits::default().with_memory(1 << 20);
    assert_eq!(Amp.decode_within(&bomb, limits).unwrap_err().kind(), &DecodeErrorKind::Memory(1 << 20));
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_broken_envelope_is_refused() {
    for payload in [b"".as_slice(), b"\x01", b"\x01abc", b"\x01\x03", b"\0", b"\0x", b"\0i:1;", b"\0N;"] {
        assert!(Amp.decode(payload).is_err(), "{payload:?}");
    }
    let plain = [
        "",
        "s:0:\"\";",
        "a:0:{}",
        "i:7;",
        "s:1:\"x\";",
        "s:4:\"i:7;\";",
        "s:6:\"a:0:{}\";x",
        "s:7:\"a:0:{}\";",
    ];
    for payload in plain {
        assert!(Laravel::new().decode(payload.as_bytes()).is_err(), "{payload}");
    }
    for payload in ["s:0:\"\";", "s:1:\"7\";", "s:1:\"[\";", "s:6:\"a:0:{}\";"] {
        assert!(Laravel::new().with_json().decode(payload.as_bytes()).is_err(), "{payload}");
    }
    let laravel = Laravel::new().with_encryption(Cipher::Cbc, key(&[7; 32]), []);
    for inner in ["", "e30=", "eyJpdiI6MX0=", "%", "bnVsbA=="] {
        let payload = format!("s:{}:\"{inner}\";", inner.len());
        assert!(
            matches!(laravel.decode(payload.as_bytes()).unwrap_err().kind(), DecodeErrorKind::Envelope(_)),
            "{inner}"
        );
    }
}

#[test]
fn what_json_cannot_carry_is_refused() {
    let laravel = Laravel::new().with_json();
    for (value, what) in
        [("O:1:\"N\":0:{}", "object"), ("s:1:\"\u{0}\";", ""), ("d:NAN;", "number"), ("d:INF;", "infinite")]
    {
        let session = Session::decode(Format::Php, format!("v|{value}").as_bytes()).unwrap();
        match laravel.encode(&session) {
            Ok(_) => assert_eq!(what, "", "{value}"),
            Err(EncodeError::Value { format: "JSON", what: said }) => {
                assert!(said.contains(what) && !what.is_empty())
            }
            Err(error) => panic!("{value}: {error}"),
        }
    }
    let bytes = Session::decode(Format::Php, b"v|s:1:\"\xff\";").unwrap();
    assert!(matches!(laravel.encode(&bytes), Err(EncodeError::Value { .. })));
    // References are the values that they are.
    let tied = Session::decode(Format::Php, b"a|d:3;b|R:1;").unwrap();
    assert_eq!(laravel.encode(&tied).unwrap(), br#"s:17:"{"a":3.0,"b":3.0}";"#);
}

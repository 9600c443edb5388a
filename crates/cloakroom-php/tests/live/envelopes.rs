//! Envelopes that PHP opens, and PHP's envelopes: the frameworks' own steps, done by PHP's own functions.

use cloakroom_php::{Amp, AppKey, Cipher, EncodeError, Format, Laravel, Session};

use super::invent::{self, Random};
use super::server::Php;
use super::{BATCH, fail, says, seed};

const KEY: &[u8; 32] = b"0123456789abcdef\0\xff\x80\x7fABCDEFGHIJKL";

fn key(len: usize) -> AppKey {
    let text = format!("base64:{}", data_encoding::BASE64.encode(&KEY[..len]));
    text.parse().unwrap()
}

/// Sessions that the envelope can carry, through PHP and back.
fn through_php(
    kind: &str,
    key: &[u8],
    encode: impl Fn(&Session) -> Result<Vec<u8>, EncodeError>,
    decode: impl Fn(&[u8]) -> Session,
) {
    let seed = seed();
    let (mut random, mut php) = (Random(seed), Php::start(Format::PhpSerialize));
    let rounds = if std::env::var_os("CLOAKROOM_LONG").is_some() { 100 } else { 5 };
    let mut carried = 0;
    for _ in 0..rounds {
        let (mut meant, mut wrapped) = (Vec::new(), Vec::new());
        for _ in 0..BATCH {
            let session = invent::session(&mut random, Format::Msgpack);
            match encode(&session) {
                Ok(bytes) => wrapped.push(bytes),
                Err(EncodeError::Value { format: "JSON", .. }) => continue,
                Err(error) => fail(&error.to_string(), seed, Format::PhpSerialize, &[&says(&session)]),
            }
            meant.push(says(&session));
        }
        carried += meant.len();
        let opened = php.envelope("unwrap", kind, key, &wrapped);
        for ((meant, bytes), opened) in meant.iter().zip(&wrapped).zip(&opened) {
            if opened != meant {
                fail("PHP opens it as something else", seed, Format::PhpSerialize, &[bytes, meant, opened]);
            }
            assert_eq!(says(&decode(bytes)), *meant);
        }
        for (meant, bytes) in meant.iter().zip(php.envelope("wrap", kind, key, &meant)) {
            let read = says(&decode(&bytes));
            // PHP writes a whole double as an integer in JSON.
            if read != *meant && !(kind.starts_with("json") && meant.windows(2).any(|tag| tag == b"d:")) {
                fail(
                    "PHP's is opened as something else",
                    seed,
                    Format::PhpSerialize,
                    &[&bytes, meant, &read],
                );
            }
        }
    }
    assert!(carried > 100, "{carried}");
}

#[test]
fn amp() {
    through_php("amp", b"", |session| Amp.encode(session), |bytes| Amp.decode(bytes).unwrap());
}

fn laravel(kind: &str, key: &[u8], laravel: &Laravel) {
    through_php(kind, key, |session| laravel.encode(session), |bytes| laravel.decode(bytes).unwrap());
}

#[test]
fn laravel_by_default() {
    laravel("php", b"", &Laravel::new());
}

#[test]
fn laravel_with_json() {
    laravel("json", b"", &Laravel::new().with_json());
}

#[test]
fn laravel_encrypted() {
    for (cipher, mode) in [(Cipher::Cbc, "cbc"), (Cipher::Gcm, "gcm")] {
        for (len, bits) in [(16, 128), (32, 256)] {
            let kind = format!("php,aes-{bits}-{mode}");
            laravel(&kind, &KEY[..len], &Laravel::new().with_encryption(cipher, key(len), []));
        }
    }
    let both = Laravel::new().with_json().with_encryption(Cipher::Cbc, key(32), []);
    laravel("json,aes-256-cbc", KEY, &both);
}

//! What phpredis 6 compresses: read as it meant it, written so that it reads the same, and nothing hostile gets through.
#![cfg(feature = "compression")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use std::time::{Duration, Instant};

use cloakroom_php::{Compression, DecodeErrorKind, EncodeError, Format, Limits, Session};
use proptest::prelude::*;
use support::{unhex, vectors};

fn decompress(by: Compression, stored: &[u8]) -> Result<Vec<u8>, DecodeErrorKind> {
    let read = by.decompress(stored, Limits::default());
    read.map(std::borrow::Cow::into_owned).map_err(|error| error.kind().clone())
}

fn broken(by: Compression, stored: &[u8]) -> bool {
    matches!(decompress(by, stored), Err(DecodeErrorKind::Envelope(_)))
}

/// What a vector's session has to be in its format, which is longer than a vector should be.
fn numbers(count: u64) -> String {
    (0..count).map(|n| (n % 1000).to_string()).collect::<Vec<_>>().join(",")
}

#[test]
fn what_phpredis_6_compressed_is_read_and_compressed_again_for_it() {
    let mut count = 0;
    for vector in vectors("compressed") {
        let (name, stored) = (vector["name"].as_str().unwrap(), unhex(vector["hex"].as_str().unwrap()));
        let by = Compression::of_setting(vector["compression"].as_str().unwrap()).unwrap().unwrap();
        let plain = decompress(by, &stored).unwrap_or_else(|error| panic!("{name}: {error}"));
        let format: Format = vector["handler"].as_str().unwrap().parse().unwrap();
        let session = Session::decode(format, plain.as_slice()).unwrap();
        match vector["plain"].as_str() {
            Some(hex) => assert_eq!(plain, unhex(hex), "{name}"),
            None => {
                let text = session.get("text").unwrap().as_str().unwrap();
                assert_eq!(text, numbers(vector["numbers"].as_u64().unwrap()), "{name}");
            }
        }
        assert_eq!(decompress(by, &by.compress(&plain).unwrap()).unwrap(), plain, "{name}");
        count += 1;
    }
    assert_eq!(count, 66);
}

/// PHP takes it so: sessions from before the setting was switched on go on.
#[test]
fn what_was_not_compressed_is_read_as_it_is() {
    for by in Compression::ALL {
        for plain in [&b""[..], b"n|i:1;", b"a:1:{s:1:\"n\";i:1;}", b"\0\0\0\x02\x14\x01\x11\x01n\x06\x01"] {
            assert_eq!(decompress(by, plain).unwrap(), plain, "{by}");
        }
    }
}

/// Else a session would be taken for another one, and written over.
#[test]
fn what_begins_as_a_compressed_value_and_is_none_is_an_error() {
    let text = format!("text|s:300:\"{}\";n|i:7;", "ab-".repeat(100));
    for by in Compression::ALL {
        let stored = by.compress(text.as_bytes()).unwrap();
        for cut in 1..stored.len() {
            let read = decompress(by, &stored[..cut]);
            // A value without its end tells nothing where only its beginning is checked, and LZF has no end.
            let told = match by {
                Compression::Lz4 => cut >= 5,
                Compression::Zstd => cut >= 4,
                _ => false,
            };
            assert!(
                read.as_ref().is_ok_and(|read| !told && read.len() < text.len())
                    || broken(by, &stored[..cut])
            );
        }
    }
    assert!(broken(Compression::Lzf, b"\x06n|i:1;"), "a run that is too long");
    assert!(broken(Compression::Lzf, b"\x00n\x20\x01"), "a reference to before the beginning");
    assert!(broken(Compression::Lzf, b"\x00n\xe0"), "a reference without its length");
    let stored = Compression::Lz4.compress(text.as_bytes()).unwrap();
    let shorter = unhex("612b010000"); // the length is 299, with its checksum
    assert!(broken(Compression::Lz4, &[shorter.as_slice(), &stored[5..]].concat()));
    let frame = Compression::Zstd.compress(text.as_bytes()).unwrap();
    assert!(broken(Compression::Zstd, &[frame.as_slice(), b"x"].concat()), "something behind the frame");
    assert!(broken(Compression::Zstd, &[frame.as_slice(), &frame].concat()), "two frames");
}

/// Small values that stand for large ones, and lengths that are told and not there.
#[test]
fn nothing_is_larger_than_the_limits_and_no_length_is_taken_at_its_word() {
    let began = Instant::now();
    let mut lzf = b"\0a".to_vec();
    lzf.extend(b"\xe0\xff\0".repeat((65 << 20) / 264));
    assert_eq!(decompress(Compression::Lzf, &lzf), Err(DecodeErrorKind::Memory(64 << 20)));

    // Blocks of 128 KiB of one byte, four bytes each: RFC 8878, section 3.1.1.2.
    let frame = |told: u64, blocks: usize| {
        let mut frame = b"\x28\xb5\x2f\xfd\xc0\x58".to_vec();
        frame.extend(told.to_le_bytes());
        frame.extend(b"\x02\0\x10a".repeat(blocks));
        frame.extend(b"\x01\0\0");
        frame
    };
    assert_eq!(decompress(Compression::Zstd, &frame(1 << 20, 8)).unwrap(), b"a".repeat(1 << 20));
    let most = decompress(Compression::Zstd, &frame(64 << 20, 512)).unwrap();
    assert_eq!(most.len(), 64 << 20);
    assert_eq!(decompress(Compression::Zstd, &frame(65 << 20, 520)), Err(DecodeErrorKind::Memory(64 << 20)));
    for told in [0, 1, (1 << 20) + 1, u64::MAX] {
        assert!(broken(Compression::Zstd, &frame(told, 8)), "{told}");
    }
    // More than the bytes that are there can stand for.
    assert!(broken(Compression::Zstd, &frame(64 << 20, 8)));

    let lz4 = |hex: &str, block: &[u8]| [unhex(hex).as_slice(), block].concat();
    let zeros = [b"\x1f\0\x01\0".as_slice(), &[255; 300_000], b"\0\0"].concat();
    // 65 MiB, and 16 MiB in a few bytes, each with its checksum.
    assert_eq!(
        decompress(Compression::Lz4, &lz4("7d00001004", &zeros)),
        Err(DecodeErrorKind::Memory(64 << 20))
    );
    assert!(broken(Compression::Lz4, &lz4("e600000001", b"\x1fa\x01\0")));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    let little = Limits::default().with_memory(299);
    for by in Compression::ALL {
        let stored = by.compress(&[b'a'; 300]).unwrap();
        let refused = by.decompress(&stored, little).unwrap_err();
        assert_eq!(refused.kind(), &DecodeErrorKind::Memory(299), "{by}");
        let too_much = by.compress(&vec![0; (64 << 20) + 1]);
        assert_eq!(too_much, Err(EncodeError::Memory(64 << 20)), "{by}");
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..2000),
        // What repeats itself, near and far.
        proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b')], 0..3000),
        (proptest::collection::vec(any::<u8>(), 1..40), 1..900_usize)
            .prop_map(|(part, times)| part.repeat(times)),
    ]
}

proptest! {
    #[test]
    fn everything_reads_as_it_was(plain in bytes()) {
        for by in Compression::ALL {
            let stored = by.compress(&plain).unwrap();
            prop_assert_eq!(decompress(by, &stored).unwrap(), plain.as_slice());
        }
    }

    #[test]
    fn no_damage_is_too_much(plain in bytes(), at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let limits = Limits::default().with_memory(1 << 20);
        for by in Compression::ALL {
            let mut stored = by.compress(&plain).unwrap();
            if stored.is_empty() {
                continue;
            }
            let at = at.index(stored.len());
            stored[at] = byte;
            if cut {
                stored.truncate(at);
            }
            if let Ok(read) = by.decompress(&stored, limits) {
                prop_assert!(read.len() <= (1 << 20).max(stored.len()));
            }
        }
    }
}

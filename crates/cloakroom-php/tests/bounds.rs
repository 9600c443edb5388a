//! Whatever is malformed or hostile: how much of the heap it takes at its peak, and how much of the processor's time.
//!
//! One test, and so a program of its own: the allocator counts for all threads.
#![cfg(all(feature = "amp", feature = "compression", feature = "laravel", feature = "layout"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use cloakroom_php::{
    Amp, CacheEntry, Cipher, Compression, EncodeError, Format, Laravel, Limits, Session, Variables,
};
use data_encoding::BASE64;
use peak_alloc::PeakAlloc;
use support::{cpu_time, unhex, vectors};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MEMORY: usize = 64 << 20;
/// Of the thread's own time, in an unoptimised build: what the machine does besides does not count.
const TIME: std::time::Duration = std::time::Duration::from_secs(1);

/// What went beyond its bounds, and the most that anything took.
#[derive(Default)]
struct Measured {
    beyond: Vec<String>,
    most_memory: usize,
    most_time: std::time::Duration,
}

impl Measured {
    /// Everything but the input, which is there already.
    fn take<T>(&mut self, what: &str, read: impl FnOnce() -> T) {
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let began = cpu_time();
        let read = read();
        let (took, memory) = (cpu_time() - began, HEAP.peak_usage() - before);
        drop(read);
        self.most_memory = self.most_memory.max(memory);
        self.most_time = self.most_time.max(took);
        if memory > MEMORY || took > TIME {
            self.beyond.push(format!("{what}: {memory} bytes, {took:?}"));
        }
    }

    fn session(&mut self, what: &str, format: Format, payload: &[u8]) {
        let input = payload.to_vec();
        self.take(what, || Session::decode(format, input));
        self.take(&format!("{what}, as text"), || {
            Variables::read(format, payload).map(|variables| variables.len())
        });
        self.take(&format!("{what}, one value"), || Session::read_one(format, payload, &["a".into()]));
    }

    fn envelope(&mut self, what: &str, payload: &[u8]) {
        self.take(&format!("{what}, amp"), || Amp.decode(payload));
        self.take(&format!("{what}, laravel"), || Laravel::new().decode(payload));
        self.take(&format!("{what}, laravel in json"), || Laravel::new().with_json().decode(payload));
        self.take(&format!("{what}, mini"), || CacheEntry::decode(payload));
        for by in Compression::ALL {
            self.take(&format!("{what}, {by}"), || {
                let plain = by.decompress(payload, Limits::default())?;
                Session::decode(Format::Php, plain)
            });
        }
    }
}

/// Small values that stand for large ones, and large ones that are just refused, or just not.
fn bombs() -> Vec<(String, Format, Vec<u8>)> {
    let list = |levels: usize, inner: &str| [inner.repeat(levels), "}".repeat(levels)].concat();
    let elements = |count: usize, element: &str| {
        format!("a:{count}:{{{}}}", (0..count).map(|n| format!("i:{n};{element}")).collect::<String>())
    };
    let mut bombs = Vec::new();
    for format in [Format::Php, Format::PhpBinary, Format::PhpSerialize] {
        let mut add = |what: &str, value: String| {
            let payload = match format {
                Format::Php => format!("a|{value}"),
                Format::PhpBinary => format!("\x01a{value}"),
                _ => format!("a:1:{{s:1:\"a\";{value}}}"),
            };
            bombs.push((format!("{format}: {what}"), format, payload.into_bytes()));
        };
        add("nesting", list(200_000, "a:1:{i:0;"));
        add("nesting of objects", list(200_000, "O:1:\"N\":1:{s:1:\"a\";"));
        add("a count", "a:4000000000:{i:0;i:1;".to_owned());
        add("a length", "s:4000000000:\"a\";".to_owned());
        for count in [300_000, 500_000] {
            add(&format!("{count} elements"), elements(count, "N;"));
            add(&format!("{count} arrays"), elements(count, "a:0:{}"));
            add(&format!("{count} objects"), elements(count, "O:1:\"N\":0:{}"));
            add(
                &format!("{count} references"),
                elements(count, if format == Format::PhpSerialize { "R:2;" } else { "R:1;" }),
            );
            add(
                &format!("{count} keys"),
                format!(
                    "a:{count}:{{{}}}",
                    (0..count).map(|n| format!("s:8:\"k{n:07}\";N;")).collect::<String>()
                ),
            );
        }
        for text in [20 << 20, 40 << 20, 60 << 20, 70 << 20] {
            add(&format!("a text of {text}"), format!("s:{text}:\"{}\";", "a".repeat(text)));
        }
    }
    let igbinary = |open: &[u8], levels: usize| {
        [b"\0\0\0\x02\x14\x01\x11\x01a", open.repeat(levels).as_slice(), b"\x06\x01"].concat()
    };
    bombs.push(("igbinary: nesting".to_owned(), Format::Igbinary, igbinary(b"\x14\x01\x06\0", 200_000)));
    bombs.push((
        "igbinary: a count".to_owned(),
        Format::Igbinary,
        b"\0\0\0\x02\x16\xff\xff\xff\xff\x06\0\0".to_vec(),
    ));
    bombs.push((
        "igbinary: a length".to_owned(),
        Format::Igbinary,
        b"\0\0\0\x02\x14\x01\x13\xff\xff\xff\xffa".to_vec(),
    ));
    bombs.push((
        "msgpack: nesting".to_owned(),
        Format::Msgpack,
        [b"\x81\xa1a".as_slice(), &b"\x91".repeat(200_000)].concat(),
    ));
    bombs.push(("msgpack: a count".to_owned(), Format::Msgpack, b"\x81\xa1a\xdd\xff\xff\xff\xff\0".to_vec()));
    bombs.push((
        "msgpack: a length".to_owned(),
        Format::Msgpack,
        b"\x81\xa1a\xdb\xff\xff\xff\xff\0".to_vec(),
    ));
    for count in [300_000_u32, 500_000] {
        let told = count.to_be_bytes();
        for (what, element) in [("elements", &b"\xc0"[..]), ("arrays", b"\x90"), ("maps", b"\x81\0\0")] {
            let payload = [b"\x81\xa1a\xdd", told.as_slice(), &element.repeat(count as usize)].concat();
            bombs.push((format!("msgpack: {count} {what}"), Format::Msgpack, payload));
        }
        for (what, element) in
            [("elements", &b"\0"[..]), ("arrays", b"\x14\0"), ("arrays of one", b"\x14\x01\x06\0\0")]
        {
            let mut payload = [b"\0\0\0\x02\x14\x01\x11\x01a\x16", told.as_slice()].concat();
            for n in 0..count {
                payload.push(0x0a);
                payload.extend(n.to_be_bytes());
                payload.extend(element);
            }
            bombs.push((format!("igbinary: {count} {what}"), Format::Igbinary, payload));
        }
    }
    bombs
}

/// Of JSON, also of what stands around a ciphertext.
fn json_bombs() -> Vec<(String, String)> {
    let mut bombs = vec![("nesting".to_owned(), "[".repeat(200_000))];
    for count in [100_000, 300_000, 400_000, 500_000] {
        bombs.push((format!("{count} elements"), format!("[{}1]", "1,".repeat(count))));
        bombs.push((format!("{count} lists"), format!("[{}[]]", "[],".repeat(count))));
    }
    for length in [5 << 20, 9 << 20, 12 << 20, 20 << 20, 40 << 20] {
        let value = "aaaa".repeat(length / 4);
        bombs.push((
            format!("a text of {length}"),
            format!(r#"{{"iv":"AAAAAAAAAAAAAAAAAAAAAA==","value":"{value}","mac":"00","tag":""}}"#),
        ));
        bombs.push((format!("escapes, {length}"), format!(r#"{{"iv":"{}"}}"#, "\\n".repeat(length / 2))));
    }
    bombs
}

fn encrypted() -> [Laravel; 2] {
    let by = |cipher| Laravel::new().with_encryption(cipher, "0123456789abcdef".parse().unwrap(), []);
    [Cipher::Cbc, Cipher::Gcm].map(by)
}

#[test]
fn nothing_malformed_takes_more_than_64_mib_or_a_second() {
    let mut measured = Measured::default();
    for vector in vectors("malformed") {
        let (name, payload) = (vector["name"].as_str().unwrap(), unhex(vector["hex"].as_str().unwrap()));
        measured.session(name, vector["handler"].as_str().unwrap().parse().unwrap(), &payload);
        measured.envelope(name, &payload);
    }
    for (what, format, payload) in bombs() {
        measured.session(&what, format, &payload);
        if format != Format::PhpSerialize {
            continue;
        }
        let twice = [format!("s:{}:\"", payload.len()).as_bytes(), &payload, b"\";"].concat();
        measured.take(&format!("{what}, laravel"), || Laravel::new().decode(&twice));
        let deflated = [&[1], miniz_oxide::deflate::compress_to_vec(&payload, 1).as_slice()].concat();
        measured.take(&format!("{what}, amp"), || Amp.decode(&deflated));
        for by in Compression::ALL {
            let Ok(packed) = by.compress(&payload) else { continue };
            measured.take(&format!("{what}, {by}"), || {
                let plain = by.decompress(&packed, Limits::default())?;
                Session::decode(format, plain)
            });
        }
    }
    for (what, json) in json_bombs() {
        let payload = format!("s:{}:\"{json}\";", json.len());
        measured.take(&format!("{what}, laravel in json"), || {
            Laravel::new().with_json().decode(payload.as_bytes())
        });
        let sealed = BASE64.encode(json.as_bytes());
        let payload = format!("s:{}:\"{sealed}\";", sealed.len());
        for laravel in encrypted() {
            measured.take(&format!("{what}, {laravel:?}"), || laravel.decode(payload.as_bytes()));
        }
    }
    // As long as what is encrypted may be.
    let mut session = Session::new(Format::PhpSerialize);
    session.set("a", &"a".repeat(6 << 20)).unwrap();
    for laravel in encrypted().into_iter().flat_map(|laravel| [laravel.clone(), laravel.with_json()]) {
        let payload = laravel.encode(&session).unwrap();
        measured.take(&format!("a text, {laravel:?}"), || laravel.decode(&payload).unwrap());
    }
    session.set("a", &"a".repeat(12 << 20)).unwrap();
    for laravel in encrypted() {
        assert_eq!(laravel.encode(&session).unwrap_err(), EncodeError::Memory(MEMORY));
    }
    println!("at most {} bytes and {:?}", measured.most_memory, measured.most_time);
    assert!(measured.beyond.is_empty(), "{}", measured.beyond.join("\n"));
}

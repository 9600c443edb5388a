//! PHP's session formats beside PHP's own functions: decode and encode of a basket, and reading one key of it.
//!
//! In each round PHP and Rust have their turn, in an order that changes; a quotient is one within a round.

mod server;

use std::hint::black_box;
use std::time::Instant;

use cloakroom_php::{Format, Session};
use serde::Serialize;

use crate::stats::Spread;
use server::Php;

/// How many items are in the basket.
const ITEMS: [usize; 3] = [5, 50, 500];

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Rounds; in each, every operation is done many times.
    pub rounds: usize,
    /// How long an operation is repeated in a round, in nanoseconds.
    pub length: u64,
}

/// What is done with a session.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// From bytes to values.
    Decode,
    /// One key of the basket is read, and the rest looked through. PHP has to decode everything for that.
    ReadOneKey,
    /// From values to bytes. Here the bytes are read again and compared before they are handed out.
    Encode,
    /// One variable is changed, and the session written: decode and encode.
    Change,
}

impl Work {
    const ALL: [Self; 4] = [Self::Decode, Self::ReadOneKey, Self::Encode, Self::Change];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::ReadOneKey => "read one key",
            Self::Encode => "encode",
            Self::Change => "change one variable",
        }
    }
}

/// One row of the table.
#[derive(Serialize)]
pub struct Row {
    /// By PHP's name.
    pub format: &'static str,
    /// Items in the basket.
    pub items: usize,
    /// Bytes of the payload.
    pub bytes: usize,
    /// What is done.
    pub work: Work,
    /// Nanoseconds in PHP.
    pub php_ns: Spread,
    /// Nanoseconds here.
    pub rust_ns: Spread,
    /// How many times as fast it is here, round by round.
    pub times_php: Spread,
    /// What that is to be at least, where that is promised.
    pub at_least: Option<f64>,
}

impl Row {
    /// Whether the row is as it is to be.
    pub fn holds(&self) -> bool {
        self.at_least.is_none_or(|least| self.times_php.median >= least)
    }
}

fn promise(format: Format, items: usize, work: Work) -> Option<f64> {
    match (format, items, work) {
        (Format::PhpSerialize | Format::Igbinary, 50, Work::Decode | Work::Encode) => Some(1.0),
        (Format::PhpSerialize | Format::Igbinary, 50, Work::ReadOneKey) => Some(3.0),
        (Format::PhpSerialize | Format::Igbinary, 5, Work::Decode | Work::Encode) => Some(0.5),
        _ => None,
    }
}

/// Measures everything. The error says what to install where PHP is not there.
pub fn run(effort: Effort) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for format in Format::ALL {
        eprintln!("PHP's formats: {format} …");
        let mut php = Php::start(format.name())?;
        for items in ITEMS {
            let payload = php.payload(items)?;
            for work in Work::ALL {
                rows.push(measure(&mut php, *format, items, &payload, work, effort)?);
            }
        }
    }
    Ok(rows)
}

fn measure(
    php: &mut Php,
    format: Format,
    items: usize,
    payload: &[u8],
    work: Work,
    effort: Effort,
) -> Result<Row, String> {
    let rust = |times: u64| here(format, payload, work, times);
    let once = (rust(20).max(1) / 20).max(1);
    let times = (effort.length / once).clamp(20, 1_000_000);
    let (mut php_ns, mut rust_ns, mut times_php) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=effort.rounds {
        let mut in_php = || -> Result<f64, String> {
            let mut ns = 0;
            if work != Work::Encode {
                ns += php.time("decode", items, times)?;
            }
            if work == Work::Encode || work == Work::Change {
                ns += php.time("encode", items, times)?;
            }
            Ok(ns as f64 / times as f64)
        };
        let (there, here) = if round % 2 == 0 {
            let there = in_php()?;
            (there, rust(times) as f64 / times as f64)
        } else {
            let here = rust(times) as f64 / times as f64;
            (in_php()?, here)
        };
        // The first round warms up.
        if round > 0 {
            php_ns.push(there);
            rust_ns.push(here);
            times_php.push(there / here);
        }
    }
    Ok(Row {
        format: format.name(),
        items,
        bytes: payload.len(),
        work,
        php_ns: Spread::of(php_ns),
        rust_ns: Spread::of(rust_ns),
        times_php: Spread::of(times_php),
        at_least: promise(format, items, work),
    })
}

/// Nanoseconds that so many times take here.
fn here(format: Format, payload: &[u8], work: Work, times: u64) -> u64 {
    let session = Session::decode(format, payload).expect("PHP wrote it");
    let begin = Instant::now();
    for _ in 0..times {
        match work {
            Work::Decode => {
                black_box(Session::decode(format, black_box(payload))).expect("PHP wrote it");
            }
            Work::ReadOneKey => {
                let path = ["basket".into(), "total".into()];
                let total = Session::read_one(format, black_box(payload), &path).expect("PHP wrote it");
                let total = total.and_then(|total| total.root().as_float());
                assert_eq!(black_box(total), Some(1234.5));
            }
            Work::Encode => {
                black_box(black_box(&session).encode_as(format)).expect("the format carries it");
            }
            Work::Change => {
                let mut session = Session::decode(format, black_box(payload)).expect("PHP wrote it");
                session.set("user_id", &black_box(1338)).expect("nothing is tied to it");
                black_box(session.encode()).expect("the format carries it");
            }
        }
    }
    begin.elapsed().as_nanos() as u64
}

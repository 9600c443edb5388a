//! LZF, read and written here: the crates of it are given up, and there is not much to it.
//!
//! A stream is runs and references. A byte below 32 begins a run of one more bytes than it says. Any other has, from the top, three bits of a length
//! and five of a distance; a length of seven goes on in the next byte; the rest of the distance is the byte after that. A reference repeats what was
//! written that distance and one ago, for two bytes more than its length says.
//!
//! Source: [LibLZF](http://oldhome.schmorp.de/marc/liblzf.html), which phpredis has within itself.

use super::pack::Stored;
use crate::error::DecodeErrorKind;
use crate::limits::Limits;

const BROKEN: DecodeErrorKind = DecodeErrorKind::Envelope("this is no LZF stream");

/// The longest run.
const RUN: usize = 32;
/// How far back a reference leads at most.
const WINDOW: usize = 1 << 13;
/// The shortest and the longest reference.
const SHORTEST: usize = 3;
const LONGEST: usize = 264;
/// The table of where three bytes were last seen, as bits of its index.
const TABLE: u32 = 13;

/// What a session of igbinary begins with: as LZF this would be two runs of one byte each, which nobody writes.
const IGBINARY: [&[u8]; 2] = [b"\0\0\0\x01", b"\0\0\0\x02"];

pub(super) fn decompress(stored: &[u8], limits: Limits) -> Result<Stored, DecodeErrorKind> {
    // There is nothing yet that a reference could lead to.
    if stored.first().is_none_or(|first| usize::from(*first) >= RUN) {
        return Ok(Stored::Plain);
    }
    match read(stored, limits) {
        Err(DecodeErrorKind::Envelope(_)) if IGBINARY.iter().any(|begins| stored.starts_with(begins)) => {
            Ok(Stored::Plain)
        }
        plain => plain.map(Stored::Packed),
    }
}

/// What a stream consists of.
enum Step<'s> {
    Run(&'s [u8]),
    Reference { distance: usize, length: usize },
}

impl<'s> Step<'s> {
    /// The next one, and what is behind it.
    fn next(stream: &'s [u8]) -> Result<Option<(Self, &'s [u8])>, DecodeErrorKind> {
        let Some((&control, behind)) = stream.split_first() else { return Ok(None) };
        let control = usize::from(control);
        if control < RUN {
            let (run, behind) = behind.split_at_checked(control + 1).ok_or(BROKEN)?;
            return Ok(Some((Step::Run(run), behind)));
        }
        let (length, behind) = match (control >> 5, behind) {
            (7, [more, behind @ ..]) => (7 + usize::from(*more), behind),
            (length, behind) => (length, behind),
        };
        let (&low, behind) = behind.split_first().ok_or(BROKEN)?;
        let distance = ((control & 31) << 8 | usize::from(low)) + 1;
        Ok(Some((Step::Reference { distance, length: length + SHORTEST - 1 }, behind)))
    }
}

fn read(stream: &[u8], limits: Limits) -> Result<Vec<u8>, DecodeErrorKind> {
    // Grown step by step it would take three times as much.
    let mut plain = Vec::with_capacity(length(stream, limits)?);
    let mut rest = stream;
    while let Some((step, behind)) = Step::next(rest)? {
        match step {
            Step::Run(run) => plain.extend_from_slice(run),
            Step::Reference { distance, length } => {
                let from = plain.len().checked_sub(distance).ok_or(BROKEN)?;
                repeat(&mut plain, from, length);
            }
        }
        rest = behind;
    }
    Ok(plain)
}

/// How long the value is.
fn length(stream: &[u8], limits: Limits) -> Result<usize, DecodeErrorKind> {
    let (mut told, mut rest) = (0, stream);
    while let Some((step, behind)) = Step::next(rest)? {
        told += match step {
            Step::Run(run) => run.len(),
            Step::Reference { distance, .. } if distance > told => return Err(BROKEN),
            Step::Reference { length, .. } => length,
        };
        if told > limits.memory() {
            return Err(DecodeErrorKind::Memory(limits.memory()));
        }
        rest = behind;
    }
    Ok(told)
}

/// Appends so many bytes of what stands there from `from` on, and of what is appended where that is not enough.
fn repeat(plain: &mut Vec<u8>, from: usize, mut length: usize) {
    while length > 0 {
        let end = plain.len().min(from + length);
        length -= end - from;
        plain.extend_from_within(from..end);
    }
}

pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(plain.len() / 2);
    // Where each three bytes were last seen, by a hash of them; one more than that, so that zero is nowhere.
    let mut seen = vec![0_usize; 1 << TABLE];
    let (mut at, mut run_from) = (0, 0);
    while let Some(three) = plain.get(at..).and_then(<[u8]>::first_chunk::<SHORTEST>) {
        let last = seen.get_mut(slot(*three)).map_or(0, |last| std::mem::replace(last, at + 1));
        let found = last.checked_sub(1).filter(|from| at - from <= WINDOW);
        let length = found.map_or(0, |from| common(plain, from, at));
        match found {
            Some(from) if length >= SHORTEST => {
                write_runs(&mut stream, plain.get(run_from..at).unwrap_or_default());
                write_reference(&mut stream, at - from - 1, length - SHORTEST + 1);
                at += length;
                run_from = at;
            }
            _ => at += 1,
        }
    }
    write_runs(&mut stream, plain.get(run_from..).unwrap_or_default());
    stream
}

fn slot([a, b, c]: [u8; 3]) -> usize {
    let three = u32::from_le_bytes([a, b, c, 0]);
    // Knuth's multiplicative hash.
    (three.wrapping_mul(2_654_435_761) >> (32 - TABLE)) as usize
}

/// How many bytes are the same from both places on, up to the longest reference.
fn common(plain: &[u8], from: usize, at: usize) -> usize {
    let pairs = plain.iter().skip(from).zip(plain.iter().skip(at));
    pairs.take(LONGEST).take_while(|(one, other)| one == other).count()
}

fn write_runs(stream: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(RUN) {
        stream.push((run.len() - 1) as u8);
        stream.extend_from_slice(run);
    }
}

/// `distance` and `length` as they are written: one less, and two less.
fn write_reference(stream: &mut Vec<u8>, distance: usize, length: usize) {
    let (high, low) = ((distance >> 8) as u8, distance as u8);
    match u8::try_from(length) {
        Ok(length) if length < 7 => stream.push(length << 5 | high),
        _ => stream.extend([7 << 5 | high, (length - 7) as u8]),
    }
    stream.push(low);
}

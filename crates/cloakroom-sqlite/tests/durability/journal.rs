//! What the file layer wrote down.

use std::path::Path;

/// The number of the directory itself.
pub const DIRECTORY: u64 = 1;

/// One change, or the beginning or end of a flush, in the order in which they took effect.
#[derive(Debug, PartialEq, Eq)]
pub enum Op {
    Create { file: u64, name: String },
    Write { file: u64, at: usize, data: Vec<u8> },
    Truncate { file: u64, len: usize },
    Remove { name: String },
    Rename { from: String, to: String },
    FlushBegins { file: u64, flush: u64 },
    FlushEnds { flush: u64 },
}

/// Reads a journal, which must be whole.
pub fn read(path: &Path) -> Vec<Op> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut ops = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        let number = |i: usize| u64::from_le_bytes(after[8 * i..8 * i + 8].try_into().unwrap());
        let (file, at, len) = (number(0), number(1), usize::try_from(number(2)).unwrap());
        let (data, after) = after[24..].split_at(len);
        rest = after;
        let name = || String::from_utf8(data.to_vec()).unwrap();
        let place = || usize::try_from(at).unwrap();
        ops.push(match kind {
            b'C' => Op::Create { file, name: name() },
            b'W' => Op::Write { file, at: place(), data: data.to_vec() },
            b'T' => Op::Truncate { file, len: place() },
            b'U' => Op::Remove { name: name() },
            b'R' => {
                let names = name();
                let (from, to) = names.split_once('/').unwrap();
                Op::Rename { from: from.to_owned(), to: to.to_owned() }
            }
            b'S' => Op::FlushBegins { file, flush: at },
            b'E' => Op::FlushEnds { flush: at },
            other => panic!("the journal has a {other}"),
        });
    }
    ops
}

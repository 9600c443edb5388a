//! What a disk may hold after a power cut.
//!
//! What was written before the beginning of a flush that came to its end is there. Of everything else nothing is known:
//! it may be there, in part, in any order, and torn between sectors. The same holds for names: creating, removing
//! and renaming are on the disk for certain only once the directory was flushed. What is assumed in the disk's favour
//! is what SQLite assumes as well: a sector of 512 bytes is written whole or not at all, and writing part of one leaves
//! its other bytes as they were.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::journal::{DIRECTORY, Op};
use cloakroom_testing::Rng;

const SECTOR: usize = 512;

/// What becomes of that which was not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// None of it reached the disk.
    Lost,
    /// All of it did.
    Kept,
    /// Everything up to some instant, in order.
    Prefix,
    /// Each change did, or did not.
    Subset,
    /// Each sector did, or did not.
    Torn,
}

impl Fate {
    pub const ALL: [Fate; 5] = [Fate::Lost, Fate::Kept, Fate::Prefix, Fate::Subset, Fate::Torn];
}

/// The files of a directory.
pub type Disk = BTreeMap<String, Vec<u8>>;

/// A disk after these changes and then a power cut.
pub fn after(ops: &[Op], data: Fate, names: Fate, rng: &mut Rng) -> Disk {
    let flushed = flushed(ops);
    let is_flushed = |file, i| flushed.get(&file).is_some_and(|begun| i < *begun);
    let percent = [10, 50, 90][rng.index(3)];
    let until = rng.index(ops.len() + 1);
    let mut kept = |fate, i: usize| match fate {
        Fate::Lost => false,
        Fate::Kept => true,
        Fate::Prefix => i < until,
        Fate::Subset | Fate::Torn => rng.below(100) < percent,
    };
    let mut contents: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut named: BTreeMap<&str, u64> = BTreeMap::new();
    for (i, op) in ops.iter().enumerate() {
        match op {
            Op::Create { file, name } if is_flushed(DIRECTORY, i) || kept(names, i) => {
                named.insert(name, *file);
            }
            Op::Remove { name } if is_flushed(DIRECTORY, i) || kept(names, i) => {
                named.remove(name.as_str());
            }
            Op::Rename { from, to } if is_flushed(DIRECTORY, i) || kept(names, i) => {
                if let Some(file) = named.remove(from.as_str()) {
                    named.insert(to, file);
                }
            }
            Op::Write { file, at, data: bytes } => {
                let content = contents.entry(*file).or_default();
                if is_flushed(*file, i) {
                    write(content, *at, bytes);
                } else if data == Fate::Torn {
                    for (at, piece) in sectors(*at, bytes) {
                        if kept(data, i) {
                            write(content, at, piece);
                        }
                    }
                    // The size may be on the disk without what belongs there.
                    if content.len() < at + bytes.len() && kept(data, i) {
                        content.resize(at + bytes.len(), 0);
                    }
                } else if kept(data, i) {
                    write(content, *at, bytes);
                }
            }
            Op::Truncate { file, len } if is_flushed(*file, i) || kept(data, i) => {
                contents.entry(*file).or_default().resize(*len, 0);
            }
            _ => {}
        }
    }
    named.iter().map(|(name, file)| ((*name).to_owned(), contents.remove(file).unwrap_or_default())).collect()
}

/// For each file: everything before this place in the journal is on the disk.
fn flushed(ops: &[Op]) -> HashMap<u64, usize> {
    let mut begun = HashMap::new();
    let mut flushed = HashMap::new();
    for (i, op) in ops.iter().enumerate() {
        match op {
            Op::FlushBegins { file, flush } => {
                begun.insert(flush, (*file, i));
            }
            Op::FlushEnds { flush } => {
                let (file, since) = begun[flush];
                let until = flushed.entry(file).or_insert(since);
                *until = since.max(*until);
            }
            _ => {}
        }
    }
    flushed
}

fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

/// The pieces of a write that lie in one sector each.
fn sectors(mut at: usize, mut bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at((SECTOR - at % SECTOR).min(bytes.len()));
        pieces.push((at, piece));
        at += piece.len();
        bytes = rest;
    }
    pieces
}

/// The files of a real directory, apart from SQLite's shared memory.
pub fn of(dir: &Path) -> Disk {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let files = entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()));
    files.filter(|(name, _)| !name.ends_with("-shm")).collect()
}

/// Puts the files into an empty directory.
pub fn put(disk: &Disk, dir: &Path) {
    for (name, content) in disk {
        std::fs::write(dir.join(name), content).unwrap();
    }
}

#[test]
fn what_was_flushed_is_kept_and_what_was_not_is_lost() {
    let write = |at, byte| Op::Write { file: 2, at, data: vec![byte; 600] };
    let ops = [
        Op::Create { file: 2, name: "a".into() },
        Op::FlushBegins { file: DIRECTORY, flush: 1 },
        Op::FlushEnds { flush: 1 },
        write(0, 1),
        Op::FlushBegins { file: 2, flush: 2 },
        write(600, 2),
        Op::FlushEnds { flush: 2 },
        Op::Remove { name: "a".into() },
    ];
    let mut rng = Rng::new(1);
    let mut lost = |ops: &[Op]| after(ops, Fate::Lost, Fate::Lost, &mut rng);
    assert_eq!(lost(&ops[..2]), Disk::new(), "the name was not flushed");
    assert_eq!(lost(&ops[..6])["a"], b"", "the flush did not come to its end");
    assert_eq!(lost(&ops)["a"], vec![1; 600], "what came while it ran is not covered by it");
    assert_eq!(after(&ops, Fate::Kept, Fate::Kept, &mut rng), Disk::new());
    let kept = after(&ops, Fate::Kept, Fate::Lost, &mut rng);
    assert_eq!(kept["a"].len(), 1200);
    assert_eq!(
        sectors(600, &[0; 600]).iter().map(|(at, p)| (*at, p.len())).collect::<Vec<_>>(),
        [(600, 424), (1024, 176)]
    );
}

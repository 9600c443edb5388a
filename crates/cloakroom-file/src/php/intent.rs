//! What is about to be done to a session, on the disk before it is done.
//!
//! ```text
//! what is to be beside (see `kept`) · rest
//! rest = device (8) · inode (8) · when it was made (8) · file · old, or nothing · new, or nothing · when it was used (8) · heir's key (35) · heir's file, or nothing · CRC-32 (4)
//! ```
//!
//! PHP's file is written over in place, which is not one step. Whoever finds an intent and gets the file's lock knows that its writer is
//! dead, and by what is in the file how far it came: nothing was done, all of it, or a part. A part is completed. What PHP wrote since
//! stands. Where another file takes the place of PHP's (mini's, see `form`), there are no parts: it is there, or it is not. When all is done the intent is renamed to what is beside the session: it begins with it.

use std::path::{Path, PathBuf};

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;

use super::kept::Kept;
use super::value::Identity;

/// A change to one session, and the session that takes its place, if any.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Intent {
    pub(super) kept: Kept,
    /// PHP's file, below `session.save_path`.
    pub(super) file: PathBuf,
    pub(super) identity: Identity,
    /// `None`: the file is replaced, and not written over.
    pub(super) old: Option<Vec<u8>>,
    /// `None`: it is removed.
    pub(super) new: Option<Vec<u8>>,
    /// When it was last used, from then on.
    pub(super) used: Timestamp,
    /// Made after the intent was written, and before anything was done to the file.
    pub(super) heir: Option<(StoreKey, PathBuf)>,
}

/// What is to be done about an intent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Course {
    /// Nothing was done, or it is over: forget it.
    Forget,
    /// All was done, but for what is beside.
    Finish,
    /// A part of the new value was written.
    Complete,
}

/// A page of memory, in which a write is whole or not there.
const PAGE: usize = 4096;

impl Intent {
    pub(super) fn encode(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut rest = Vec::with_capacity(self.old.as_ref().map_or(0, Vec::len) + 256);
        rest.extend(self.identity.device.to_le_bytes());
        rest.extend(self.identity.inode.to_le_bytes());
        rest.extend(self.identity.born.to_le_bytes());
        let mut part = |bytes: Option<&[u8]>| match bytes {
            None => rest.extend(u32::MAX.to_le_bytes()),
            Some(bytes) => {
                rest.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1).to_le_bytes());
                rest.extend(bytes);
            }
        };
        part(Some(self.file.as_os_str().as_bytes()));
        part(self.old.as_deref());
        part(self.new.as_deref());
        part(Some(&self.used.as_millis().to_le_bytes()));
        part(self.heir.as_ref().map(|(key, _)| &key.as_bytes()[..]));
        part(self.heir.as_ref().map(|(_, file)| file.as_os_str().as_bytes()));
        let mut out = self.kept.encode();
        rest.extend(crc32fast::hash(&rest).to_le_bytes());
        out.extend(rest);
        out
    }

    /// `None`: its writer died over it, and had done nothing else.
    pub(super) fn decode(file: &[u8]) -> Option<Intent> {
        let (kept, rest) = Kept::decode(file)?;
        let (summed, sum) = rest.split_last_chunk::<4>()?;
        if crc32fast::hash(summed) != u32::from_le_bytes(*sum) {
            return None;
        }
        let mut rest = summed;
        let mut number = || -> Option<u64> {
            let (number, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            Some(u64::from_le_bytes(*number))
        };
        let identity = Identity { device: number()?, inode: number()?, born: number()? };
        let mut part = || -> Option<Option<&[u8]>> {
            let (len, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            let len = u32::from_le_bytes(*len);
            if len == u32::MAX {
                return Some(None);
            }
            let (bytes, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            rest = after;
            Some(Some(bytes))
        };
        let file = path(part()??);
        let old = part()?.map(<[u8]>::to_vec);
        let new = part()?.map(<[u8]>::to_vec);
        let used = Timestamp::from_millis(u64::from_le_bytes(part()??.try_into().ok()?));
        let (heir, heirs_file) = (part()?, part()?);
        let heir = match (heir, heirs_file) {
            (Some(key), Some(file)) => Some((StoreKey::from_bytes(key.try_into().ok()?), path(file))),
            _ => None,
        };
        Some(Intent { kept, file, identity, old, new, used, heir })
    }

    /// By what is in PHP's file. Its lock must be held, if it is there.
    pub(super) fn course(&self, there: Option<(Identity, &[u8])>) -> Course {
        match (&self.new, &self.old, there) {
            // PHP ended the session.
            (Some(_), _, None) => Course::Forget,
            (None, _, None) => Course::Finish,
            // Removed, or replaced; and what PHP did since stands.
            (None, _, Some((identity, _))) | (Some(_), None, Some((identity, _)))
                if identity != self.identity =>
            {
                Course::Finish
            }
            (None, _, Some(_)) | (Some(_), None, Some(_)) => Course::Forget,
            (Some(new), Some(_), Some((_, bytes))) if bytes == new => Course::Finish,
            (Some(_), Some(old), Some((_, bytes))) if bytes == old => Course::Forget,
            (Some(new), Some(old), Some((_, bytes))) if is_torn(bytes, old, new) => Course::Complete,
            // PHP wrote since.
            (Some(_), Some(_), Some(_)) => Course::Finish,
        }
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned()
}

/// Whether this is the one value with the other half written over it: as far as it was written when the process was killed, or page by page as
/// it came to the disk before the power failed. Never shorter than the shorter one.
fn is_torn(bytes: &[u8], old: &[u8], new: &[u8]) -> bool {
    let longer = old.len().max(new.len());
    if bytes.len() < old.len().min(new.len()) || bytes.len() > longer {
        return false;
    }
    let written = bytes.iter().zip(new).take_while(|(a, b)| a == b).count();
    let by_length = bytes.get(written..) == Some(old.get(written..).unwrap_or_default());
    let same = |from: &[u8], at: usize, page: &[u8]| from.get(at..at + page.len()) == Some(page);
    let by_page = || {
        let mut pages = bytes.chunks(PAGE).enumerate().map(|(n, page)| (n * PAGE, page));
        pages.all(|(at, page)| same(old, at, page) || same(new, at, page))
    };
    by_length || by_page()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(old: &[u8], new: Option<&[u8]>) -> Intent {
        Intent {
            kept: Kept { bytes: b"beside".to_vec(), until: Timestamp::from_millis(9), lease: None },
            file: "a/b/sess_x".into(),
            identity: Identity { device: 1, inode: 2, born: 3 },
            old: Some(old.to_vec()),
            new: new.map(<[u8]>::to_vec),
            used: Timestamp::from_millis(5),
            heir: Some((StoreKey::from_bytes([3; 35]), "a/c/sess_y".into())),
        }
    }

    #[test]
    fn an_intent_is_read_as_it_was_written_and_not_at_all_when_cut_or_changed() {
        let alone = Intent { heir: None, ..intent(b"", None) };
        let replaced = Intent { old: None, ..intent(b"", Some(b"n|i:2;")) };
        for intent in [intent(b"n|i:1;", Some(b"n|i:2;")), intent(b"n|i:1;", None), alone, replaced] {
            let file = intent.encode();
            assert_eq!(Intent::decode(&file), Some(intent.clone()));
            assert_eq!(Kept::decode(&file).unwrap().0, intent.kept, "it begins with what is to be beside");
            for len in 0..file.len() {
                assert!(Intent::decode(&file[..len]).is_none(), "cut to {len}");
            }
            for at in 0..file.len() {
                let mut file = file.clone();
                file[at] ^= 1;
                assert!(Intent::decode(&file).is_none(), "changed at {at}");
            }
        }
    }

    /// Whatever a write in place leaves when it stops: nothing of it, all of it, or something that is known as a part of it.
    #[test]
    fn whatever_a_killed_writer_leaves_is_known() {
        let long: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        let other: Vec<u8> = (0..14_000u32).map(|n| (n % 241) as u8).collect();
        for (old, new) in [
            (&b"n|i:1;"[..], &b"n|i:1;b|i:2;"[..]),
            (b"n|i:1;b|i:2;", b"n|i:1;"),
            (b"n|i:1;", b"n|i:2;"),
            (b"", b"n|i:2;"),
            (b"n|i:2;", b""),
            (&long, &other),
            (&other, &long),
        ] {
            let intent = intent(old, Some(new));
            let course = |bytes: &[u8]| intent.course(Some((intent.identity, bytes)));
            for written in (0..=new.len()).step_by(if new.len() > 100 { 97 } else { 1 }) {
                let mut there = new[..written].to_vec();
                there.extend(old.get(written..).unwrap_or_default());
                let expected = match &there[..] {
                    there if there == new => Course::Finish,
                    there if there == old => Course::Forget,
                    _ => Course::Complete,
                };
                assert_eq!(course(&there), expected, "{written} of {}", new.len());
            }
        }
    }

    #[test]
    fn what_php_wrote_since_stands() {
        let write = intent(b"n|i:1;user|i:7;", Some(b"n|i:2;user|i:7;"));
        let there = |bytes: &'static [u8]| Some((write.identity, bytes));
        assert_eq!(write.course(there(b"n|i:3;user|i:7;")), Course::Finish);
        // A logout by emptying the session is none of our halves.
        assert_eq!(write.course(there(b"")), Course::Finish);
        assert_eq!(write.course(None), Course::Forget);
        let removal = intent(b"n|i:1;", None);
        assert_eq!(removal.course(None), Course::Finish);
        assert_eq!(removal.course(Some((removal.identity, b"n|i:1;"))), Course::Forget);
        for another in [Identity { inode: 3, ..removal.identity }, Identity { born: 4, ..removal.identity }] {
            assert_eq!(removal.course(Some((another, b"n|i:1;"))), Course::Finish);
        }
        // Whatever is in it: it has taken the place, or it has not.
        let replaced = Intent { old: None, ..write };
        let another = Identity { inode: 3, ..replaced.identity };
        for bytes in [&b"n|i:1;user|i:7;"[..], b"n|i:2;user|i:7;", b"n|i:2;user|i:1;", b""] {
            assert_eq!(replaced.course(Some((replaced.identity, bytes))), Course::Forget);
            assert_eq!(replaced.course(Some((another, bytes))), Course::Finish);
        }
        assert_eq!(replaced.course(None), Course::Forget);
    }
}

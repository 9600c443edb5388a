//! Where things are: from a key to a path, and from a name back to a key.
//!
//! A name is made of hexadecimal digits of a digest and of nothing else, so whatever a client sends leads to a file
//! directly in one of the directories of the store.

use std::path::{Path, PathBuf};

use cloakroom::{StoreKey, UserId};

/// Directories of sessions.
pub(crate) const ENTRY_DIRS: usize = 64;
/// Directories of users.
pub(crate) const USER_DIRS: usize = 32;

/// What begins so is not a session yet.
const UNFINISHED: &str = ".new-";

/// The paths below the store's directory.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: PathBuf) -> Self {
        Layout { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    pub(crate) fn redo(&self) -> PathBuf {
        self.root.join("redo")
    }

    /// One of [`ENTRY_DIRS`].
    pub(crate) fn entry_dir(&self, n: usize) -> PathBuf {
        self.root.join(format!("entries/{n:02x}"))
    }

    /// One of [`USER_DIRS`].
    pub(crate) fn user_dir(&self, n: usize) -> PathBuf {
        self.root.join(format!("users/{n:02x}"))
    }

    /// The file of a session.
    pub(crate) fn entry(&self, key: &StoreKey) -> PathBuf {
        self.root.join(format!("entries/{:02x}/{}", entry_dir_of(key), name(key)))
    }

    /// A file that is to become a session's.
    pub(crate) fn unfinished(&self, key: &StoreKey, token: u64) -> PathBuf {
        self.root.join(format!("entries/{:02x}/{UNFINISHED}{token:016x}", entry_dir_of(key)))
    }

    /// The directory of a user's sessions.
    pub(crate) fn user(&self, user: &UserId) -> PathBuf {
        self.root.join(format!("users/{:02x}/{}", user_dir_of(user), name(&StoreKey::of_user(user))))
    }
}

/// Which of the [`ENTRY_DIRS`] a session is in.
pub(crate) fn entry_dir_of(key: &StoreKey) -> usize {
    usize::from(key.hash64().to_le_bytes()[0]) % ENTRY_DIRS
}

/// Which of the [`USER_DIRS`] a user is in.
pub(crate) fn user_dir_of(user: &UserId) -> usize {
    entry_dir_of(&StoreKey::of_user(user)) % USER_DIRS
}

/// The name of a session's file.
pub(crate) fn name(key: &StoreKey) -> String {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(2 * StoreKey::LEN);
    for byte in key.as_bytes() {
        // Writing into a `String` does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The key whose file has this name; `None` for anything that [`name`] does not make.
pub(crate) fn key(name: &str) -> Option<StoreKey> {
    let mut bytes = [0; StoreKey::LEN];
    let (pairs, rest) = name.as_bytes().as_chunks::<2>();
    if pairs.len() != StoreKey::LEN || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(StoreKey::from_bytes(bytes))
}

/// Whether a file of this name is one that has not become a session.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use super::*;

    /// Whatever a key holds: a path of plain names, three below the root.
    #[test]
    fn no_key_leads_out_of_its_directory() {
        let layout = Layout::new(PathBuf::from("/store"));
        let hostile = [
            &b"../../../../etc/passwd\0\0\0\0\0\0\0\0\0\0\0\0\0"[..],
            &[b'/'; 35],
            &[0; 35],
            &[255; 35],
            &[b'.'; 35],
        ];
        let mut keys: Vec<StoreKey> =
            hostile.iter().map(|bytes| StoreKey::from_bytes((*bytes).try_into().unwrap())).collect();
        keys.extend((0..=255).map(|n| StoreKey::from_bytes([n; 35])));
        keys.push(StoreKey::of_user(&UserId::new("../../x").unwrap()));
        for key in keys {
            for path in [layout.entry(&key), layout.unfinished(&key, u64::MAX)] {
                let parts: Vec<_> = path.strip_prefix("/store").unwrap().components().collect();
                assert_eq!(parts.len(), 3, "{path:?}");
                assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
            }
            assert_eq!(super::key(&name(&key)), Some(key));
        }
        let user = layout.user(&UserId::new("../../x").unwrap());
        assert!(
            user.strip_prefix("/store/users")
                .unwrap()
                .components()
                .all(|c| matches!(c, Component::Normal(_)))
        );
    }

    #[test]
    fn a_name_that_no_key_has_is_no_key() {
        let good = name(&StoreKey::from_bytes([0xab; 35]));
        let long = format!("{good}00");
        for name in [
            "",
            "00",
            &good.to_uppercase(),
            &good[1..],
            &long,
            &good.replace('a', "g"),
            ".new-0000000000000000",
        ] {
            assert_eq!(key(name), None, "{name}");
        }
        assert!(is_unfinished(".new-0000000000000000") && !is_unfinished(&good));
    }
}

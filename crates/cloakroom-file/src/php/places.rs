//! Where things are: PHP's file of a session, and our own beside.

use std::path::{Path, PathBuf};

use cloakroom::{PlainId, StoreKey};
use cloakroom_php::CacheEntry;
use cloakroom_php::layout::{InFile, Layout};

use crate::layout;

/// Directories of our own, and locks: so many sessions can be written at the same time.
pub(super) const DIRS: usize = layout::ENTRY_DIRS;

/// The directories.
#[derive(Debug)]
pub(super) struct Places {
    /// `session.save_path`
    pub(super) save_path: PathBuf,
    /// How many levels of directories PHP has below it, each for one character of the id.
    pub(super) depth: usize,
    /// What is ours.
    pub(super) own: PathBuf,
}

/// One session.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) key: StoreKey,
    /// PHP's file, below `session.save_path`. `None`: PHP has no file for such an id.
    pub(super) file: Option<PathBuf>,
}

impl Places {
    pub(super) fn target(&self, layout: &Layout, id: &PlainId) -> Target {
        let name = layout.data_name(id);
        let file = match layout.in_file() {
            InFile::Session => file_of(self.depth, id.expose(), &name),
            InFile::CacheEntry => Some(CacheEntry::file_name(&name).into()),
        };
        Target { key: id.key(), file }
    }

    /// How many levels of directories there are for this layout's files.
    pub(super) fn depth_of(&self, layout: &Layout) -> usize {
        match layout.in_file() {
            InFile::Session => self.depth,
            InFile::CacheEntry => 0,
        }
    }

    pub(super) fn dir(&self, n: usize) -> PathBuf {
        self.own.join(format!("{n:02x}"))
    }

    /// The file that tells by a lock on it that somebody waits.
    pub(super) fn sign(&self) -> PathBuf {
        self.own.join("waiting")
    }

    /// What is beside a session.
    pub(super) fn kept(&self, key: &StoreKey) -> PathBuf {
        self.dir(layout::entry_dir_of(key)).join(layout::name(key))
    }

    /// What is about to be done to a session.
    pub(super) fn intent(&self, key: &StoreKey) -> PathBuf {
        self.dir(layout::entry_dir_of(key)).join(format!("{}{INTENT}", layout::name(key)))
    }

    /// A file that is to become what is beside a session.
    pub(super) fn unfinished(&self, key: &StoreKey) -> PathBuf {
        let token = cloakroom::OpId::generate().as_u64();
        self.dir(layout::entry_dir_of(key)).join(format!(".new-{token:016x}"))
    }
}

/// What the names of intents end with.
const INTENT: &str = ".intent";

/// The session that an intent of this name is about.
pub(super) fn intended(name: &str) -> Option<StoreKey> {
    layout::key(name.strip_suffix(INTENT)?)
}

/// As PHP makes it: a directory for each of the first characters, then the name. The rules for ids have made sure of their
/// characters; a prefix of the application's that leads elsewhere is no name.
fn file_of(depth: usize, id: &str, name: &str) -> Option<PathBuf> {
    let characters = id.get(..depth).filter(|start| start.len() < id.len())?;
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\0']);
    if !plain(name) || !plain(id) {
        return None;
    }
    let mut path: PathBuf = characters.chars().map(String::from).collect();
    path.push(name);
    Some(path)
}

/// Every directory that PHP may have sessions in, as far as it is there and can be told: the directories are named by one
/// character each.
pub(super) fn dirs_of_php(save_path: &Path, depth: usize) -> std::io::Result<Vec<PathBuf>> {
    let mut dirs = vec![save_path.to_owned()];
    for _ in 0..depth {
        let mut below = Vec::new();
        for dir in dirs {
            for there in std::fs::read_dir(dir)? {
                let there = there?;
                if there.file_name().len() == 1 && there.file_type()?.is_dir() {
                    below.push(there.path());
                }
            }
        }
        dirs = below;
    }
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_where_php_has_it_and_no_name_leads_elsewhere() {
        let id = "ab-,efghijklmnopqrstuvwxyz";
        let path = |depth| file_of(depth, id, &format!("sess_{id}"));
        assert_eq!(path(0), Some(PathBuf::from(format!("sess_{id}"))));
        assert_eq!(path(2), Some(PathBuf::from(format!("a/b/sess_{id}"))));
        assert_eq!(path(25).unwrap().components().count(), 26);
        // PHP asks for more characters than there are directories.
        assert_eq!(path(26), None);
        assert_eq!(path(300), None);
        for (id, name) in [
            (id, "../sess_x"),
            (id, "x/../../sess"),
            (id, ""),
            (id, ".."),
            ("../../../../../../etc/passwd", "sess_x"),
            (".aaaaaaaaaaaaaaaaaaaaaaaaa", "sess_x"),
            ("aaaaaaaaaaaaaaaaaaaaaa\0a", "sess_x"),
        ] {
            assert_eq!(file_of(1, id, name), None, "{name}");
        }
    }

    #[test]
    fn an_intent_names_its_session_and_nothing_else_does() {
        let places = Places { save_path: "/p".into(), depth: 0, own: "/p/own".into() };
        let key = StoreKey::from_bytes([0xab; 35]);
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(intended(&name(places.intent(&key))), Some(key));
        assert_eq!(intended(&name(places.kept(&key))), None);
        assert_eq!(intended(&name(places.unfinished(&key))), None);
    }
}

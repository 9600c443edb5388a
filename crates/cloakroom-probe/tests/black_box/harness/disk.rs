//! What a store on the disk holds, seen and changed behind the probe's back.

use std::any::Any;
use std::fs::File;
use std::path::{Path, PathBuf};

use cloakroom::StoreKey;
use rusqlite::Connection;

use super::Probe;

/// The sessions of a probe, in a database or in files.
pub enum Disk {
    Sqlite(Connection),
    Files(PathBuf),
}

impl Disk {
    pub fn of(probe: &Probe) -> Self {
        match probe.place.store {
            "sqlite" => Disk::Sqlite(Connection::open(probe.dir.path().join("sessions.db")).unwrap()),
            "file" => Disk::Files(probe.dir.path().join("sessions")),
            other => panic!("{other} has no files"),
        }
    }

    /// All entries, in the order of their keys.
    pub fn entries(&self) -> Vec<(StoreKey, Vec<u8>)> {
        let mut found: Vec<(StoreKey, Vec<u8>)> = match self {
            Disk::Sqlite(db) => {
                let mut rows = db.prepare("SELECT key, entry FROM entries").unwrap();
                let row = |row: &rusqlite::Row<'_>| Ok((StoreKey::from_bytes(row.get(0)?), row.get(1)?));
                rows.query_map([], row).unwrap().map(Result::unwrap).collect()
            }
            // One that is being replaced at this moment is there under its name all the same.
            Disk::Files(dir) => {
                files(dir).iter().map(|file| (key_of(file), std::fs::read(file).unwrap())).collect()
            }
        };
        found.sort();
        found
    }

    /// Puts other bytes in an entry's place.
    pub fn replace(&self, key: StoreKey, entry: &[u8]) {
        match self {
            Disk::Sqlite(db) => {
                let sql = "UPDATE entries SET entry = ?1 WHERE key = ?2";
                assert_eq!(db.execute(sql, (entry, key.as_bytes())).unwrap(), 1);
            }
            Disk::Files(dir) => {
                let file = files(dir).into_iter().find(|file| key_of(file) == key).unwrap();
                std::fs::write(file, entry).unwrap();
            }
        }
    }

    /// Removes all entries.
    pub fn clear(&self) {
        match self {
            Disk::Sqlite(db) => {
                db.execute("DELETE FROM entries", []).unwrap();
            }
            Disk::Files(dir) => files(dir).iter().for_each(|file| std::fs::remove_file(file).unwrap()),
        }
    }

    /// Somebody else's lock on everything: nothing can be written until it is dropped.
    pub fn block(self) -> Box<dyn Any> {
        match self {
            Disk::Sqlite(db) => {
                // Dropped with its transaction.
                db.execute_batch("BEGIN IMMEDIATE").unwrap();
                Box::new(db)
            }
            Disk::Files(dir) => {
                let locked: Vec<File> = dirs(&dir).iter().map(|dir| File::open(dir).unwrap()).collect();
                locked.iter().for_each(|dir| dir.lock().unwrap());
                Box::new(locked)
            }
        }
    }

    /// What the store's own kind has to say of its soundness.
    pub fn assert_sound(&self) {
        match self {
            Disk::Sqlite(db) => {
                let found: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
                assert_eq!(found, "ok");
            }
            Disk::Files(_) => {
                for (key, entry) in self.entries() {
                    let decoded = cloakroom::store::wire::decode(&key, &entry);
                    assert!(decoded.is_ok(), "{key:?}: {decoded:?}");
                }
            }
        }
    }
}

fn dirs(store: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(store.join("entries")).unwrap().map(|dir| dir.unwrap().path()).collect()
}

fn files(store: &Path) -> Vec<PathBuf> {
    let files = dirs(store).into_iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
    let files = files.map(|file| file.unwrap().path());
    files.filter(|file| !file.file_name().unwrap().to_str().unwrap().starts_with('.')).collect()
}

fn key_of(file: &Path) -> StoreKey {
    let name = file.file_name().unwrap().to_str().unwrap();
    let digits: Vec<u8> = name.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    StoreKey::from_bytes(bytes.try_into().unwrap())
}

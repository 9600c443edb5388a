//! Live sessions on their way from PHP's files to the store's own, where this test plays PHP.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/moving/mod.rs"]
mod moving;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom_file::FileStore;
use cloakroom_file::php::{Layout, PhpFiles, Stage};
use cloakroom_php::layout::{Moving, PhpSessions};
use cloakroom_php::{Format, Session};
use moving::late::{Calls, Late};
use moving::{Application, moving_suite};

/// An application that keeps its sessions in files.
struct InFiles {
    folder: tempfile::TempDir,
    held: Mutex<HashMap<String, File>>,
}

fn all() -> [InFiles; 1] {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("php")).unwrap();
    [InFiles { folder, held: Mutex::default() }]
}

impl InFiles {
    fn path(&self, id: &str) -> PathBuf {
        self.folder.path().join("php").join(format!("sess_{id}"))
    }

    /// As PHP opens it.
    fn opened(&self, id: &str) -> File {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(self.path(id)).unwrap()
    }
}

impl Application for InFiles {
    fn layout(&self) -> Layout {
        Layout::php_files().user_variable("user_id")
    }

    async fn moving_with(&self, stage: Stage, new: Arc<dyn Store>, calls: Calls) -> Arc<dyn Store> {
        // On a machine that is busy with other things, whoever has a lock is slow to give it back.
        let files = PhpFiles::builder(self.folder.path().join("php")).busy_timeout(Duration::from_secs(20));
        let php = PhpSessions::new(Late::new(files.open().await.unwrap(), calls), self.layout());
        Arc::new(Moving::new(php, new, stage))
    }

    async fn place(&self) -> Arc<dyn Store> {
        Arc::new(FileStore::open(self.folder.path().join("ours")).await.unwrap())
    }

    fn writes(&self, id: &str, variables: &str) {
        let session = Session::decode(Format::PhpSerialize, variables.as_bytes()).unwrap();
        let value = session.encode_as(Format::Php).unwrap();
        let held = self.held.lock().unwrap();
        let opened = self.opened(id);
        if !held.contains_key(id) {
            opened.lock().unwrap();
        }
        opened.set_len(0).unwrap();
        opened.write_all_at(&value, 0).unwrap();
    }

    fn ends(&self, id: &str) {
        std::fs::remove_file(self.path(id)).unwrap();
    }

    fn has(&self, id: &str) -> bool {
        self.path(id).exists()
    }

    fn locks(&self, id: &str) -> bool {
        let opened = self.opened(id);
        opened.lock().unwrap();
        self.held.lock().unwrap().insert(id.to_owned(), opened);
        true
    }

    fn unlocks(&self, id: &str) {
        self.held.lock().unwrap().remove(id);
    }
}

moving_suite!(all());

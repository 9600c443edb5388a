//! From a path to a directory that can be trusted.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use cloakroom::clock::deadline_in;

use crate::error::Trouble;
use crate::files::Disk;
use crate::layout::{ENTRY_DIRS, Layout, USER_DIRS, is_unfinished};
use crate::redo::Redo;
use crate::stripes::{Stripes, lock_file};
use crate::{FileBuilder, OpenError, OpenErrorKind};

/// The layout made today. Older ones, once there are any, stay readable.
const FORMAT: u32 = 1;
const FORMAT_BEGINS: &str = "cloakroom sessions, format ";

/// Opens the directory, makes what is missing in it.
pub(crate) fn open(settings: &FileBuilder) -> Result<Disk, OpenError> {
    let path = &settings.path;
    if path.as_os_str().is_empty() {
        return Err(OpenError::new(OpenErrorKind::NotAPath, path));
    }
    let path = &std::path::absolute(path).map_err(|error| OpenError::from_io(path, error))?;
    let failed = |error| OpenError::from_io(path, error);
    make(path).map_err(failed)?;
    trust(path, &std::fs::metadata(path).map_err(failed)?)?;

    let root = File::open(path).map_err(failed)?;
    // One process at a time decides what this directory is.
    lock_file(&root, deadline_in(settings.busy_timeout), None).map_err(|trouble| match trouble {
        Trouble::Io(error) => failed(error),
        _ => OpenError::new(OpenErrorKind::Busy, path),
    })?;
    let layout = Layout::new(path.clone());
    identify(&layout, &root)?;
    for part in ["entries", "users"] {
        furnish(path, &path.join(part))?;
    }
    for dir in (0..ENTRY_DIRS).map(|n| layout.entry_dir(n)) {
        furnish(path, &dir)?;
    }
    for dir in (0..USER_DIRS).map(|n| layout.user_dir(n)) {
        furnish(path, &dir)?;
    }
    let redo = Redo::open(&layout.redo()).map_err(failed)?;
    let synced = ["entries", "users"].iter().try_for_each(|part| File::open(path.join(part))?.sync_all());
    synced.and_then(|()| root.sync_all()).map_err(failed)?;
    let stripes = Stripes::of(&layout).map_err(failed)?;
    root.unlock().map_err(failed)?;
    Ok(Disk { layout, stripes, redo, durability: settings.durability })
}

/// Makes a directory for this user only, if there is none.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => match path.parent() {
            // A directory whose name is not on the disk is lost with a power failure, whatever was flushed into it.
            Some(above) => File::open(above)?.sync_all(),
            None => Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whoever can write into a directory can put a session there, as whichever user they like.
pub(crate) fn trust(path: &Path, there: &Metadata) -> Result<(), OpenError> {
    let refuse = |kind| Err(OpenError::new(kind, path));
    if !there.is_dir() {
        return refuse(OpenErrorKind::NotADirectory);
    }
    if there.uid() != rustix::process::geteuid().as_raw() {
        return refuse(OpenErrorKind::NotOurs { owner: there.uid() });
    }
    if there.mode() & 0o022 != 0 {
        return refuse(OpenErrorKind::WritableByOthers { mode: there.mode() });
    }
    Ok(())
}

/// One of the store's own directories.
pub(crate) fn furnish(root: &Path, dir: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_io(root, error);
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            trust(dir, &dir.symlink_metadata().map_err(failed)?)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whose directory this is. An empty one becomes a store.
fn identify(layout: &Layout, root: &File) -> Result<(), OpenError> {
    let path = layout.root();
    let failed = |error| OpenError::from_io(path, error);
    match std::fs::read(layout.format()) {
        Ok(text) => return known(&text).map_err(|kind| OpenError::new(kind, path)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    for there in std::fs::read_dir(path).map_err(failed)? {
        let name = there.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        // A file system has this one from the start.
        if name != "lost+found" && !is_unfinished(&name) {
            return Err(OpenError::new(OpenErrorKind::Foreign, path));
        }
    }
    write_format(layout, root).map_err(failed)
}

fn known(text: &[u8]) -> Result<(), OpenErrorKind> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.strip_prefix(FORMAT_BEGINS));
    match number.and_then(|number| number.trim_end().parse().ok()) {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(OpenErrorKind::NewerFormat { found, supported: FORMAT }),
        _ => Err(OpenErrorKind::Corrupt),
    }
}

fn write_format(layout: &Layout, root: &File) -> io::Result<()> {
    let unfinished = layout.root().join(".new-format");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(format!("{FORMAT_BEGINS}{FORMAT}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(unfinished, layout.format())?;
    root.sync_all()
}

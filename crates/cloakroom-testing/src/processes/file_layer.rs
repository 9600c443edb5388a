//! Disks that fail: a file layer of a test's own under a process, whose calls fail when they are told to.

use std::path::{Path, PathBuf};
use std::process::Command;

const FAULTS: &str = "CLOAKROOM_FAULTS";

/// A file layer of a test's own: a library in C whose functions stand before the system's. On Linux.
///
/// What is to fail is a file in a folder that both sides know, `CLOAKROOM_FAULTS` in the environment: the library fails as long as it is there, see [`Switch`].
pub struct FileLayer {
    dir: tempfile::TempDir,
}

impl FileLayer {
    /// Compiles it from this source, with `cc`, which has to be there and must not have anything to say about it.
    #[must_use]
    pub fn of(source: impl AsRef<Path>) -> Self {
        let layer = FileLayer { dir: tempfile::tempdir().unwrap() };
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
        cc.arg(layer.library()).arg(source.as_ref());
        assert!(cc.status().expect("a C compiler, `cc`, is needed").success());
        layer
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("layer.so")
    }

    /// Puts it under the process that this command starts.
    pub fn under<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("LD_PRELOAD", self.library())
    }

    /// The same, with a folder for what is to fail, which is made if it is not there.
    pub fn under_with_faults<'c>(&self, command: &'c mut Command, faults: &Path) -> &'c mut Command {
        std::fs::create_dir_all(faults).unwrap();
        self.under(command).env(FAULTS, faults)
    }
}

/// In the child: something that fails as long as this is there.
pub struct Switch(PathBuf);

impl Switch {
    /// Makes this fail from now on.
    #[must_use]
    pub fn on(name: &str) -> Self {
        let path = Path::new(&std::env::var_os(FAULTS).unwrap()).join(name);
        std::fs::write(&path, "").unwrap();
        Switch(path)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

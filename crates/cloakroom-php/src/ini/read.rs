//! The files, one over the other, and which line a setting comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::findings::{Finding, Severity};
use super::session::SessionIni;
use super::syntax::{self, Value};

/// A configuration file larger than this is not one.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// A file that could not be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IniError {
    /// The system would not let it be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// It is larger than [`MAX_FILE_BYTES`].
    #[error("{}: larger than {MAX_FILE_BYTES} bytes, which is no php.ini", .0.display())]
    TooLarge(PathBuf),
}

/// PHP's settings of sessions, from one file or from several.
///
/// PHP reads `php.ini`, then all `*.ini` of a folder in the order of their names (`php --ini` tells which), and PHP-FPM lays a
/// pool's `php_value[…]` and `php_admin_value[…]` over them: [`read`](PhpIni::read) takes all of these, in that order. What a
/// `.user.ini`, the web server or `ini_set` say is not seen here.
///
/// `Debug` shows no value: there are passwords among them.
#[derive(Default)]
pub struct PhpIni {
    settings: BTreeMap<String, Setting>,
    /// What was wrong with the files themselves.
    pub(super) troubles: Vec<Finding>,
}

pub(super) struct Setting {
    pub(super) value: String,
    pub(super) place: String,
    rank: Rank,
}

/// What goes over what, whichever is read first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Ini,
    Pool,
    /// `php_admin_value`: an application cannot change it either.
    Admin,
}

impl fmt::Debug for PhpIni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhpIni").field("settings", &self.settings.keys()).finish_non_exhaustive()
    }
}

impl PhpIni {
    /// Reads files, and folders' `*.ini` in the order of their names, the later over the earlier.
    ///
    /// # Errors
    /// When a file cannot be read. What is wrong in a file is told by [`SessionIni::findings`].
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, IniError> {
        let mut ini = Self::default();
        for path in paths {
            let path = path.as_ref();
            let failed = |error| IniError::Io { path: path.to_owned(), error };
            if !path.is_dir() {
                ini.read_file(path)?;
                continue;
            }
            let mut files = Vec::new();
            for entry in std::fs::read_dir(path).map_err(failed)? {
                let file = entry.map_err(failed)?.path();
                if file.extension().is_some_and(|ext| ext == "ini") {
                    files.push(file);
                }
            }
            files.sort();
            files.iter().try_for_each(|file| ini.read_file(file))?;
        }
        Ok(ini)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), IniError> {
        let failed = |error| IniError::Io { path: path.to_owned(), error };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(IniError::TooLarge(path.to_owned()));
        }
        self.add(&path.display().to_string(), &bytes);
        Ok(())
    }

    /// Lays the text of a file over what was read before; `name` is what messages call it. `${NAME}` is taken from this
    /// process's environment.
    pub fn add(&mut self, name: &str, text: &[u8]) {
        self.add_with(name, text, &|name| std::env::var(name).ok());
    }

    /// As [`add`](Self::add), with the values of `${NAME}` from `lookup`.
    pub fn add_with(&mut self, name: &str, text: &[u8], lookup: &dyn Fn(&str) -> Option<String>) {
        let read = syntax::read(&String::from_utf8_lossy(text), lookup);
        for directive in read.directives {
            let place = format!("{name}:{}", directive.line);
            let (key, rank) = of_pool(&directive.key);
            if !is_ours(key) {
                continue;
            }
            if ["PATH=", "HOST="].iter().any(|kind| directive.section.starts_with(kind)) {
                self.troubles.push(Finding {
                    severity: Severity::Note,
                    setting: key.to_owned(),
                    place,
                    why: format!(
                        "is set for [{}] alone, and is not taken over: sessions there differ from the rest",
                        directive.section
                    ),
                    change: "put it outside of [PATH=…] and [HOST=…]".to_owned(),
                });
                continue;
            }
            let value = match directive.value {
                Value::Text(value) => value,
                Value::Calculated(operator) => {
                    self.troubles.push(Finding::loses(
                        key,
                        &place,
                        format!(
                            "has `{operator}` outside of quotation marks: PHP calculates a number from it"
                        ),
                        format!("{key} = \"…\""),
                    ));
                    continue;
                }
                Value::Unset(variable) => {
                    self.troubles.push(Finding {
                        severity: Severity::Risk,
                        setting: key.to_owned(),
                        place,
                        why: format!("needs ${{{variable}}}, which is not set here"),
                        change: format!("run this where {variable} is set as it is for PHP"),
                    });
                    continue;
                }
            };
            let known = self.settings.get(key);
            if known.is_some_and(|known| known.rank > rank) {
                continue;
            }
            self.settings.insert(key.to_owned(), Setting { value, place, rank });
        }
        if let Some(stop) = read.stops {
            self.troubles.push(Finding::loses(
                "php.ini",
                &format!("{name}:{}", stop.line),
                format!("{}: PHP stops reading here and ignores the rest of the file", stop.why),
                "write NAME = \"VALUE\"".to_owned(),
            ));
        }
    }

    /// What the files say of sessions, with PHP's own defaults where they say nothing.
    #[must_use]
    pub fn session(&self) -> SessionIni {
        SessionIni::of(self)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }
}

/// `php_value[session.name]` of a pool is `session.name`.
fn of_pool(key: &str) -> (&str, Rank) {
    let kinds = [
        ("php_admin_value[", Rank::Admin),
        ("php_admin_flag[", Rank::Admin),
        ("php_value[", Rank::Pool),
        ("php_flag[", Rank::Pool),
    ];
    kinds
        .iter()
        .find_map(|(open, rank)| Some((key.strip_prefix(open)?.strip_suffix(']')?, *rank)))
        .unwrap_or((key, Rank::Ini))
}

fn is_ours(key: &str) -> bool {
    key.starts_with("session.")
        || key.starts_with("redis.session.")
        || ["igbinary.compact_strings", "max_execution_time"].contains(&key)
}

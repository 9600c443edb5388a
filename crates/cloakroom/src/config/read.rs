//! Reading the file and laying the environment over it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::Settings;
use super::suggest::nearest;
use super::table::{SETTINGS, Setting};
use super::value::Value;
use super::{ConfigError, Connection, Environment, Place, Problem};

/// The file that is read where none is named.
pub const FILE_NAME: &str = "cloakroom.toml";

/// A longer file is refused unread.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// What was read: the settings, where each came from, and the connections.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The settings, the environment over the file over the defaults.
    pub settings: Settings,
    pub(super) connections: BTreeMap<String, Connection>,
    pub(super) sources: BTreeMap<&'static str, Place>,
    notes: Vec<String>,
}

impl Configuration {
    /// Reads [`FILE_NAME`] in the working directory, where there is one, and lays the environment of the process
    /// over it.
    ///
    /// # Errors
    /// Everything that is wrong with either.
    pub fn load() -> Result<Self, ConfigError> {
        let env = Environment::of_process();
        let path = Path::new(FILE_NAME);
        // Only "not there" means that there is no file: one that cannot be read is an error, and so is a
        // directory, a dangling link or a folder that may not be looked into.
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::of_environment(&env),
            _ => Self::read(path, &env),
        }
    }

    /// Reads a file and lays the variables over it.
    ///
    /// # Errors
    /// Everything that is wrong with either; also where the file is missing.
    pub fn read(path: impl AsRef<Path>, env: &Environment) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let name = path.to_string_lossy();
        let unreadable = |error: std::io::Error| {
            ConfigError::new(Problem::anywhere(format!("{name}: cannot be read: {error}")))
                .with_source(error.into())
        };
        let mut text = Vec::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE_BYTES + 1), &mut text)
            .map_err(unreadable)?;
        Self::parse(&name, &text, env)
    }

    /// No file: the variables over the defaults.
    ///
    /// # Errors
    /// Everything that is wrong with the variables.
    pub fn of_environment(env: &Environment) -> Result<Self, ConfigError> {
        Self::parse_text(None, "", env)
    }

    /// Reads a file's bytes and lays the variables over them. `name` is what errors call the file.
    ///
    /// # Errors
    /// Everything that is wrong with either.
    pub fn parse(name: &str, bytes: &[u8], env: &Environment) -> Result<Self, ConfigError> {
        let name: Arc<str> = name.into();
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let what = format!("{name}: is longer than {MAX_FILE_BYTES} bytes: not a configuration");
            return Err(ConfigError::new(Problem::anywhere(what)));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let valid = String::from_utf8_lossy(valid);
            let place = Place::in_file(&name, &valid, valid.len());
            ConfigError::new(Problem::at(place, "is not UTF-8"))
        })?;
        Self::parse_text(Some(name), text, env)
    }

    fn parse_text(name: Option<Arc<str>>, text: &str, env: &Environment) -> Result<Self, ConfigError> {
        let mut read = Reading {
            name: name.unwrap_or_else(|| FILE_NAME.into()),
            text,
            settings: Settings::default(),
            sources: BTreeMap::new(),
            connections: BTreeMap::new(),
            problems: Vec::new(),
        };
        let document = DeTable::parse(text).map_err(|error| read.syntax(&error))?;
        read.table("", document.get_ref(), env);
        let notes = read.environment(env);
        read.together();
        ConfigError::check(read.problems)?;
        Ok(Configuration {
            settings: read.settings,
            connections: read.connections,
            sources: read.sources,
            notes,
        })
    }

    /// Where the setting with this key (`session.idle`) came from.
    pub fn place_of(&self, key: &str) -> &Place {
        self.sources.get(key).unwrap_or(&Place::Default)
    }

    /// Things to tell whoever runs the program, that are no errors: variables that look like misspelt settings.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The reading of one file and its environment.
struct Reading<'t> {
    name: Arc<str>,
    text: &'t str,
    settings: Settings,
    sources: BTreeMap<&'static str, Place>,
    connections: BTreeMap<String, Connection>,
    problems: Vec<Problem>,
}

impl<'t> Reading<'t> {
    fn place(&self, span: std::ops::Range<usize>) -> Place {
        Place::in_file(&self.name, self.text, span.start)
    }

    /// The parser's own error would quote the line, which may hold a password: only its message is taken.
    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let what = format!("not TOML: {}", error.message());
        ConfigError::new(match error.span() {
            Some(span) => Problem::at(self.place(span), what),
            None => Problem::anywhere(format!("{}: {what}", self.name)),
        })
    }

    /// Reads the settings of one table of the file; `prefix` is empty or ends with a dot.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>, env: &Environment) {
        // In the order of the file, so that the first problem reported is the first one in the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let full = format!("{prefix}{}", key.get_ref());
            if full == "connections" {
                self.connections(value, env);
            } else if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == full) {
                let place = self.place(value.span());
                self.set(setting, Value::Toml(value.get_ref()), place);
            } else if prefix.is_empty() && is_table(&full) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(&format!("{full}."), inner, env),
                    _ => self.problems.push(Problem::at(
                        self.place(value.span()),
                        format!("{full} is a table: write [{full}] and its settings below it"),
                    )),
                }
            } else {
                self.unknown(&full, key.span());
            }
        }
    }

    fn set(&mut self, setting: &Setting, value: Value<'_>, place: Place) {
        match (setting.set)(&mut self.settings, value) {
            Ok(()) => {
                self.sources.insert(setting.key, place);
            }
            Err(refusal) => {
                // A variable is named by its place already.
                let named = match place {
                    Place::Environment { .. } => String::new(),
                    _ => format!("{} = ", setting.key),
                };
                let what = format!("{named}{value} {refusal}; accepted: {}", setting.accepts);
                self.problems.push(Problem::at(place, what));
            }
        }
    }

    fn unknown(&mut self, full: &str, span: std::ops::Range<usize>) {
        let keys = || SETTINGS.iter().map(|setting| setting.key);
        let last = full.rsplit('.').next().unwrap_or(full);
        // The right key in the wrong table is as near as a misspelt one.
        let meant = nearest(full, keys().chain(["connections"]))
            .or_else(|| keys().find(|key| key.rsplit('.').next() == Some(last)))
            .or_else(|| nearest(full, tables()));
        let mut what = format!("{} is not a setting", shown_key(full));
        if let Some(meant) = meant {
            what.push_str(&format!("; did you mean {meant}?"));
        }
        self.problems.push(Problem::at(self.place(span), what));
    }

    fn connections(&mut self, value: &Spanned<DeValue<'_>>, env: &Environment) {
        let wrong = "connections holds tables: write [connections.NAME] and its settings below it";
        let DeValue::Table(connections) = value.get_ref() else {
            self.problems.push(Problem::at(self.place(value.span()), wrong));
            return;
        };
        for (key, value) in connections {
            let place = self.place(key.span());
            match value.get_ref() {
                DeValue::Table(table) => {
                    let name = key.get_ref();
                    let connection = Connection::read(name, place, table, env, |span| self.place(span));
                    self.connections.insert(name.to_string(), connection);
                }
                _ => self.problems.push(Problem::at(place, wrong)),
            }
        }
    }

    /// Lays the variables over what the file said; answers with what looks misspelt.
    fn environment(&mut self, env: &Environment) -> Vec<String> {
        let file_driver = self.settings.driver.clone();
        for setting in SETTINGS {
            let mut set = setting.variables.iter().filter_map(|name| Some((*name, env.get(name)?)));
            let Some((variable, value)) = set.next() else { continue };
            let place = Place::variable(variable);
            if let Some((other, _)) = set.find(|(_, other)| *other != value) {
                let what = format!("says another value than {other}: set one of them");
                self.problems.push(Problem::at(place, what));
                continue;
            }
            match value.to_str() {
                Some(text) => self.set(setting, Value::Variable(text.trim()), place),
                None => self.problems.push(Problem::at(place, "is not UTF-8")),
            }
        }
        // A file's connection belongs to the file's driver: with `SESSION_DRIVER=memory` for a test run it must
        // not follow along.
        let from_env = |key| matches!(self.sources.get(key), Some(Place::Environment { .. }));
        if from_env("driver") && !from_env("connection") && self.settings.driver != file_driver {
            let kept = self.settings.connection.as_ref().and_then(|name| self.connections.get(name));
            let its_driver = kept.and_then(|connection| connection.driver().ok().flatten());
            if its_driver.is_none() || its_driver != self.settings.driver.as_deref() {
                self.settings.connection = None;
                self.sources.remove("connection");
            }
        }
        misspelt(env)
    }

    /// What is right alone and wrong together.
    fn together(&mut self) {
        let session = &self.settings.session;
        if session.idle > session.absolute {
            let idle = self.sources.get("session.idle").unwrap_or(&Place::Default);
            let absolute = self.sources.get("session.absolute").unwrap_or(&Place::Default);
            let (place, set) = if *idle == Place::Default { (absolute, idle) } else { (idle, absolute) };
            let what = format!(
                "session.idle ({:?}) is longer than session.absolute ({:?}; {set}): no session would live to see \
                 it; shorten the one, or lengthen the other (SESSION_ABSOLUTE)",
                session.idle, session.absolute,
            );
            let problem = Problem::at(place.clone(), what);
            self.problems.push(problem);
        }
    }
}

/// Variables that are no setting and look like one.
fn misspelt(env: &Environment) -> Vec<String> {
    const PREFIX: &str = "SESSION_";
    let known =
        || SETTINGS.iter().flat_map(|setting| setting.variables).filter_map(|name| name.strip_prefix(PREFIX));
    env.names()
        .filter_map(|name| name.strip_prefix(PREFIX))
        .filter(|rest| !known().any(|known| known == *rest))
        .filter_map(|rest| Some((rest, nearest(rest, known())?)))
        .map(|(rest, meant)| format!("{PREFIX}{rest} is not a setting; did you mean {PREFIX}{meant}?"))
        .collect()
}

/// The tables of the file that hold settings.
fn tables() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().filter_map(|setting| setting.key.split_once('.')).map(|(table, _)| table)
}

fn is_table(name: &str) -> bool {
    tables().any(|table| table == name)
}

/// A key for an error: short and on one line.
pub(super) fn shown_key(key: &str) -> String {
    let mut shown: String = key.chars().take(60).flat_map(char::escape_debug).collect();
    if key.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

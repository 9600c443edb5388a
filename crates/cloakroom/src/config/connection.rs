//! A connection: what a driver needs to know about the place where it keeps sessions.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::read::shown_key;
use super::suggest::nearest;
use super::value::{Refusal, Value};
use super::{ConfigError, Environment, Place, Problem};

/// The settings of one connection, as its driver gets them: the table `[connections.NAME]`, or nothing where the
/// driver is used without one.
///
/// A value is read by the accessor of its type, which names the place of what it refuses. A value written as
/// `{ env = "NAME" }` is taken from that environment variable: the way to keep a password out of the file.
///
/// Neither `Debug` nor any error shows a value: every one of them may be a secret.
#[derive(Clone)]
pub struct Connection {
    name: String,
    place: Place,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone)]
struct Entry {
    key_place: Place,
    place: Place,
    held: Held,
}

/// A value, owned.
#[derive(Clone)]
enum Held {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<String>),
    /// From a variable.
    Variable(String),
    /// From a variable that is not there, or is no text.
    NoVariable(String),
    /// Of a type that no driver takes.
    Other,
}

impl Connection {
    pub(super) fn read(
        name: &str,
        place: Place,
        table: &DeTable<'_>,
        env: &Environment,
        at: impl Fn(Range<usize>) -> Place,
    ) -> Self {
        let entry = |value: &toml::Spanned<DeValue<'_>>, key_span| Entry {
            key_place: at(key_span),
            place: at(value.span()),
            held: Held::of(value.get_ref(), env),
        };
        let entries =
            table.iter().map(|(key, value)| (key.get_ref().to_string(), entry(value, key.span()))).collect();
        Connection { name: name.to_owned(), place, entries }
    }

    /// A connection without settings, for a driver that is used without a table.
    pub(super) fn bare(name: &str, place: Place) -> Self {
        Connection { name: name.to_owned(), place, entries: BTreeMap::new() }
    }

    /// NAME, or the driver's name where there is no table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the table stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The driver that the table asks for, if it does.
    pub(super) fn driver(&self) -> Result<Option<&str>, ConfigError> {
        self.text("driver")
    }

    /// Whether the table says anything under this key, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Text.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        self.get(key, "text", |held| match held {
            Held::Text(text) | Held::Variable(text) => Ok(text.as_str()),
            _ => Err("is not text".into()),
        })
    }

    /// Text that must not stand in the file: it is given as `{ env = "NAME" }`.
    ///
    /// # Errors
    /// It stands there, or the variable is not set.
    pub fn secret(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        self.get(key, "{ env = \"NAME\" }", |held| match held {
            Held::Variable(text) => Ok(text.as_str()),
            _ => Err("must not stand in the file".into()),
        })
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is something else, or is negative, or does not fit.
    pub fn number<N: TryFrom<u64>>(&self, key: &str) -> Result<Option<N>, ConfigError> {
        self.get(key, "a whole number", |held| match held {
            Held::Number(number) => N::try_from(*number).map_err(|_| "is too large".into()),
            Held::Variable(text) => Value::Variable(text).number_in(0),
            _ => Err("is not a whole number that fits".into()),
        })
    }

    /// A switch.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.get(key, "true, false", |held| match held {
            Held::Flag(flag) => Ok(*flag),
            Held::Variable(text) => Value::Variable(text).flag(),
            _ => Err("is not a switch".into()),
        })
    }

    /// A duration: `"30s"`.
    ///
    /// # Errors
    /// It is something else, or zero, or longer than a hundred years.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>, ConfigError> {
        self.get(key, "a whole number and a unit (ms, s, m, h, d), such as \"30s\"", |held| match held {
            Held::Text(text) | Held::Variable(text) => Value::Variable(text).duration(),
            Held::Number(_) => Err("has no unit".into()),
            _ => Err("is not a duration".into()),
        })
    }

    /// A size in bytes: `65536` or `"64KiB"`.
    ///
    /// # Errors
    /// It is something else, or zero, or does not fit.
    pub fn size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.get(key, "bytes as a whole number, or with KiB or MiB", |held| match held {
            Held::Text(text) | Held::Variable(text) => Value::Variable(text).size(),
            Held::Number(number) => Value::Variable(&number.to_string()).size(),
            _ => Err("is not a size".into()),
        })
    }

    /// A list of text.
    ///
    /// # Errors
    /// It is something else.
    pub fn list(&self, key: &str) -> Result<Option<Vec<&str>>, ConfigError> {
        self.get(key, "a list of text", |held| match held {
            Held::List(items) => Ok(items.iter().map(String::as_str).collect()),
            Held::Variable(text) => Value::Variable(text).list(),
            _ => Err("is not a list of text".into()),
        })
    }

    /// The error for a value that has the right type and is wrong all the same. `why` ends a sentence that begins
    /// with the key and must not repeat the value: `"must be a path to a file; accepted: …"`.
    #[must_use]
    pub fn refuse(&self, key: &str, why: &str) -> ConfigError {
        let place = self.entries.get(key).map_or(&self.place, |entry| &entry.place);
        ConfigError::new(Problem::at(place.clone(), format!("{} {why}", self.full(key))))
    }

    /// The error of a store that could not be opened, naming the connection.
    pub(super) fn failed(&self, driver: &str, error: Box<dyn Error + Send + Sync>) -> ConfigError {
        let what = format!("the {driver} store did not open: {error}");
        ConfigError::new(Problem::at(self.place.clone(), what)).with_source(error)
    }

    /// Refuses keys that the driver does not know.
    pub(super) fn only(&self, driver: &str, keys: &[&str]) -> Result<(), ConfigError> {
        let known = |key: &str| key == "driver" || keys.contains(&key);
        let mut strange: Vec<_> = self.entries.iter().filter(|(key, _)| !known(key)).collect();
        strange.sort_by_key(|(_, entry)| entry.key_place.offset());
        let refused = strange.into_iter().map(|(key, entry)| {
            let mut what = format!("{} is not a setting of the {driver} driver", self.full(key));
            match (nearest(key, keys.iter().copied()), keys) {
                (Some(meant), _) => what.push_str(&format!("; did you mean {meant}?")),
                (None, []) => what.push_str("; it has none"),
                (None, keys) => what.push_str(&format!("; accepted: {}", keys.join(", "))),
            }
            Problem::at(entry.key_place.clone(), what)
        });
        ConfigError::check(refused.collect())
    }

    fn get<'c, T>(
        &'c self,
        key: &str,
        accepts: &str,
        read: impl FnOnce(&'c Held) -> Result<T, Refusal>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        if let Held::NoVariable(variable) = &entry.held {
            let why =
                format!("is to come from environment variable {}, which is not set", shown_key(variable));
            return Err(self.refuse(key, &why));
        }
        let refused = |refusal| self.refuse(key, &format!("{refusal}; accepted: {accepts}"));
        read(&entry.held).map(Some).map_err(refused)
    }

    fn full(&self, key: &str) -> String {
        format!("connections.{}.{}", shown_key(&self.name), shown_key(key))
    }
}

/// Why a driver refuses a setting that asks for what the program was built without, for [`Connection::refuse`]: what that is, and the feature of which
/// crate it takes. Such a setting is known in each build, so that it never passes in silence.
///
/// ```
/// let why = cloakroom::config::built_without("a cache", "cloakroom-example", "cache");
/// assert!(why.ends_with("build it with the feature cache of cloakroom-example, or leave the setting out"));
/// ```
#[must_use]
pub fn built_without(what: &str, of_crate: &str, feature: &str) -> String {
    format!(
        "asks for {what}, which this program was built without: build it with the feature {feature} of {of_crate}, or leave the setting \
         out"
    )
}

impl Held {
    fn of(value: &DeValue<'_>, env: &Environment) -> Self {
        let text = |value: &DeValue<'_>| Value::Toml(value).text().map(str::to_owned);
        match value {
            DeValue::String(text) => Held::Text(text.to_string()),
            DeValue::Integer(_) => Value::Toml(value).number().map_or(Held::Other, Held::Number),
            DeValue::Boolean(flag) => Held::Flag(*flag),
            DeValue::Array(items) => items
                .iter()
                .map(|item| text(item.get_ref()))
                .collect::<Result<_, _>>()
                .map_or(Held::Other, Held::List),
            DeValue::Table(table) => match (table.len(), table.get("env").map(|name| text(name.get_ref()))) {
                (1, Some(Ok(name))) => match env.get(&name).map(|value| value.to_str()) {
                    Some(Some(value)) => Held::Variable(value.to_owned()),
                    _ => Held::NoVariable(name),
                },
                _ => Held::Other,
            },
            DeValue::Float(_) | DeValue::Datetime(_) => Held::Other,
        }
    }
}

/// The keys, never a value.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .field("place", &format_args!("{}", self.place))
            .field("keys", &self.entries.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

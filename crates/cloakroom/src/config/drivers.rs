//! The drivers a program was built with, and opening the one that the configuration asks for.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::suggest::nearest;
use super::{ConfigError, Configuration, Connection, Place, Problem};
use crate::store::Store;

/// Why a driver could not open its store. A [`ConfigError`] passes through as it is; anything else is reported
/// with the place of the connection, and its text must hold no credential.
pub type OpenError = Box<dyn Error + Send + Sync>;

type Opening = Pin<Box<dyn Future<Output = Result<Arc<dyn Store>, OpenError>> + Send>>;

/// Makes stores of one kind from [`Connection`]s.
pub struct Driver {
    name: &'static str,
    aliases: &'static [&'static str],
    keys: &'static [&'static str],
    open: Box<dyn Fn(Connection) -> Opening + Send + Sync>,
}

impl Driver {
    /// A driver of this name, that knows these keys in a connection's table. Others are refused before `open` runs.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cloakroom::config::{Connection, Driver, OpenError};
    /// use cloakroom::store::Store;
    ///
    /// # fn open_my_store(path: &str) -> Result<Arc<dyn Store>, OpenError> { Err("no".into()) }
    /// let driver = Driver::new("mine", &["path"], |connection: Connection| async move {
    ///     let path = connection.text("path")?.ok_or_else(|| connection.refuse("path", "is missing"))?;
    ///     open_my_store(path)
    /// });
    /// assert_eq!(driver.name(), "mine");
    /// ```
    pub fn new<O, F>(name: &'static str, keys: &'static [&'static str], open: O) -> Self
    where
        O: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Arc<dyn Store>, OpenError>> + Send + 'static,
    {
        Driver { name, aliases: &[], keys, open: Box::new(move |connection| Box::pin(open(connection))) }
    }

    /// Other names under which it can be asked for.
    #[must_use]
    pub fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("name", &self.name).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// The drivers a program was built with. The first one is used where the configuration names none.
#[derive(Debug, Default)]
pub struct Drivers(Vec<Driver>);

impl Drivers {
    /// No drivers.
    pub fn none() -> Self {
        Drivers::default()
    }

    /// Adds a driver, in place of one of the same name.
    #[must_use]
    pub fn with(mut self, driver: Driver) -> Self {
        match self.0.iter_mut().find(|known| known.name == driver.name) {
            Some(known) => *known = driver,
            None => self.0.push(driver),
        }
        self
    }

    /// The names of the drivers.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|driver| driver.name)
    }

    /// Opens the store that the configuration asks for.
    ///
    /// The driver is the one that `driver` or `SESSION_DRIVER` names, else the one of the chosen connection's
    /// table, else the first one registered. Its connection is the one that `connection` or `SESSION_CONNECTION`
    /// names, else the one called like the driver, else an empty one.
    ///
    /// # Errors
    /// The driver or the connection does not exist, they do not belong together, a key or value of the connection is
    /// not the driver's, or the store did not open.
    pub async fn open(&self, configuration: &Configuration) -> Result<Arc<dyn Store>, ConfigError> {
        let (driver, connection) = self.choose(configuration)?;
        connection.only(driver.name, driver.keys)?;
        // Kept for the error, should there be one: the driver gets its own.
        let reported = connection.clone();
        (driver.open)(connection).await.map_err(|error| match error.downcast::<ConfigError>() {
            Ok(refused) => *refused,
            Err(error) => reported.failed(driver.name, error),
        })
    }

    fn choose(&self, configuration: &Configuration) -> Result<(&Driver, Connection), ConfigError> {
        let settings = &configuration.settings;
        let chosen = match &settings.connection {
            Some(name) => {
                Some(named(&configuration.connections, name, configuration.place_of("connection"))?)
            }
            None => None,
        };
        let driver = match (&settings.driver, chosen) {
            (Some(name), _) => self.find(name, configuration.place_of("driver"))?,
            (None, Some(connection)) => match connection.driver()? {
                Some(name) => self.find(name, connection.place())?,
                None => self.first()?,
            },
            (None, None) => self.first()?,
        };
        let called_like_it = || {
            let mut names = std::iter::once(&driver.name).chain(driver.aliases);
            names.find_map(|name| configuration.connections.get(*name))
        };
        let connection = match chosen.or_else(called_like_it) {
            Some(connection) => connection.clone(),
            None => Connection::bare(driver.name, configuration.place_of("driver").clone()),
        };
        if let Some(asked) = connection.driver()?
            && !driver.is_called(asked)
        {
            let why = format!(
                "asks for another driver than the chosen one, {} ({})",
                driver.name,
                configuration.place_of("driver")
            );
            return Err(connection.refuse("driver", &why));
        }
        Ok((driver, connection))
    }

    fn first(&self) -> Result<&Driver, ConfigError> {
        let none =
            || ConfigError::new(Problem::anywhere("this program was built without any session driver"));
        self.0.first().ok_or_else(none)
    }

    fn find(&self, name: &str, place: &Place) -> Result<&Driver, ConfigError> {
        self.0.iter().find(|driver| driver.is_called(name)).ok_or_else(|| {
            let known: Vec<_> = self.names().collect();
            let mut what = format!("there is no driver \"{}\"", name.escape_debug());
            if let Some(meant) = nearest(name, known.iter().copied()) {
                what.push_str(&format!("; did you mean \"{meant}\""));
            }
            what.push_str(&format!("; this program was built with: {}", known.join(", ")));
            ConfigError::new(Problem::at(place.clone(), what))
        })
    }
}

fn named<'c>(
    connections: &'c BTreeMap<String, Connection>,
    name: &str,
    place: &Place,
) -> Result<&'c Connection, ConfigError> {
    connections.get(name).ok_or_else(|| {
        let mut what = format!("there is no table [connections.{name}]");
        match nearest(name, connections.keys().map(String::as_str)) {
            Some(meant) => what.push_str(&format!("; did you mean {meant}?")),
            None if connections.is_empty() => what.push_str("; the file has no connections"),
            None => {
                let known: Vec<_> = connections.keys().map(String::as_str).collect();
                what.push_str(&format!("; the file has: {}", known.join(", ")));
            }
        }
        ConfigError::new(Problem::at(place.clone(), what))
    })
}

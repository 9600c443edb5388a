//! The drivers a program was built with, and opening the one that the configuration asks for.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::suggest::nearest;
use super::{ConfigError, Configuration, Connection, Place, Problem};
use crate::manager::SessionConfig;
use crate::store::Store;

/// Why a driver could not open its store. A [`ConfigError`] passes through as it is; anything else is reported
/// with the place of the connection, and its text must hold no credential.
pub type OpenError = Box<dyn Error + Send + Sync>;

type Opening = Pin<Box<dyn Future<Output = Result<Opened, OpenError>> + Send>>;

/// What a driver opened: a store, and where its sessions are another system's as well, what they have to be like.
pub struct Opened {
    store: Arc<dyn Store>,
    config: Option<SessionConfig>,
}

impl Opened {
    /// A store whose sessions need this configuration: another system's cookie and lifetimes. What file and environment set stands
    /// over it.
    pub fn with_config(store: Arc<dyn Store>, config: SessionConfig) -> Self {
        Opened { store, config: Some(config) }
    }
}

/// A store for whatever configuration there is.
impl From<Arc<dyn Store>> for Opened {
    fn from(store: Arc<dyn Store>) -> Self {
        Opened { store, config: None }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("store", &self.store.name())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

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
    ///
    /// It answers with a store, or with an [`Opened`] where the store's sessions need a configuration of their own.
    pub fn new<O, F, S>(name: &'static str, keys: &'static [&'static str], open: O) -> Self
    where
        O: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future<Output = Result<S, OpenError>> + Send + 'static,
        S: Into<Opened>,
    {
        let open = move |connection| -> Opening {
            let opening = open(connection);
            Box::pin(async move { opening.await.map(Into::into) })
        };
        Driver { name, aliases: &[], keys, open: Box::new(open) }
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
    /// not the driver's, or the store did not open. Also where its sessions need a configuration of their own, as those of a PHP
    /// application do: that takes [`open_with_config`](Self::open_with_config).
    pub async fn open(&self, configuration: &Configuration) -> Result<Arc<dyn Store>, ConfigError> {
        let (opened, connection) = self.opened(configuration).await?;
        match opened.config {
            None => Ok(opened.store),
            Some(_) => {
                let what = format!(
                    "the sessions of the {} layout have a cookie and lifetimes of their own, and this program takes none but those of \
                     its settings",
                    opened.store.name()
                );
                Err(ConfigError::new(Problem::at(connection.place().clone(), what)))
            }
        }
    }

    /// Opens the store that the configuration asks for, as [`open`](Self::open) does, and gives the configuration that goes with
    /// it: the settings of file and environment, over what the store's sessions need.
    ///
    /// For a program that takes the sessions of a PHP application as well. What is not a matter of a file can be added to the
    /// configuration.
    ///
    /// ```
    /// use cloakroom::SessionManager;
    /// use cloakroom::config::{Configuration, Drivers, Environment};
    ///
    /// # async fn f(drivers: Drivers) -> Result<(), Box<dyn std::error::Error>> {
    /// let read = Configuration::read("cloakroom.toml", &Environment::of_process())?;
    /// let (store, config) = drivers.open_with_config(&read).await?;
    /// let sessions = SessionManager::over(store, config)?; // into SessionLayer::of
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`open`](Self::open); and a setting that cannot be what it says.
    pub async fn open_with_config(
        &self,
        configuration: &Configuration,
    ) -> Result<(Arc<dyn Store>, SessionConfig), ConfigError> {
        let (opened, _) = self.opened(configuration).await?;
        let config = match opened.config {
            Some(needed) => configuration.session_config_over(needed),
            None => configuration.settings.session_config(),
        };
        let refused = |error: crate::SessionError| {
            ConfigError::new(Problem::anywhere(error.to_string())).with_source(error.into())
        };
        Ok((opened.store, config.map_err(refused)?))
    }

    async fn opened(&self, configuration: &Configuration) -> Result<(Opened, Connection), ConfigError> {
        let (driver, connection) = self.choose(configuration)?;
        connection.only(driver.name, driver.keys)?;
        // Kept for the error, should there be one: the driver gets its own.
        let reported = connection.clone();
        match (driver.open)(connection).await {
            Ok(opened) => Ok((opened, reported)),
            Err(error) => Err(match error.downcast::<ConfigError>() {
                Ok(refused) => *refused,
                Err(error) => reported.failed(driver.name, error),
            }),
        }
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

//! Sessions of a PHP application: by the table, by the environment over it, and by PHP's own settings below both.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::SessionConfig;
#[cfg(not(feature = "laravel"))]
use cloakroom::config::built_without;
use cloakroom::config::{Connection, OpenError, Opened};
use cloakroom::store::Store;
use cloakroom_php::ini::{IdFormat, PhpIni, SessionIni};
use cloakroom_php::{Compression, Format, UnknownCompression};

mod servers;

use self::servers::Place;
use super::keys::{
    self, BITS, COMPRESSION, COOKIE, HANDLER, INI, LAYOUT, LENGTH, LIFETIME, MOVING, PREFIX, USER,
};
use super::said::Said;
use super::variables::Variables;
use super::{NATIVE, NEAR, settings, this_machine};
use crate::php::{
    Layout, LayoutError, MovingStore, PhpServer, PhpServers, PhpSettings, PhpStore, Stage, UnknownStage,
};

/// The layout that begins with a key.
const LARAVEL: &str = "laravel";
/// The layout of sessions that are in no server.
const FILES: &str = "php-files";
/// The layout of sessions that are in mini's cache.
const MINI: &str = "mini";

/// A PHP application, as far as its sessions go.
pub(super) struct Application {
    pub(super) place: Place,
    pub(super) layout: Layout,
    pub(super) config: SessionConfig,
    /// Whether phpredis locks them, as far as PHP's settings were asked.
    locks: bool,
    /// Where they move to the store's own layout.
    pub(super) moving: Option<Stage>,
}

impl Application {
    /// One whose server is told by the table or the environment, or is this machine's.
    fn by_table(layout: Layout, config: SessionConfig) -> Self {
        let place = Place::Table(Box::new(this_machine()));
        Application { place, layout, config, locks: false, moving: None }
    }
}

/// The application that is asked for, if one is.
pub(super) fn application(
    connection: &Connection,
    variables: &Variables<'_>,
) -> Result<Option<Application>, OpenError> {
    let said = Said::of(connection, variables);
    let (layout, ini) = (said.text(LAYOUT)?, said.list(INI)?);
    let mut application = match (layout, ini) {
        // Switched off, with what belongs to it where it is.
        (Some(NATIVE), _) => return Ok(None),
        (None, None) => {
            return match keys::of_application().find(|key| said.is_there(key)) {
                Some(key) => Err(said.refuse(key, "stands without a layout or php_ini")),
                None => Ok(None),
            };
        }
        (layout, Some(files)) => of_ini(&said, layout, files)?,
        (Some(name), None) => of_layout(&said, named(&said, name)?)?,
    };
    let elsewhere = match application.layout.name() {
        FILES => Some("in files"),
        MINI => Some("in a cache on SQLite or in files"),
        _ => None,
    };
    if let Some(place) = elsewhere {
        return Err(said.refuse(LAYOUT, &format!("is of sessions {place}, and this is the driver redis")));
    }
    if application.layout.name() != LARAVEL
        && let Some(key) = keys::OF_LARAVEL.iter().find(|key| said.is_there(key))
    {
        let why = format!("belongs to the layout {LARAVEL}, and this is {}", application.layout.name());
        return Err(said.refuse(key, &why));
    }
    if let Some((place, layout)) = servers::told(&said, &application)? {
        (application.place, application.layout) = (place, layout);
    }
    if let Some(prefix) = said.text(PREFIX)? {
        application.layout = application.layout.prefix(prefix);
    }
    if let Some(variable) = said.text(USER)? {
        application.layout = application.layout.user_variable(variable);
    }
    if let Some(stage) = said.text(MOVING)? {
        let unknown =
            |UnknownStage| said.refuse(MOVING, "is no stage of a move; accepted: prepare, move, done");
        application.moving = Some(stage.parse().map_err(unknown)?);
    }
    Ok(Some(application))
}

/// The store of its sessions, and what they need.
pub(super) fn open(
    connection: &Connection,
    variables: &Variables<'_>,
    application: Application,
) -> Result<Opened, OpenError> {
    if connection.flag(NEAR)? == Some(true) {
        let why = "is for sessions that are not PHP's as well: PHP would not see what is kept";
        return Err(connection.refuse(NEAR, why).into());
    }
    let Application { place, layout, config, moving, .. } = application;
    let store: Arc<dyn Store> = match place {
        Place::Table(server) => {
            let redis = settings(connection, variables, *server)?;
            match moving {
                None if redis.is_cluster() => {
                    let refused = |error| connection.refuse(LAYOUT, &format!("is refused: {error}"));
                    let layout = layout.in_cluster().map_err(refused)?;
                    Arc::new(PhpStore::new(PhpServers::new([(redis, 1)])?, layout))
                }
                Some(_) if redis.is_cluster() => {
                    return Err(connection.refuse(MOVING, "is not built for a cluster yet").into());
                }
                None => Arc::new(PhpStore::new(PhpServer::new(redis)?, layout)),
                Some(stage) => {
                    let php = PhpStore::new(PhpServer::new(redis.clone())?, layout);
                    Arc::new(MovingStore::new(php, Arc::new(redis.build()?), stage))
                }
            }
        }
        Place::Spread { servers, key } => {
            let said = Said::of(connection, variables);
            let php = PhpStore::new(servers::spread(&said, variables, servers, key)?, layout);
            let new = servers::beside(&said, variables, key, moving.is_some())?;
            match (moving, new) {
                (Some(_), Some(new)) if new.is_cluster() => {
                    return Err(connection.refuse(MOVING, "is not built for a cluster yet").into());
                }
                (Some(stage), Some(new)) => Arc::new(MovingStore::new(php, Arc::new(new.build()?), stage)),
                _ => Arc::new(php),
            }
        }
    };
    Ok(Opened::with_config(store, config))
}

fn named(said: &Said<'_>, name: &str) -> Result<Layout, OpenError> {
    if name == LARAVEL {
        #[cfg(feature = "laravel")]
        return super::laravel::layout(said);
        #[cfg(not(feature = "laravel"))]
        return Err(said.refuse(
            LAYOUT,
            &built_without("the sessions of a Laravel application", "cloakroom-redis", "laravel"),
        ));
    }
    name.parse().map_err(|error| said.wrong(LAYOUT, &error))
}

/// The layout as it begins, changed by what is said.
fn of_layout(said: &Said<'_>, mut layout: Layout) -> Result<Application, OpenError> {
    if let Some(handler) = said.text(HANDLER)? {
        layout = layout.serialize_handler(handler).map_err(|error| said.wrong(HANDLER, &error))?;
    }
    if let Some(compression) = said.compression()? {
        layout = layout.compression(compression).map_err(|error| said.wrong(COMPRESSION, &error))?;
    }
    match (said.number(LENGTH)?, said.number(BITS)?) {
        (None, None) => {}
        (Some(length), Some(bits)) => {
            layout = layout.sid(length, bits).map_err(|error| {
                let key = if matches!(error, LayoutError::SidBits(_)) { BITS } else { LENGTH };
                said.wrong(key, &error)
            })?;
        }
        (Some(_), None) => return Err(said.refuse(LENGTH, "stands without sid_bits_per_character")),
        (None, Some(_)) => return Err(said.refuse(BITS, "stands without sid_length")),
    }
    if let Some(seconds) = said.number(LIFETIME)? {
        let lifetime = Duration::from_secs(seconds);
        layout = layout.gc_maxlifetime(lifetime).map_err(|error| said.wrong(LIFETIME, &error))?;
    }
    if let Some(name) = said.text(COOKIE)? {
        layout = layout.session_name(name);
    }
    let config = layout.session_config();
    Ok(Application::by_table(layout, config))
}

/// PHP's settings, changed by what is said.
fn of_ini(said: &Said<'_>, layout: Option<&str>, files: Vec<&str>) -> Result<Application, OpenError> {
    if files.is_empty() {
        return Err(said.refuse(INI, "names no file; accepted: a list of files and folders"));
    }
    let refused = |error: &dyn std::error::Error| said.refuse(INI, &format!("is refused: {error}"));
    let mut php = PhpIni::read(files.iter().map(PathBuf::from)).map_err(|error| refused(&error))?.session();
    adjust(said, &mut php)?;
    let layout = layout.map_or_else(|| Ok(Layout::phpredis()), |name| named(said, name))?;
    if layout.is_by_phpredis() {
        let found = PhpSettings::with_layout(layout, &php).map_err(|error| refused(&error))?;
        let PhpSettings { servers, layout, config } = found;
        let place = Place::of(servers);
        return Ok(Application { place, layout, config, locks: php.lock.enabled, moving: None });
    }
    // Where another handler keeps them PHP's settings do not tell.
    let (layout, config) = layout.with_ini(&php).map_err(|error| refused(&error))?;
    Ok(Application::by_table(layout, config))
}

fn adjust(said: &Said<'_>, php: &mut SessionIni) -> Result<(), OpenError> {
    if let Some(handler) = said.text(HANDLER)? {
        let unknown = |_| said.wrong(HANDLER, &LayoutError::SerializeHandler(handler.to_owned()));
        php.format = Some(handler.parse().map_err(unknown)?);
    }
    if let Some(compression) = said.compression()? {
        php.compression = compression;
    }
    let IdFormat { length, bits_per_character } = php.id;
    php.id = IdFormat {
        length: said.number(LENGTH)?.unwrap_or(length),
        bits_per_character: said.number(BITS)?.unwrap_or(bits_per_character),
    };
    if let Some(seconds) = said.number(LIFETIME)? {
        php.lifetime = Duration::from_secs(seconds);
    }
    if let Some(name) = said.text(COOKIE)? {
        name.clone_into(&mut php.name);
    }
    Ok(())
}

impl Said<'_> {
    fn compression(&self) -> Result<Option<Option<Compression>>, OpenError> {
        let Some(setting) = self.text(COMPRESSION)? else { return Ok(None) };
        let unknown = |UnknownCompression| {
            self.refuse(COMPRESSION, "is no compression; accepted: none, lzf, lz4, zstd")
        };
        Compression::of_setting(setting).map(Some).map_err(unknown)
    }

    fn wrong(&self, key: &str, error: &LayoutError) -> OpenError {
        let why = match error {
            LayoutError::Name(_) => {
                let laravel = cfg!(feature = "laravel").then_some(LARAVEL);
                let known: Vec<&str> = [NATIVE].into_iter().chain(Layout::names()).chain(laravel).collect();
                format!("is no layout; accepted: {}", known.join(", "))
            }
            LayoutError::SerializeHandler(_) => {
                let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
                format!("is no session.serialize_handler that is known; accepted: {}", known.join(", "))
            }
            other => format!("is refused: {other}"),
        };
        self.refuse(key, &why)
    }
}

#[cfg(test)]
pub(super) mod tests;

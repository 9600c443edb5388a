//! The driver `redis`: a store from `cloakroom.toml` and the environment.

use std::path::PathBuf;
use std::sync::Arc;

use cloakroom::config::{Connection, Driver, Environment, OpenError, Opened};
use cloakroom::store::Store;
use cloakroom::{NearCache, NearCacheBuilder};

mod keys;
#[cfg(feature = "laravel")]
mod laravel;
#[cfg(feature = "php")]
mod php;
mod said;
mod server;
mod variables;
#[cfg(any(not(feature = "php"), test))]
mod without_php;

#[cfg(not(feature = "php"))]
use self::said::Said;
use self::variables::Variables;
use crate::redis_url::TlsFiles;
use crate::{Durability, RedisBuilder, RedisStore, RedisUrl};

const NAME: &str = "redis";
const ALIASES: &[&str] = &["valkey"];
/// The layout that is none of PHP's.
const NATIVE: &str = "native";
const EXPIRED_EVENTS: &str = "expired_events";
const WAIT_REPLICAS: &str = "wait_replicas";
const WAIT_DISK: &str = "wait_disk";
const WAIT_WITHIN: &str = "wait_within";
const WAIT_FOR: &str = "wait_for";
const NEAR: &str = "near_cache";
const NEAR_ENTRIES: &str = "near_cache_entries";
const NEAR_BYTES: &str = "near_cache_bytes";
const NEAR_LIFETIME: &str = "near_cache_lifetime";
const HOST: &str = "127.0.0.1";
const PORT: u16 = 6379;

/// The driver `redis` (`valkey` is the same), for [`Drivers`](cloakroom::config::Drivers).
///
/// | in a connection's table | variable | |
/// |---|---|---|
/// | `url` | `REDIS_URL` | as a [`RedisUrl`](crate::RedisUrl), in place of host, port, socket and sentinels |
/// | `host`, `port` | `REDIS_HOST`, `REDIS_PORT` | `127.0.0.1` and 6379 unless told |
/// | `socket` | `REDIS_SOCKET` | the path of a socket, in place of host and port |
/// | `sentinels`, `service` | `REDIS_SENTINELS`, `REDIS_SENTINEL_SERVICE` | a list of `HOST:PORT` (in the variable separated by commas), and what they call the service: in place of host and port |
/// | `sentinel_user`, `sentinel_password` | `REDIS_SENTINEL_USERNAME`, `REDIS_SENTINEL_PASSWORD` | as whom to ask the sentinels |
/// | `tls` | `REDIS_TLS` | `true`: TLS to host and port, or to sentinels and primary; a URL says it by `rediss://` |
/// | `ca` | `REDIS_TLS_CA` | [`RedisBuilder::ca`], over the URL's |
/// | `certificate`, `key` | `REDIS_TLS_CERTIFICATE`, `REDIS_TLS_KEY` | [`RedisBuilder::client_certificate`], over the URL's |
/// | `user`, `password` | `REDIS_USERNAME`, `REDIS_PASSWORD` | over the URL's |
/// | `database` | `REDIS_DB` | over the URL's |
/// | `prefix` | `REDIS_PREFIX` | [`RedisBuilder::prefix`] |
/// | `deadline`, `connect_timeout`, `connections` | | as in [`RedisBuilder`] |
/// | `expired_events` | | `true`: [`RedisBuilder::expired_events`] |
/// | `wait_replicas`, `wait_disk` | | acknowledge a write once so many replicas have it; once it is on disk: as in [`Durability`]; refused for PHP's sessions in a cluster |
/// | `wait_within`, `wait_for` | | how long that may take; `"all"` writes, or `"logins_and_ends"` only |
/// | `near_cache` | | `true` puts a [`NearCache`] in front of the store |
/// | `near_cache_entries`, `near_cache_bytes`, `near_cache_lifetime` | | beside it: as in [`NearCacheBuilder`] |
/// | `layout` | `REDIS_LAYOUT` | `"phpredis"` and so on: the sessions of a PHP application (feature `php`); `"native"` |
/// | `php_ini` | `REDIS_PHP_INI` | a list of files and folders (in the variable separated by commas): all of this, and the server, as PHP is set to have it |
/// | `php_servers` | `REDIS_PHP_SERVERS` | a list of servers over which phpredis spreads sessions, each as in `session.save_path` (`tcp://HOST:PORT?weight=N`), in that order: [`PhpServers`](crate::php::PhpServers) |
/// | `php_prefix` | `REDIS_PHP_PREFIX` | what PHP's keys begin with: `prefix=` in `session.save_path` |
/// | `serialize_handler`, `sid_length`, `sid_bits_per_character`, `session_name` | `REDIS_SERIALIZE_HANDLER` and so on | as in php.ini |
/// | `php_compression` | `REDIS_PHP_COMPRESSION` | `redis.session.compression`: `"none"`, `"lzf"`, `"lz4"`, `"zstd"` (feature `php-compression`) |
/// | `gc_maxlifetime` | `REDIS_GC_MAXLIFETIME` | a whole number of seconds, as in php.ini |
/// | `user_variable` | `REDIS_USER_VARIABLE` | the name in `$_SESSION` of who is logged in |
/// | `moving` | `REDIS_MOVING` | `"prepare"`, `"move"`, `"done"`: from PHP's layout to this store's own, as in [`MovingStore`](crate::php::MovingStore) |
/// | `app_key`, `app_previous_keys` | `APP_KEY`, `APP_PREVIOUS_KEYS` | with `layout = "laravel"` (feature `laravel`): the application's key and its previous ones. A table can name other variables, `{ env = "NAME" }`; the keys themselves it must not hold |
/// | `app_key_file` | `REDIS_APP_KEY_FILE` | in place of both: a file with the key in its first line, and previous ones in further lines |
/// | `app_cipher`, `session_serialization`, `session_encrypt`, `expire_on_close`, `guard` | `REDIS_APP_CIPHER` and so on | as in Laravel's configuration: `"aes-256-cbc"`, `"php"`, `false`, `false` and `"web"` unless told |
/// | `laravel_13`, `plain_cookie` | `REDIS_LARAVEL_13`, `REDIS_PLAIN_COOKIE` | as [`LaravelApp::since_13`](crate::php::LaravelApp::since_13) and [`LaravelApp::plain_cookie`](crate::php::LaravelApp::plain_cookie) |
///
/// With a layout of PHP's the sessions have a configuration of their own:
/// [`Drivers::open_with_config`](cloakroom::config::Drivers::open_with_config).
///
/// The variables are those of the connection called `redis` (or `valkey`), with or without a table, and stand over it. A
/// connection of another name has what its table says and nothing else; a value there may be `{ env = "NAME" }`.
///
/// The store connects when a session is first asked for, so a server that is away is no error here.
///
/// ```
/// use cloakroom::config::{Configuration, Drivers, Environment};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let env = Environment::of([("SESSION_DRIVER", "redis"), ("REDIS_HOST", "sessions.internal")]);
/// let read = Configuration::parse("cloakroom.toml", b"", &env).unwrap();
/// let store = Drivers::none().with(cloakroom_redis::driver(&env)).open(&read).await.unwrap();
/// assert_eq!(store.name(), "redis");
/// # }
/// ```
pub fn driver(env: &Environment) -> Driver {
    let env = env.clone();
    let driver = move |connection: Connection| {
        let opened = open(&connection, &Variables(&env));
        async move { opened }
    };
    Driver::new(NAME, keys::ALL, driver).aliases(ALIASES)
}

fn settings(
    connection: &Connection,
    variables: &Variables<'_>,
    mut base: RedisBuilder,
) -> Result<RedisBuilder, OpenError> {
    base.url = server::of_table(connection, &base.url)?;
    let mut prefix = connection.text("prefix")?;
    if has_variables(connection) {
        base.url = server::over(base.url, variables)?;
        prefix = variables.text("REDIS_PREFIX")?.or(prefix);
    }
    base.tls_files = tls_files(connection, variables)?;
    if let Some(prefix) = prefix {
        base = base.prefix(prefix);
    }
    paced(connection, base)
}

fn tls_files(connection: &Connection, variables: &Variables<'_>) -> Result<TlsFiles, OpenError> {
    let file = |key: &str| connection.text(key).map(|path| path.map(PathBuf::from));
    let files = TlsFiles { ca: file("ca")?, certificate: file("certificate")?, key: file("key")? };
    if !has_variables(connection) {
        return Ok(files);
    }
    let over = TlsFiles {
        ca: variables.file("REDIS_TLS_CA")?,
        certificate: variables.file("REDIS_TLS_CERTIFICATE")?,
        key: variables.file("REDIS_TLS_KEY")?,
    };
    Ok(over.or(files))
}

/// What of the table is the same for every server.
fn paced(connection: &Connection, mut settings: RedisBuilder) -> Result<RedisBuilder, OpenError> {
    if let Some(deadline) = connection.duration("deadline")? {
        settings = settings.call_deadline(deadline);
    }
    if let Some(timeout) = connection.duration("connect_timeout")? {
        settings = settings.connect_timeout(timeout);
    }
    if let Some(connections) = connection.number("connections")? {
        settings = settings.connections(connections);
    }
    if let Some(on) = connection.flag(EXPIRED_EVENTS)? {
        settings = settings.expired_events(on);
    }
    if let Some(durability) = durability(connection)? {
        settings = settings.durability(durability);
    }
    Ok(settings)
}

/// Whether the environment's `REDIS_*` stand over it.
fn has_variables(connection: &Connection) -> bool {
    connection.name() == NAME || ALIASES.contains(&connection.name())
}

/// The server where nobody says which.
fn this_machine() -> RedisBuilder {
    RedisBuilder::new(RedisUrl::at(HOST, PORT))
}

/// What writes are to be waited for, if the table says so.
fn durability(connection: &Connection) -> Result<Option<Durability>, OpenError> {
    let replicas = connection.number::<u32>(WAIT_REPLICAS)?.unwrap_or(0);
    let disk = connection.flag(WAIT_DISK)?.unwrap_or(false);
    let (within, which) = (connection.duration(WAIT_WITHIN)?, connection.text(WAIT_FOR)?);
    if replicas == 0 && !disk {
        let given = [(WAIT_WITHIN, within.is_some()), (WAIT_FOR, which.is_some())];
        return match given.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(connection.refuse(key, "stands without wait_replicas or wait_disk").into()),
            None => Ok(None),
        };
    }
    let mut durability = Durability::replicas(replicas);
    if disk {
        durability = durability.on_disk();
    }
    if let Some(within) = within {
        durability = durability.within(within);
    }
    match which {
        None | Some("all") => {}
        Some("logins_and_ends") => durability = durability.only_logins_and_ends(),
        Some(_) => {
            let why = "is none of the kinds of writes; accepted: all, logins_and_ends";
            return Err(connection.refuse(WAIT_FOR, why).into());
        }
    }
    Ok(Some(durability))
}

/// The store, behind a cache where the table asks for one; or that of a PHP application's sessions.
fn open(connection: &Connection, variables: &Variables<'_>) -> Result<Opened, OpenError> {
    #[cfg(feature = "php")]
    if let Some(application) = php::application(connection, variables)? {
        return php::open(connection, variables, application);
    }
    #[cfg(not(feature = "php"))]
    without_php::refuse(&Said::of(connection, variables))?;
    let store = settings(connection, variables, this_machine())?.build()?;
    let store: Arc<dyn Store> = match near_cache(connection, &store)? {
        Some(cache) => Arc::new(cache.build()),
        None => Arc::new(store),
    };
    Ok(store.into())
}

/// The settings of the cache that the table asks for.
fn near_cache(
    connection: &Connection,
    store: &RedisStore,
) -> Result<Option<NearCacheBuilder<RedisStore>>, OpenError> {
    let wanted = connection.flag(NEAR)?;
    let entries = connection.number(NEAR_ENTRIES)?;
    let (bytes, lifetime) = (connection.size(NEAR_BYTES)?, connection.duration(NEAR_LIFETIME)?);
    let given = [
        (NEAR_ENTRIES, entries.is_some()),
        (NEAR_BYTES, bytes.is_some()),
        (NEAR_LIFETIME, lifetime.is_some()),
    ];
    if wanted.is_none()
        && let Some((key, _)) = given.iter().find(|(_, given)| *given)
    {
        return Err(connection.refuse(key, "stands without near_cache = true").into());
    }
    if entries == Some(0) {
        return Err(connection.refuse(NEAR_ENTRIES, "is zero; accepted: a whole number from 1").into());
    }
    let mut cache = NearCache::builder(store.clone());
    if let Some(entries) = entries {
        cache = cache.max_entries(entries);
    }
    if let Some(bytes) = bytes {
        cache = cache.max_bytes(bytes);
    }
    if let Some(lifetime) = lifetime {
        cache = cache.lifetime(lifetime);
    }
    Ok((wanted == Some(true)).then_some(cache))
}

#[cfg(test)]
mod tests;

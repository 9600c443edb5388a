//! The driver `redis`: a store from `cloakroom.toml` and the environment.

use std::path::PathBuf;
use std::sync::Arc;

use cloakroom::config::{Connection, Driver, Environment, OpenError};
use cloakroom::store::Store;
use cloakroom::{NearCache, NearCacheBuilder};
use zeroize::Zeroizing;

use crate::target::{Address, TlsFiles};
use crate::{RedisBuilder, RedisStore, RedisUrl};

const NAME: &str = "redis";
const ALIASES: &[&str] = &["valkey"];
const KEYS: &[&str] = &[
    "url",
    "host",
    "port",
    "socket",
    "tls",
    "ca",
    "certificate",
    "key",
    "user",
    "password",
    "database",
    "prefix",
    "deadline",
    "connect_timeout",
    "connections",
    NEAR,
    NEAR_ENTRIES,
    NEAR_BYTES,
    NEAR_LIFETIME,
];
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
/// | `url` | `REDIS_URL` | as a [`RedisUrl`], in place of host, port and socket |
/// | `host`, `port` | `REDIS_HOST`, `REDIS_PORT` | `127.0.0.1` and 6379 unless told |
/// | `socket` | `REDIS_SOCKET` | the path of a socket, in place of host and port |
/// | `tls` | `REDIS_TLS` | `true`: TLS to host and port; a URL says it by `rediss://` |
/// | `ca` | `REDIS_TLS_CA` | [`RedisBuilder::ca`], over the URL's |
/// | `certificate`, `key` | `REDIS_TLS_CERTIFICATE`, `REDIS_TLS_KEY` | [`RedisBuilder::client_certificate`], over the URL's |
/// | `user`, `password` | `REDIS_USERNAME`, `REDIS_PASSWORD` | over the URL's |
/// | `database` | `REDIS_DB` | over the URL's |
/// | `prefix` | `REDIS_PREFIX` | [`RedisBuilder::prefix`] |
/// | `deadline`, `connect_timeout`, `connections` | | as in [`RedisBuilder`] |
/// | `near_cache` | | `true` puts a [`NearCache`] in front of the store |
/// | `near_cache_entries`, `near_cache_bytes`, `near_cache_lifetime` | | beside it: as in [`NearCacheBuilder`] |
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
    Driver::new(NAME, KEYS, driver).aliases(ALIASES)
}

/// The `REDIS_*` of an environment. `null` is how Laravel's `.env` says that there is none.
struct Variables<'e>(&'e Environment);

impl Variables<'_> {
    fn text(&self, name: &str) -> Result<Option<&str>, OpenError> {
        match self.0.get(name).map(|value| value.to_str()) {
            None | Some(Some("null")) => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => Err(format!("environment variable {name} is not text").into()),
        }
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, OpenError> {
        let read = |text: &str| {
            text.parse().map_err(|_| -> OpenError {
                format!("environment variable {name} is not a whole number that fits").into()
            })
        };
        self.text(name)?.map(read).transpose()
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, OpenError> {
        match self.text(name)? {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => {
                Err(format!("environment variable {name} is not a switch; accepted: true, false").into())
            }
        }
    }

    fn file(&self, name: &str) -> Result<Option<PathBuf>, OpenError> {
        Ok(self.text(name)?.map(PathBuf::from))
    }

    fn url(&self, name: &str) -> Result<Option<RedisUrl>, OpenError> {
        let read = |text: &str| {
            text.parse()
                .map_err(|error| -> OpenError { format!("environment variable {name}: {error}").into() })
        };
        self.text(name)?.map(read).transpose()
    }
}

fn settings(connection: &Connection, variables: &Variables<'_>) -> Result<RedisBuilder, OpenError> {
    let mut url = of_table(connection)?;
    let mut prefix = connection.text("prefix")?;
    let file = |key: &str| connection.text(key).map(|path| path.map(PathBuf::from));
    let mut files = TlsFiles { ca: file("ca")?, certificate: file("certificate")?, key: file("key")? };
    if connection.name() == NAME || ALIASES.contains(&connection.name()) {
        url = over(url, variables)?;
        prefix = variables.text("REDIS_PREFIX")?.or(prefix);
        let over = TlsFiles {
            ca: variables.file("REDIS_TLS_CA")?,
            certificate: variables.file("REDIS_TLS_CERTIFICATE")?,
            key: variables.file("REDIS_TLS_KEY")?,
        };
        files = over.or(files);
    }
    let mut settings = RedisBuilder::new(url);
    settings.tls_files = files;
    if let Some(prefix) = prefix {
        settings = settings.prefix(prefix);
    }
    if let Some(deadline) = connection.duration("deadline")? {
        settings = settings.call_deadline(deadline);
    }
    if let Some(timeout) = connection.duration("connect_timeout")? {
        settings = settings.connect_timeout(timeout);
    }
    if let Some(connections) = connection.number("connections")? {
        settings = settings.connections(connections);
    }
    Ok(settings)
}

/// The store, behind a cache where the table asks for one.
fn open(connection: &Connection, variables: &Variables<'_>) -> Result<Arc<dyn Store>, OpenError> {
    let store = settings(connection, variables)?.build()?;
    Ok(match near_cache(connection, &store)? {
        Some(cache) => Arc::new(cache.build()),
        None => Arc::new(store),
    })
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

fn of_table(connection: &Connection) -> Result<RedisUrl, OpenError> {
    let host = connection.text("host")?;
    let port = connection.number::<u16>("port")?;
    let socket = connection.text("socket")?;
    let tls = connection.flag("tls")?;
    let mut url = match (connection.text("url")?, host.is_some() || port.is_some(), socket) {
        (Some(text), false, None) => {
            text.parse().map_err(|error| connection.refuse("url", &format!("is refused: {error}")))?
        }
        (Some(_), _, _) => {
            return Err(connection
                .refuse("url", "stands beside host, port or socket; give one of them")
                .into());
        }
        (None, true, Some(_)) => {
            return Err(connection.refuse("socket", "stands beside host or port; give one of them").into());
        }
        (None, false, Some(socket)) => RedisUrl::at_socket(socket),
        (None, _, None) => RedisUrl::at(host.unwrap_or(HOST), port.unwrap_or(PORT)),
    };
    match (tls, &url.address) {
        (None, _) => {}
        (Some(tls), _) if connection.text("url")?.is_some() => {
            if tls != url.tls.is_some() {
                let why = "contradicts the url beside it; leave it out, and write rediss:// there for TLS";
                return Err(connection.refuse("tls", why).into());
            }
        }
        (Some(true), Address::Unix(_)) => {
            return Err(connection
                .refuse("tls", "is for a host; a socket in the file system needs none")
                .into());
        }
        (Some(true), Address::Tcp { .. } | Address::Cluster(_)) => url = url.over_tls(),
        (Some(false), _) => {}
    }
    if let Some(user) = connection.text("user")? {
        url.user = Some(user.to_owned());
    }
    if let Some(password) = connection.text("password")? {
        url.password = Some(Zeroizing::new(password.to_owned()));
    }
    if let Some(database) = connection.number("database")? {
        url.db = database;
    }
    Ok(url)
}

/// What the environment says, over what the table says.
fn over(table: RedisUrl, variables: &Variables<'_>) -> Result<RedisUrl, OpenError> {
    let (host, port) = (variables.text("REDIS_HOST")?, variables.number::<u16>("REDIS_PORT")?);
    let socket = variables.text("REDIS_SOCKET")?;
    let mut url = match (variables.url("REDIS_URL")?, socket) {
        (Some(url), _) => url,
        (None, Some(socket)) => RedisUrl { address: Address::Unix(PathBuf::from(socket)), ..table },
        (None, None) if host.is_some() || port.is_some() => {
            let (known_host, known_port) = match &table.address {
                Address::Tcp { host, port } => (host.as_str(), *port),
                Address::Unix(_) | Address::Cluster(_) => (HOST, PORT),
            };
            let host = host.unwrap_or(known_host).to_owned();
            RedisUrl { address: Address::Tcp { host, port: port.unwrap_or(known_port) }, ..table }
        }
        (None, None) => table,
    };
    if let Address::Unix(_) = url.address {
        url.tls = None;
    }
    match (variables.flag("REDIS_TLS")?, url.tls.is_some(), &url.address) {
        (Some(true), false, Address::Unix(_)) => {
            let why = "environment variable REDIS_TLS is for a host; a socket in the file system needs none";
            return Err(why.into());
        }
        (Some(true), false, Address::Tcp { .. } | Address::Cluster(_)) => url = url.over_tls(),
        (Some(false), true, _) => {
            let why =
                "environment variable REDIS_TLS is false, and the connection's other settings ask for TLS";
            return Err(why.into());
        }
        _ => {}
    }
    if let Some(user) = variables.text("REDIS_USERNAME")? {
        url.user = Some(user.to_owned());
    }
    if let Some(password) = variables.text("REDIS_PASSWORD")? {
        url.password = Some(Zeroizing::new(password.to_owned()));
    }
    if let Some(database) = variables.number("REDIS_DB")? {
        url.db = database;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use cloakroom::config::{Configuration, Drivers};

    use super::*;

    async fn open(file: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let env = Environment::of(variables.iter().copied());
        let read =
            Configuration::parse("c.toml", file.as_bytes(), &env).map_err(|error| error.to_string())?;
        let seen: Arc<std::sync::OnceLock<String>> = Arc::default();
        let (told, env_of_driver) = (seen.clone(), env.clone());
        // The driver itself, with the settings written down on the way.
        let spy = Driver::new(NAME, KEYS, move |connection: Connection| {
            let told = told.clone();
            let settings = settings(&connection, &Variables(&env_of_driver));
            async move {
                let settings = settings?;
                let files = &settings.tls_files;
                let files = [("ca", &files.ca), ("certificate", &files.certificate), ("key", &files.key)];
                let files = files
                    .iter()
                    .filter_map(|(key, file)| Some(format!(" {key}={}", file.as_ref()?.display())));
                let store = match &settings.url.tls {
                    None => settings.clone().build()?,
                    // Its files are a matter for the store.
                    Some(_) => RedisBuilder::new(RedisUrl::at(HOST, PORT)).build()?,
                };
                let cache = near_cache(&connection, &store)?;
                let _ = told.set(format!(
                    "{} {:?} {:?} {}{}",
                    settings.url,
                    settings.url.user,
                    settings.url.password.as_ref().map(|p| p.as_str()),
                    settings.prefix,
                    files.collect::<String>() + &cache.map(|cache| format!(" {cache:?}")).unwrap_or_default()
                ));
                Ok(Arc::new(store) as Arc<dyn Store>)
            }
        });
        let opened = Drivers::none().with(spy.aliases(ALIASES)).open(&read).await;
        opened.map_err(|error| error.to_string())?;
        Ok(seen.get().cloned().unwrap_or_default())
    }

    #[tokio::test]
    async fn without_settings_it_is_the_server_of_this_machine() {
        let found = open("", &[("SESSION_DRIVER", "valkey")]).await.unwrap();
        assert_eq!(found, "redis://127.0.0.1:6379 None None cloakroom:");
    }

    #[tokio::test]
    async fn p01_a_table_says_where_and_as_whom() {
        let file = "[connections.redis]\nhost = \"h\"\nport = 7\nuser = \"u\"\npassword = { env = \"PW\" }\n\
                    database = 2\nprefix = \"shop:\"\ndeadline = \"1s\"\nconnections = 2\n";
        let found = open(file, &[("PW", "hush")]).await.unwrap();
        assert_eq!(found, "redis://h:7/2 Some(\"u\") Some(\"hush\") shop:");
        let found = open("[connections.redis]\nsocket = \"/run/r.sock\"\n", &[]).await.unwrap();
        assert_eq!(found, "redis+unix:/run/r.sock None None cloakroom:");
        let found =
            open("[connections.redis]\nurl = \"redis://u:p@h/1\"\ndatabase = 4\n", &[]).await.unwrap();
        assert_eq!(found, "redis://h:6379/4 Some(\"u\") Some(\"p\") cloakroom:");
    }

    #[tokio::test]
    async fn tls_is_a_switch_or_a_url_and_never_silently_off() {
        let table = "[connections.redis]\nhost = \"h\"\n";
        let files = "ca = \"ca.pem\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
        let found = open(&format!("{table}tls = true\n{files}"), &[]).await.unwrap();
        assert_eq!(found, "rediss://h:6379 None None cloakroom: ca=ca.pem certificate=c.pem key=k.pem");
        let found = open("[connections.redis]\nurl = \"rediss://h\"\ntls = true\n", &[]).await.unwrap();
        assert_eq!(found, "rediss://h:6379 None None cloakroom:");
        let variables = [("REDIS_TLS", "true"), ("REDIS_TLS_CA", "x.pem"), ("REDIS_HOST", "other")];
        let found = open(&format!("{table}ca = \"ca.pem\"\n"), &variables).await.unwrap();
        assert_eq!(found, "rediss://other:6379 None None cloakroom: ca=x.pem");
        let variables =
            [("REDIS_TLS_CERTIFICATE", "d.pem"), ("REDIS_TLS_KEY", "l.pem"), ("REDIS_URL", "rediss://far")];
        let found = open(&format!("{table}tls = true\n{files}"), &variables).await.unwrap();
        assert_eq!(found, "rediss://far:6379 None None cloakroom: ca=ca.pem certificate=d.pem key=l.pem");
        let found = open("", &[("REDIS_URL", "redis://far"), ("REDIS_TLS", "true")]).await.unwrap();
        assert_eq!(found, "rediss://far:6379 None None cloakroom:");

        let beside = |what: &str| format!("[connections.redis]\n{what}\n");
        for (file, variables, told) in [
            (
                beside("url = \"rediss://h\"\ntls = false"),
                &[][..],
                "connections.redis.tls contradicts the url",
            ),
            (beside("url = \"redis://h\"\ntls = true"), &[], "c.toml:3:7: connections.redis.tls contradicts"),
            (beside("socket = \"/s\"\ntls = true"), &[], "connections.redis.tls is for a host"),
            (beside("tls = \"maybe\""), &[], "accepted: true, false"),
            (format!("{table}{files}"), &[], "ca, certificate and key are for Redis over TLS"),
            (beside("tls = true"), &[("REDIS_TLS", "false")], "REDIS_TLS is false"),
            (
                beside("tls = true"),
                &[("REDIS_TLS", "yes")],
                "REDIS_TLS is not a switch; accepted: true, false",
            ),
            (String::new(), &[("REDIS_SOCKET", "/s"), ("REDIS_TLS", "true")], "REDIS_TLS is for a host"),
            (
                format!("{table}tls = true\n{files}"),
                &[("REDIS_URL", "redis://far")],
                "are for Redis over TLS",
            ),
            (format!("{table}tls = true\n{files}"), &[("REDIS_SOCKET", "/s")], "are for Redis over TLS"),
        ] {
            let error = open(&file, variables).await.unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[tokio::test]
    async fn the_environment_stands_over_the_table_called_redis_and_over_no_other() {
        let variables = [
            ("REDIS_HOST", "other"),
            ("REDIS_PORT", "8"),
            ("REDIS_PASSWORD", "null"),
            ("REDIS_USERNAME", "w"),
            ("REDIS_DB", "5"),
            ("REDIS_PREFIX", "p:"),
        ];
        let table = "host = \"h\"\nport = 7\npassword = \"hush\"\n";
        let found = open(&format!("[connections.redis]\n{table}"), &variables).await.unwrap();
        assert_eq!(found, "redis://other:8/5 Some(\"w\") Some(\"hush\") p:");
        let named = format!("connection = \"sessions\"\n[connections.sessions]\ndriver = \"redis\"\n{table}");
        let found = open(&named, &variables).await.unwrap();
        assert_eq!(found, "redis://h:7 None Some(\"hush\") cloakroom:");
        let found = open("", &[("REDIS_URL", "redis://u:p@far:1/2"), ("REDIS_HOST", "near")]).await.unwrap();
        assert_eq!(found, "redis://far:1/2 Some(\"u\") Some(\"p\") cloakroom:");
    }

    #[tokio::test]
    async fn a_table_may_put_a_cache_in_front() {
        let found = async |file: &str, variables: &[(&str, &str)]| {
            let file = format!("[connections.redis]\n{file}");
            let found = open(&file, variables).await.unwrap();
            found.split_once(" NearCacheBuilder ").map(|(_, cache)| cache.to_owned())
        };
        let cache = found("near_cache = true\n", &[]).await.unwrap();
        assert!(cache.contains("entries: 50000, bytes: 67108864, lifetime: 2s"), "{cache}");
        let sized = "near_cache = true\nnear_cache_entries = 10\nnear_cache_bytes = \"1MiB\"\nnear_cache_lifetime = \"500ms\"\n";
        let cache = found(sized, &[]).await.unwrap();
        assert!(cache.contains("entries: 10, bytes: 1048576, lifetime: 500ms"), "{cache}");
        assert_eq!(found("", &[]).await, None);
        // Switched by the environment, with its sizes where they are.
        let switched = "near_cache = { env = \"NEAR\" }\nnear_cache_entries = 10\n";
        assert_eq!(found(switched, &[("NEAR", "false")]).await, None);
        assert!(found(switched, &[("NEAR", "true")]).await.is_some());
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_with_its_place_and_no_value() {
        for (file, variables, told) in [
            (
                "[connections.redis]\nurl = \"hush\"\n",
                &[][..],
                "c.toml:2:7: connections.redis.url is refused",
            ),
            (
                "[connections.redis]\nurl = \"redis://h\"\nhost = \"h\"\n",
                &[],
                "connections.redis.url stands beside",
            ),
            ("[connections.redis]\nport = 65536\n", &[], "connections.redis.port"),
            ("[connections.redis]\nhots = \"hush\"\n", &[], "did you mean host"),
            ("[connections.redis]\nprefix = \"{hush}\"\n", &[], "prefix"),
            ("[connections.redis]\nconnections = 0\n", &[], "connections"),
            (
                "[connections.redis]\nnear_cache = \"hush\"\n",
                &[],
                "connections.redis.near_cache is not a switch",
            ),
            (
                "[connections.redis]\nnear_cache_lifetime = \"1s\"\n",
                &[],
                "near_cache_lifetime stands without near_cache",
            ),
            (
                "[connections.redis]\nnear_cache = true\nnear_cache_entries = 0\n",
                &[],
                "near_cache_entries is zero",
            ),
            ("", &[("REDIS_PORT", "hush")], "environment variable REDIS_PORT"),
            ("", &[("REDIS_URL", "rediss://hush@h?hush=1")], "environment variable REDIS_URL"),
        ] {
            let error = open(file, variables).await.unwrap_err();
            assert!(error.contains(told), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}

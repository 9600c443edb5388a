//! From php.ini to a store: the settings that PHP has for its sessions are the ones to share them by.

use std::path::Path;
use std::time::Duration;

use cloakroom::SessionConfig;
use cloakroom_php::ini::{Address, ClusterPath, PhpIni, RedisServer, SaveHandler, SavePathError, SessionIni};
use cloakroom_php::layout::{Layout, PhpSettingsError};

use crate::{RedisBuilder, RedisUrl};

/// What a PHP application's settings say of its sessions, as what they are shared with.
///
/// ```no_run
/// # fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use cloakroom::SessionManager;
/// use cloakroom_redis::php::{PhpServers, PhpSettings, PhpStore};
///
/// let php = PhpSettings::read(["/etc/php/8.2/fpm/php.ini", "/etc/php/8.2/fpm/conf.d"])?;
/// let layout = php.layout.user_variable("user_id"); // php.ini does not tell who is logged in
/// let store = PhpStore::new(PhpServers::new(php.servers)?, layout);
/// let sessions = SessionManager::new(store, php.config)?; // into SessionLayer::of
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct PhpSettings {
    /// `session.save_path`: where each server is, as whom, which database; and its weight. Or one cluster, with the weight 1.
    pub servers: Vec<(RedisBuilder, u32)>,
    /// Prefix, format, ids and lifetime.
    pub layout: Layout,
    /// The cookie, the lifetime and the cache limiter.
    ///
    /// It is stricter than PHP where that cannot be noticed: the cookie is `HttpOnly`, `SameSite=Lax` where PHP says nothing, and
    /// `Secure` where the request is.
    pub config: SessionConfig,
}

impl PhpSettings {
    /// Reads the files as PHP does: see [`PhpIni::read`]. What is in them and loses sessions is told by `cloakroom doctor`.
    ///
    /// # Errors
    /// [`PhpSettingsError`]: which setting has to change.
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, PhpSettingsError> {
        Self::of(&PhpIni::read(paths)?.session())
    }

    /// The same, of settings that were read.
    ///
    /// # Errors
    /// [`PhpSettingsError`]: which setting has to change.
    pub fn of(php: &SessionIni) -> Result<Self, PhpSettingsError> {
        Self::with_layout(Layout::phpredis(), php)
    }

    /// The same for a layout on phpredis' own handler.
    pub(crate) fn with_layout(layout: Layout, php: &SessionIni) -> Result<Self, PhpSettingsError> {
        if php.save_handler == SaveHandler::RedisCluster {
            return Self::of_cluster(layout, php);
        }
        PhpSettingsError::unless_kept_by(SaveHandler::Redis, php)?;
        let servers = php.servers()?;
        if servers.len() > 1 && php.lock.enabled {
            return Err(PhpSettingsError::LockOnServers(servers.len()));
        }
        let (layout, config) = layout.with_ini(php)?;
        let (servers, layout) = placed(&servers, layout)?;
        Ok(PhpSettings { servers, layout, config })
    }
}

/// The servers as what they are reached by, and the layout with the prefix that they have in common.
pub(crate) fn placed(
    servers: &[RedisServer],
    layout: Layout,
) -> Result<(Vec<(RedisBuilder, u32)>, Layout), PhpSettingsError> {
    let prefix = servers.first().and_then(|server| server.prefix.as_ref());
    if servers.iter().any(|server| server.prefix.as_ref() != prefix) {
        return Err(PhpSettingsError::Prefixes);
    }
    let layout = match prefix {
        Some(prefix) => layout.prefix(prefix),
        None => layout,
    };
    Ok((servers.iter().map(|server| (builder(server), server.weight)).collect(), layout))
}

impl PhpSettings {
    fn of_cluster(layout: Layout, php: &SessionIni) -> Result<Self, PhpSettingsError> {
        let path = php.cluster().map_err(PhpSettingsError::SavePath)?;
        let (layout, config) = layout.with_ini(php)?;
        let mut layout = layout.in_cluster()?;
        if let Some(prefix) = &path.prefix {
            layout = layout.prefix(prefix);
        }
        Ok(PhpSettings { servers: vec![(of_cluster(&path)?, 1)], layout, config })
    }
}

fn of_cluster(path: &ClusterPath) -> Result<RedisBuilder, PhpSettingsError> {
    let url = RedisUrl::at_cluster(path.seeds.iter().cloned());
    let url = url.map_err(|_| PhpSettingsError::SavePath(SavePathError::Seeds))?;
    let builder = RedisBuilder::new(if path.tls { url.over_tls() } else { url });
    Ok(with_login(builder, path.user.as_deref(), path.password.as_deref(), path.timeout))
}

fn with_login(
    mut builder: RedisBuilder,
    user: Option<&str>,
    password: Option<&str>,
    timeout: Duration,
) -> RedisBuilder {
    if let Some(user) = user {
        builder = builder.user(user);
    }
    if let Some(password) = password {
        builder = builder.password(password);
    }
    // Zero is for ever in PHP.
    if timeout > Duration::ZERO { builder.connect_timeout(timeout) } else { builder }
}

fn builder(server: &RedisServer) -> RedisBuilder {
    let url = match &server.address {
        Address::Unix(path) => RedisUrl::at_socket(path),
        Address::Tcp { host, port, tls } => {
            let url = RedisUrl::at(host, *port);
            if *tls { url.over_tls() } else { url }
        }
    };
    let builder = RedisBuilder::new(url).database(server.database);
    with_login(builder, server.user.as_deref(), server.password.as_deref(), server.timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<PhpSettings, PhpSettingsError> {
        let mut ini = PhpIni::default();
        ini.add("php.ini", text.as_bytes());
        PhpSettings::of(&ini.session())
    }

    const REDIS: &str = "session.save_handler = redis\n";

    #[test]
    fn what_php_is_set_to_is_taken_over() {
        let text = "session.save_path = \"tcp://10.0.0.1:7000?database=3&prefix=shop:&auth[]=web&auth[]=hush\"\n\
                    session.serialize_handler = igbinary\nsession.sid_length = 40\nsession.name = SHOP\n\
                    session.gc_maxlifetime = 7200\n";
        let php = of(&format!("{REDIS}{text}")).unwrap();
        let expected = Layout::phpredis()
            .prefix("shop:")
            .serialize_handler("igbinary")
            .and_then(|layout| layout.sid(40, 4))
            .and_then(|layout| layout.gc_maxlifetime(Duration::from_secs(7200)))
            .unwrap()
            .session_name("SHOP");
        assert_eq!(php.layout, expected);
        let shown = format!("{php:?}");
        assert!(shown.contains("redis://10.0.0.1:7000/3") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn several_servers_are_taken_over_with_their_weights() {
        let path = "session.save_path = \"tcp://a?weight=2&prefix=p:, tcp://b:7000?prefix=p:\"\n";
        let php = of(&format!("{REDIS}{path}")).unwrap();
        let servers: Vec<_> =
            php.servers.iter().map(|(server, weight)| (server.url.to_string(), *weight)).collect();
        assert_eq!(servers, [("redis://a:6379".to_owned(), 2), ("redis://b:7000".to_owned(), 1)]);
        assert_eq!(php.layout.data_prefix(), "p:");
    }

    #[test]
    fn a_cluster_is_taken_over() {
        let path = "session.save_path = \"seed[]=a:7000&seed[]=b:7001&auth[]=web&auth[]=hush\"\n";
        let php =
            of(&format!("session.save_handler = rediscluster\nredis.session.locking_enabled = 1\n{path}"))
                .unwrap();
        assert_eq!(php.servers[0].0.url.to_string(), "redis-cluster://a:7000,b:7001");
        assert_eq!(php.layout.data_prefix(), "PHPREDIS_CLUSTER_SESSION:");
        assert!(!format!("{php:?}").contains("hush"));
        let path = path.replace("&auth", "&prefix=shop:&auth");
        let php = of(&format!("session.save_handler = rediscluster\n{path}")).unwrap();
        assert_eq!(php.layout.data_prefix(), "shop:");
    }

    #[test]
    fn what_cannot_be_shared_is_refused_with_the_setting_to_change() {
        for (text, told) in [
            ("", "session.save_handler is files"),
            ("session.save_handler = memcached\n", "session.save_handler is memcached"),
            ("session.save_handler = redis\n", "names no server"),
            (
                "session.save_handler = rediscluster\nsession.save_path = \"tcp://a\"\n",
                "names no node of the cluster",
            ),
            (
                "session.save_handler = redis\nsession.save_path = \"tcp://a,tcp://b\"\nredis.session.locking_enabled = 1\n",
                "redis.session.locking_enabled = 0",
            ),
            ("session.save_handler = redis\nsession.save_path = \"tcp://a?prefix=p:,tcp://b\"\n", "prefix"),
            (
                "session.save_handler = redis\nsession.save_path = \"tcp://a\"\nsession.sid_length = 22\n",
                "raise session.sid_length",
            ),
            (
                "session.save_handler = redis\nsession.save_path = \"tcp://a\"\nsession.serialize_handler = wddx\n",
                "session.serialize_handler",
            ),
        ] {
            let error = of(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(PhpSettings::read(["no/such.ini"]).unwrap_err().to_string().contains("no/such.ini"));
    }
}

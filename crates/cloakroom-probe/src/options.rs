//! The command line, parsed into what the rest needs. Whatever is not built or makes no sense is refused here, at start.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use cloakroom::{
    CacheLimiter, CookieConfig, CookieLifetime, CsrfConfig, Limits, Locking, Mode, OnConflict, SameSite,
    Secure, SessionConfig, Transport, TrustedProxies,
};

use cloakroom_redis::php::{Cipher, Encrypter, LaravelApp, Layout};

use crate::store::StoreUrl;

/// What a run is to be like.
pub(crate) struct Setup {
    pub(crate) store: StoreUrl,
    /// Only over a store that tells of changes.
    pub(crate) near_cache: bool,
    /// Of a PHP application; only where one can keep sessions.
    pub(crate) layout: Option<Layout>,
    pub(crate) framework: Framework,
    pub(crate) listen: SocketAddr,
    pub(crate) mode: Mode,
    pub(crate) sessions: SessionConfig,
}

/// The framework the routes are served through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framework {
    Axum,
    Hyper,
}

/// Reads the command line.
pub(crate) fn from_command_line() -> Result<Setup, Refused> {
    Options::try_parse().map_err(Refused::Usage)?.into_setup()
}

/// Why the probe does not start.
pub(crate) enum Refused {
    /// clap has something to say: a mistake, or the help that was asked for.
    Usage(clap::Error),
    /// One line about it.
    Start(String),
}

impl Refused {
    pub(crate) fn start(what: &str, error: &dyn std::error::Error) -> Self {
        Refused::Start(format!("{what}: {error}"))
    }

    fn option(option: &str, why: &str) -> Self {
        Refused::Start(format!("{option} {why}"))
    }

    /// One line on standard error and exit status 2; help goes to standard output.
    pub(crate) fn exit(&self) -> ExitCode {
        let text = match self {
            Refused::Usage(help) if !help.use_stderr() => {
                print!("{help}");
                return ExitCode::SUCCESS;
            }
            // clap explains over several lines; what follows the first empty one is about its own usage.
            Refused::Usage(error) => {
                let text = error.to_string();
                let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
                lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
            }
            Refused::Start(text) => text.lines().map(str::trim).collect::<Vec<_>>().join(" "),
        };
        eprintln!("cloakroom-probe: {text}");
        ExitCode::from(2)
    }
}

/// Serves every public operation of Cloakroom under a fixed route.
#[derive(Parser, Debug)]
#[command(name = "cloakroom-probe", version)]
struct Options {
    /// Where sessions are kept: memory:, sqlite:PATH, file:PATH (a directory), redis://HOST:PORT/DB, rediss://HOST:PORT/DB?ca=FILE (TLS),
    /// redis+unix:PATH, redis-sentinel://HOST:PORT,HOST:PORT/SERVICE/DB or redis-cluster://HOST:PORT,HOST:PORT
    #[arg(long, value_name = "URL")]
    store: StoreUrl,
    /// The framework in front
    #[arg(long, value_enum, default_value = "axum")]
    framework: FrameworkWord,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Whether requests of one session wait for one another
    #[arg(long, value_enum, default_value = "merge")]
    mode: ModeWord,
    /// What becomes of a key that was read, changed by another request, and then written
    #[arg(long, value_enum, default_value = "refuse")]
    on_conflict: OnConflictWord,
    /// How sessions are laid out in the store: native, or as a PHP application has them (php-files and mini in file:PATH, mini in sqlite:PATH, the others
    /// in Redis; laravel with its key in APP_KEY)
    #[arg(long, default_value = "native")]
    layout: String,
    /// The session format of a PHP layout
    #[arg(long)]
    php_serializer: Option<String>,
    /// Keep what was read in the process; with a store on a server that tells of changes
    #[arg(long)]
    near_cache: bool,
    #[arg(long, value_name = "NAME")]
    cookie_name: Option<String>,
    /// auto, always or never
    #[arg(long, value_name = "WHEN")]
    secure: Option<Secure>,
    /// A proxy whose forwarding headers count; may be given several times
    #[arg(long, value_name = "CIDR")]
    trusted_proxy: Vec<String>,
    /// lax, strict or none
    #[arg(long)]
    same_site: Option<SameSite>,
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    #[arg(long)]
    partitioned: bool,
    /// How long the browser keeps the cookie; 0: until it is closed
    #[arg(long, value_name = "SECONDS", value_parser = seconds_or_none)]
    cookie_lifetime: Option<Duration>,
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_sessions_per_user: Option<u32>,
    /// Send Clear-Site-Data at a logout
    #[arg(long)]
    clear_site_data: bool,
    /// The form of ids in a PHP layout
    #[arg(long, value_name = "LENGTH,BITS")]
    id_format: Option<String>,
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    idle: Option<Duration>,
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    absolute: Option<Duration>,
    /// Replace ids by themselves, this often
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    renewal: Option<Duration>,
    /// How long a replaced id works on; needs --renewal
    #[arg(long, value_name = "SECONDS", value_parser = seconds_or_none, requires = "renewal")]
    grace: Option<Duration>,
    #[arg(long, value_name = "N", value_parser = milliseconds)]
    lock_lease_ms: Option<Duration>,
    #[arg(long, value_name = "N", value_parser = milliseconds)]
    lock_wait_ms: Option<Duration>,
    /// nocache, private, private_no_expire, public or none
    #[arg(long, value_name = "WORD")]
    cache_limiter: Option<CacheLimiter>,
    /// Encrypt what is stored; may be given several times
    #[arg(long, value_name = "HEX")]
    encrypt_key: Vec<String>,
    /// Compress what is stored
    #[arg(long)]
    compress: bool,
    /// The size of a session, at most
    #[arg(long, value_name = "N")]
    max_bytes: Option<usize>,
    /// Also commit what a handler buffered that answers 5xx
    #[arg(long)]
    commit_on_5xx: bool,
    /// Refuse unsafe requests of other sites
    #[arg(long)]
    csrf: bool,
    /// How ids travel
    #[arg(long, value_enum, default_value = "cookie")]
    transport: TransportWord,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum FrameworkWord {
    Axum,
    Actix,
    Hyper,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum ModeWord {
    Merge,
    Exclusive,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum OnConflictWord {
    Refuse,
    Overwrite,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum TransportWord {
    Cookie,
    Header,
}

/// Where the probe's imaginary PHP application keeps who is logged in.
const USER_VARIABLE: &str = "user";

/// The layout that begins with the application's key, which is taken from where Laravel has it.
const LARAVEL: &str = "laravel";
const APP_KEY: &str = "APP_KEY";

impl Options {
    fn into_setup(self) -> Result<Setup, Refused> {
        self.refuse_what_is_not_built()?;
        let framework = match self.framework {
            FrameworkWord::Axum => Framework::Axum,
            FrameworkWord::Hyper => Framework::Hyper,
            FrameworkWord::Actix => return Err(Refused::option("--framework actix", "is not built yet")),
        };
        let mode = match self.mode {
            ModeWord::Merge => Mode::Merge,
            ModeWord::Exclusive => Mode::Exclusive,
        };
        let layout = self.layout()?;
        let sessions = self.sessions(mode, layout.as_ref())?;
        let (store, near_cache) = (self.store, self.near_cache);
        Ok(Setup { store, near_cache, layout, framework, listen: self.listen, mode, sessions })
    }

    fn refuse_what_is_not_built(&self) -> Result<(), Refused> {
        let refuse = |option: &str| Err(Refused::option(option, "is not built yet"));
        for (given, option) in
            [(!self.encrypt_key.is_empty(), "--encrypt-key"), (self.compress, "--compress")]
        {
            if given {
                return refuse(option);
            }
        }
        if self.near_cache && !self.store.tells_of_changes() {
            return Err(Refused::option(
                "--near-cache",
                "needs a store on a server that tells of changes: redis://HOST:PORT/DB, redis+unix:PATH, redis-sentinel://… or \
                 redis-cluster://…",
            ));
        }
        Ok(())
    }

    /// The layout of a PHP application, with what is told of it.
    fn layout(&self) -> Result<Option<Layout>, Refused> {
        let name = self.layout.as_str();
        if name == "native" {
            for (given, option) in [
                (self.php_serializer.is_some(), "--php-serializer"),
                (self.id_format.is_some(), "--id-format"),
            ] {
                if given {
                    return Err(Refused::option(option, "needs a PHP layout (--layout)"));
                }
            }
            return Ok(None);
        }
        let known = || {
            let known: Vec<&str> = Layout::names().chain([LARAVEL]).collect();
            Refused::option("--layout", &format!("must be one of native, {}", known.join(", ")))
        };
        let mut layout: Layout = match name {
            LARAVEL => laravel()?,
            name => name.parse().map_err(|_| known())?,
        };
        if let Some(place) = self.store.is_no_place_of(name) {
            return Err(Refused::option("--layout", &format!("{name} needs a store {place}")));
        }
        if self.near_cache {
            return Err(Refused::option("--near-cache", "is for sessions that are not PHP's as well"));
        }
        if let Some(handler) = &self.php_serializer {
            layout = layout
                .serialize_handler(handler)
                .map_err(|error| Refused::start("--php-serializer", &error))?;
        }
        if let Some(format) = &self.id_format {
            let read = format
                .split_once(',')
                .and_then(|(length, bits)| Some((length.trim().parse().ok()?, bits.trim().parse().ok()?)));
            let (length, bits) =
                read.ok_or_else(|| Refused::option("--id-format", "is LENGTH,BITS: 26,5"))?;
            layout = layout.sid(length, bits).map_err(|error| Refused::start("--id-format", &error))?;
        }
        // Laravel's guard has a variable of its own.
        Ok(Some(if name == LARAVEL { layout } else { layout.user_variable(USER_VARIABLE) }))
    }

    fn sessions(&self, mode: Mode, layout: Option<&Layout>) -> Result<SessionConfig, Refused> {
        let proxies = TrustedProxies::parse(&self.trusted_proxy)
            .map_err(|error| Refused::start("--trusted-proxy", &error))?;
        let mut locking = layout.map_or_else(Locking::default, Layout::locking);
        locking.lease = self.lock_lease_ms.unwrap_or(locking.lease);
        locking.wait = self.lock_wait_ms.unwrap_or(locking.wait);
        let mut config = layout.map_or_else(SessionConfig::new, Layout::session_config);
        if let Some(session_bytes) = self.max_bytes {
            config = config.limits(Limits { session_bytes, ..Limits::default() });
        }
        config = config
            .mode(mode)
            .on_conflict(match self.on_conflict {
                OnConflictWord::Refuse => OnConflict::Refuse,
                OnConflictWord::Overwrite => OnConflict::Overwrite,
            })
            .cookie(self.cookie(layout))
            .transport(match self.transport {
                TransportWord::Cookie => Transport::Cookie,
                TransportWord::Header => Transport::header(),
            })
            .cache_limiter(self.cache_limiter.unwrap_or_default())
            .trusted_proxies(proxies)
            .locking(locking)
            .clear_site_data(self.clear_site_data)
            .commit_on_5xx(self.commit_on_5xx);
        if let Some(idle) = self.idle {
            config = config.idle(idle);
        }
        if let Some(absolute) = self.absolute {
            config = config.absolute(absolute);
        }
        if let Some(every) = self.renewal {
            config = config.renewal(every, self.grace.unwrap_or(Duration::from_secs(30)));
        }
        if let Some(cap) = self.max_sessions_per_user {
            config = config.sessions_per_user(cap);
        }
        if self.csrf {
            config = config.csrf(CsrfConfig::default());
        }
        Ok(config)
    }

    fn cookie(&self, layout: Option<&Layout>) -> CookieConfig {
        let mut cookie = layout
            .map_or_else(CookieConfig::new, Layout::cookie_config)
            .secure(self.secure.unwrap_or_default())
            .same_site(self.same_site.unwrap_or_default())
            .partitioned(self.partitioned);
        if let Some(name) = &self.cookie_name {
            cookie = cookie.name(name);
        }
        if let Some(domain) = &self.domain {
            cookie = cookie.domain(domain);
        }
        if let Some(lifetime) = self.cookie_lifetime {
            cookie = cookie.lifetime(match lifetime {
                Duration::ZERO => CookieLifetime::BrowserSession,
                lifetime => CookieLifetime::Persistent(lifetime),
            });
        }
        cookie
    }
}

/// As an application of Laravel's begins.
fn laravel() -> Result<Layout, Refused> {
    let key = std::env::var(APP_KEY).map_err(|_| {
        Refused::option("--layout", "laravel needs the application's key in the environment variable APP_KEY")
    })?;
    let key = key.parse().map_err(|error| Refused::start(APP_KEY, &error))?;
    Ok(Layout::laravel(LaravelApp::new(Encrypter::new(Cipher::Cbc, key, []))))
}

/// Seconds, with or without a fraction.
fn seconds_or_none(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number of seconds, such as 1800 or 0.5".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

fn seconds(text: &str) -> Result<Duration, String> {
    seconds_or_none(text).and_then(|d| if d.is_zero() { Err("must not be zero".to_owned()) } else { Ok(d) })
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_millis).map_err(|_| "expected a whole number of milliseconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }
}

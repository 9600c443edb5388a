//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use cloakroom_redis::{InvalidRedisUrl, RedisUrl};

use crate::doctor::DoctorOptions;
use crate::php::PhpCommand;

/// HTTP sessions that are correct under concurrency, safe by default and nearly free.
///
/// Without a command it starts the demo: a small shop whose visitors have sessions, and an admin page that shows what the
/// sessions do.
#[derive(Debug, Parser)]
#[command(name = "cloakroom", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: DemoOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the demo shop and its admin page. The same as no command.
    Demo(Box<DemoOptions>),
    /// Reads and writes the sessions of PHP applications.
    #[command(subcommand)]
    Php(PhpCommand),
    /// Looks at PHP's settings: what they say of sessions, and which of them lose or expose any. It fails where one does.
    Doctor(DoctorOptions),
}

/// What the program is to do.
pub(crate) enum Task {
    Demo(Box<DemoOptions>),
    Doctor(DoctorOptions),
    Php(PhpCommand),
}

/// What the demo can be told.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoOptions {
    /// Where to listen: PORT, ADDRESS:PORT or localhost:PORT; port 0 takes a free one. [default: 127.0.0.1:8808, or a free
    /// port if that is taken]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    pub(crate) listen: Option<SocketAddr>,

    /// Open the shop in the browser.
    #[arg(long)]
    pub(crate) open: bool,

    /// The folder that keeps the sessions. [default: `cloakroom` in your folder for application data]
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    pub(crate) data: Option<PathBuf>,

    /// Where to keep sessions instead: `sqlite:PATH`, `file:PATH` (a directory), `redis://HOST:PORT/DB`, `rediss://HOST:PORT/DB?ca=FILE` (TLS),
    /// `redis+unix:PATH`, `redis-sentinel://HOST:PORT,HOST:PORT/SERVICE/DB` or `redis-cluster://HOST:PORT,HOST:PORT` for several
    /// instances that share them, or `memory:`, which forgets them when the program ends. Instances behind one address share
    /// the admin page as well: give them the same CLOAKROOM_ADMIN_TOKEN.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<StoreUrl>,

    /// A file with settings. [default: cloakroom.toml, if the working directory has one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// A store, named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    Memory,
    Sqlite(PathBuf),
    File(PathBuf),
    Redis(RedisUrl),
}

impl Options {
    /// What is to be done: without a command it is the demo.
    pub(crate) fn task(self) -> Task {
        match self.command {
            Some(Command::Demo(options)) => Task::Demo(options),
            Some(Command::Php(command)) => Task::Php(command),
            Some(Command::Doctor(options)) => Task::Doctor(options),
            None => Task::Demo(Box::new(self.demo)),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(StoreUrl::Memory),
            Some(("memory", _)) => Err("nothing may follow `memory:`".to_owned()),
            Some(("sqlite", "")) => Err("the path is missing: `sqlite:PATH`".to_owned()),
            Some(("sqlite", path)) => Ok(StoreUrl::Sqlite(path.into())),
            Some(("file", "")) => Err("the path is missing: `file:PATH`, a directory".to_owned()),
            Some(("file", path)) => Ok(StoreUrl::File(path.into())),
            _ => match text.parse() {
                Ok(url) => Ok(StoreUrl::Redis(url)),
                Err(InvalidRedisUrl::Scheme) => Err(
                    "this program knows `sqlite:PATH`, `file:PATH`, `redis://HOST:PORT/DB`, `rediss://HOST:PORT/DB`, `redis+unix:PATH`, \
                     `redis-sentinel://HOST:PORT,HOST:PORT/SERVICE/DB`, `redis-cluster://HOST:PORT,HOST:PORT` and `memory:`"
                        .to_owned(),
                ),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    // Names are not looked up: it must be plain who can reach the shop.
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    match port.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        Err(_) => Err("expected a port (8080), an address with a port (127.0.0.1:8080, [::1]:8080) or \
                       localhost:8080"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<DemoOptions, clap::Error> {
        Options::try_parse_from([&["cloakroom"], arguments].concat()).map(|options| match options.task() {
            Task::Demo(options) => *options,
            Task::Php(_) | Task::Doctor(_) => panic!("not the demo: {arguments:?}"),
        })
    }

    #[test]
    fn no_command_is_the_demo() {
        let bare = parse(&["--listen", "9000"]).unwrap();
        let named = parse(&["demo", "--listen", "9000"]).unwrap();
        assert_eq!(bare.listen, named.listen);
        assert_eq!(bare.listen, Some(SocketAddr::from(([127, 0, 0, 1], 9000))));
    }

    #[test]
    fn an_address_can_be_written_in_the_ways_people_write_it() {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(listen_address("0"), Ok(local(0)));
        assert_eq!(listen_address(":80"), Ok(local(80)));
        assert_eq!(listen_address("localhost:81"), Ok(local(81)));
        assert_eq!(listen_address("[::1]:82").unwrap().to_string(), "[::1]:82");
        assert_eq!(listen_address("0.0.0.0:83").unwrap().to_string(), "0.0.0.0:83");
        for wrong in ["", "example.com:80", "70000", "127.0.0.1", "-1", "localhost:"] {
            assert!(listen_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_store_is_a_url_and_what_is_not_is_told_what_is() {
        assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
        assert_eq!("sqlite:a/b.db".parse(), Ok(StoreUrl::Sqlite("a/b.db".into())));
        assert_eq!("file:a/sessions".parse(), Ok(StoreUrl::File("a/sessions".into())));
        assert_eq!("sqlite:C:\\x.db".parse(), Ok(StoreUrl::Sqlite("C:\\x.db".into())));
        assert_eq!("redis://h:1/2".parse(), Ok(StoreUrl::Redis("redis://h:1/2".parse().unwrap())));
        assert!("redis+unix:/run/r.sock".parse::<StoreUrl>().is_ok());
        assert!("rediss://h?ca=/etc/ca.pem".parse::<StoreUrl>().is_ok());
        assert!("redis-sentinel://a,b:1/shop/0".parse::<StoreUrl>().is_ok());
        assert!("redis-cluster://a,b:1".parse::<StoreUrl>().is_ok());
        for wrong in [
            "",
            "memory",
            "memory:x",
            "sqlite:",
            "file:",
            "redis:localhost",
            "rediss://h?insecure",
            "sessions.db",
        ] {
            assert!(wrong.parse::<StoreUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_and_a_store_contradict_each_other() {
        assert!(parse(&["--data", "a", "--store", "memory:"]).is_err());
    }
}

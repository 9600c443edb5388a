//! `cloakroom doctor`: what PHP is set to do with its sessions, and what of that loses or exposes them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use cloakroom_php::ini::{Address, PhpIni, SaveHandler, SessionIni, Severity};

use crate::Trouble;

/// What the doctor can be told.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorOptions {
    /// PHP's settings: `php.ini`, a folder such as `conf.d`, a pool of PHP-FPM; in the order in which PHP reads them
    /// (`php --ini` tells), the later over the earlier.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    php_ini: Vec<PathBuf>,
}

/// Success, if nothing loses sessions and nothing exposes them.
pub(crate) fn run(options: &DoctorOptions, out: &mut impl Write) -> Result<ExitCode, Trouble> {
    let session = PhpIni::read(&options.php_ini)?.session();
    in_force(&session, out)?;
    found(&session, out)?;
    let worst = session.findings().iter().map(|finding| finding.severity).min();
    let unsafe_so = matches!(worst, Some(Severity::Loses | Severity::Exposes));
    Ok(if unsafe_so { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn in_force(session: &SessionIni, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "PHP's sessions")?;
    let mut line = |name: &str, value: String| writeln!(out, "  {name:<12} {value}");
    match &session.save_handler {
        SaveHandler::Files => {
            let folder = session.folder().map_or_else(|_| "(unreadable)".to_owned(), |path| path.folder);
            let folder = if folder.is_empty() {
                "the folder that PHP was built with (session.save_path is not set)"
            } else {
                &folder
            };
            line("kept in", format!("files in {folder}"))?;
        }
        SaveHandler::Redis => {
            for server in session.servers().unwrap_or_default() {
                let place = match &server.address {
                    Address::Tcp { host, port, tls } => {
                        format!("{host}, port {port}{}", if *tls { ", TLS" } else { "" })
                    }
                    Address::Unix(path) => path.clone(),
                };
                let prefix = server.prefix.as_deref().unwrap_or("PHPREDIS_SESSION:");
                line(
                    "kept in",
                    format!("Redis at {place}; database {}, prefix {prefix:?}", server.database),
                )?;
            }
        }
        SaveHandler::RedisCluster => line("kept in", "a Redis cluster".to_owned())?,
        SaveHandler::Other(name) => line("kept in", format!("what {name:?} keeps them in"))?,
        _ => {}
    }
    let format = session.format.map_or_else(|| "one that Rust does not read".to_owned(), |f| f.to_string());
    line("format", format)?;
    line("live for", format!("{} s without being used", session.lifetime.as_secs()))?;
    let id = session.id;
    line("ids", format!("{} characters of {} bits: {} bits", id.length, id.bits_per_character, id.bits()))?;
    let cookie = &session.cookie;
    let mut attributes = format!("{}; Path={}", session.name, cookie.path);
    for (on, attribute) in [
        (!cookie.domain.is_empty(), format!("Domain={}", cookie.domain)),
        (cookie.secure, "Secure".to_owned()),
        (cookie.http_only, "HttpOnly".to_owned()),
        (!cookie.same_site.is_empty(), format!("SameSite={}", cookie.same_site)),
        (!cookie.lifetime.is_zero(), format!("Max-Age={}", cookie.lifetime.as_secs())),
    ] {
        if on {
            attributes.push_str("; ");
            attributes.push_str(&attribute);
        }
    }
    line("cookie", attributes)?;
    if session.save_handler == SaveHandler::Redis {
        let lock = session.lock;
        let waits =
            lock.patience().map_or_else(|| "for ever".to_owned(), |p| format!("{} ms", p.as_millis()));
        line("locking", if lock.enabled { format!("on; waits {waits}") } else { "off".to_owned() })?;
    }
    writeln!(out)
}

fn found(session: &SessionIni, out: &mut impl Write) -> io::Result<()> {
    let findings = session.findings();
    for finding in findings {
        writeln!(out, "{:<8} {} ({})", finding.severity, finding.setting, finding.place)?;
        writeln!(out, "         {}", finding.why)?;
        writeln!(out, "         write: {}\n", finding.change)?;
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    writeln!(
        out,
        "settings that lose sessions: {}, that expose them: {}; risks: {}; to note: {}",
        count(Severity::Loses),
        count(Severity::Exposes),
        count(Severity::Risk),
        count(Severity::Note)
    )
}

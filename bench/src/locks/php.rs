//! PHP-FPM with phpredis' session handler and its locks, by itself.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::door::Door;

/// What has to be installed, in Debian's words.
const PACKAGES: &str = "php8.2-fpm and php-redis (apt-get install php-fpm php-redis)";
const SCRIPT: &str = include_str!("locks.php");
/// One for each request at the same time, and some for whoever passes by: nobody waits for a process.
const WORKERS: usize = super::AT_ONCE + 4;

/// Ends with this.
pub struct Php {
    process: Child,
    folder: tempfile::TempDir,
    /// Of PHP and of phpredis.
    pub version: String,
}

impl Php {
    /// Starts it, with its sessions on the server at this port.
    pub fn start(redis: u16) -> Result<Self, String> {
        let program = find().ok_or_else(|| missing("no php-fpm was found"))?;
        let said = |arguments: &[&str]| {
            let output = Command::new(&program).args(arguments).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
        };
        if !said(&["-m"]).lines().any(|module| module.trim() == "redis") {
            return Err(missing("PHP has no extension `redis`"));
        }
        let php = said(&["-v"]).split(' ').nth(1).unwrap_or("of an unknown version").to_owned();
        let info = said(&["-i"]);
        let redis_version = info.split("Redis Version").nth(1).and_then(|rest| {
            rest.trim_start_matches("</td><td class=\"v\">")
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
                .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        });
        let version = format!("PHP {php}, phpredis {}", redis_version.unwrap_or("of an unknown version"));

        let folder = tempfile::tempdir().map_err(|error| format!("no folder for PHP: {error}"))?;
        let path = folder.path();
        let write = |name: &str, text: &str| {
            std::fs::write(path.join(name), text)
                .map_err(|error| format!("{name} cannot be written: {error}"))
        };
        write("locks.php", SCRIPT)?;
        write("fpm.conf", &configuration(path, redis))?;
        let process = Command::new(&program)
            // Whoever runs the benchmark, root or not, runs this as well.
            .args(["--allow-to-run-as-root", "--nodaemonize", "--fpm-config"])
            .arg(path.join("fpm.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", program.display()))?;
        let php = Php { process, folder, version };
        let began = Instant::now();
        while !php.socket().exists() {
            if began.elapsed() > Duration::from_secs(10) {
                let log = std::fs::read_to_string(php.folder.path().join("log")).unwrap_or_default();
                return Err(format!("php-fpm does not start: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(php)
    }

    /// Where it listens.
    pub fn door(&self) -> Door {
        Door::FastCgi { socket: self.socket(), script: self.folder.path().join("locks.php") }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }
}

impl Drop for Php {
    fn drop(&mut self) {
        // Its workers end with it only where it is asked to end.
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn configuration(folder: &Path, redis: u16) -> String {
    let folder = folder.display();
    let mut text = format!(
        "[global]\nerror_log = {folder}/log\n\
         [locks]\nlisten = {folder}/socket\npm = static\npm.max_children = {WORKERS}\n"
    );
    // Who is not root cannot choose, and is told so if it tries.
    if Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n")) {
        text.push_str("user = root\ngroup = root\n");
    }
    let path = format!("\"tcp://127.0.0.1:{redis}?database=1\"");
    for (name, value) in [
        ("session.save_handler", "redis"),
        ("session.save_path", path.as_str()),
        ("session.use_strict_mode", "0"),
        ("session.cache_limiter", ""),
        ("max_execution_time", "0"),
        ("redis.session.locking_enabled", "1"),
        ("redis.session.lock_expire", "60"),
        // Raised until nothing is lost: with the default it gives up, writes nothing and says nothing. The pause between
        // two tries is phpredis' own default.
        ("redis.session.lock_retries", "100000"),
    ] {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "php_admin_value[{name}] = {value}");
    }
    text
}

fn find() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    folders.push("/usr/sbin".into());
    let names = ["php-fpm", "php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm8.5"];
    folders.iter().flat_map(|folder| names.map(|name| folder.join(name))).find(|program| program.is_file())
}

fn missing(what: &str) -> String {
    format!("the table of locks is measured beside PHP, and {what}: it takes {PACKAGES}")
}

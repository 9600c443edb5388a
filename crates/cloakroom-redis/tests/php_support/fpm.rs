//! PHP-FPM for tests: a pool of its own in a folder of its own, and as much of FastCGI as it takes to ask it for a page.

#![allow(dead_code, unreachable_pub)] // Each test program uses a part of it.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cloakroom_testing::processes;

/// A pool that serves one page.
pub struct Fpm {
    process: Child,
    folder: tempfile::TempDir,
    cookie: String,
}

/// What a page answered.
#[derive(Debug)]
pub struct Page {
    /// The session that the response names, if it does.
    pub id: Option<String>,
    pub body: String,
}

impl Fpm {
    /// Starts it with these lines of `php.ini`; the session's cookie has this name.
    pub fn start(page: &str, cookie: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("page.php"), page).unwrap();
        let mut config = format!(
            "[global]\nerror_log = {}\ndaemonize = no\n[test]\nlisten = {}\npm = static\npm.max_children = 10\ncatch_workers_output = yes\n",
            path("log"),
            path("sock"),
        );
        // Ignored unless the master is root, which in a container it is.
        config.push_str("user = root\ngroup = root\n");
        for (name, value) in settings {
            let _ = writeln!(config, "php_admin_value[{name}] = \"{value}\"");
        }
        let _ = writeln!(config, "php_admin_value[error_log] = {}", path("php.log"));
        config.push_str("php_admin_flag[log_errors] = on\nphp_admin_flag[display_errors] = off\n");
        // Everything, what is deprecated included.
        config.push_str("php_admin_value[error_reporting] = 32767\n");
        std::fs::write(path("fpm.conf"), config).unwrap();
        let process = Command::new(program())
            .args(["--fpm-config", &path("fpm.conf"), "--allow-to-run-as-root", "--nodaemonize"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let fpm = Fpm { process, folder, cookie: cookie.to_owned() };
        let began = Instant::now();
        while UnixStream::connect(fpm.socket()).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "PHP-FPM does not start: {}", fpm.log("log"));
            std::thread::sleep(Duration::from_millis(5));
        }
        fpm
    }

    /// The name of the session's cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// What PHP complained of.
    pub fn complaints(&self) -> String {
        self.log("php.log")
    }

    /// Asks for the page, with this query and session.
    pub fn get(&self, query: &str, id: Option<&str>) -> Page {
        let script = self.folder.path().join("page.php").display().to_string();
        let cookie = id.map(|id| format!("{}={id}", self.cookie)).unwrap_or_default();
        let variables = [
            ("SCRIPT_FILENAME", script.as_str()),
            ("REQUEST_METHOD", "GET"),
            ("QUERY_STRING", query),
            ("HTTP_COOKIE", &cookie),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
        ];
        let mut parameters = Vec::new();
        for (name, value) in variables {
            // Four bytes of length, with the highest bit set: FastCGI 1.0, section 3.4.
            for text in [name, value] {
                parameters.extend((text.len() as u32 | 1 << 31).to_be_bytes());
            }
            parameters.extend(name.bytes().chain(value.bytes()));
        }
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // A responder, whose connection ends with the request.
        let begin = record(1, &[0, 1, 0, 0, 0, 0, 0, 0]);
        let all = [begin, record(4, &parameters), record(4, &[]), record(5, &[])].concat();
        stream.write_all(&all).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        self.page(&answer)
    }

    fn page(&self, mut records: &[u8]) -> Page {
        let mut output = Vec::new();
        while let [_, kind, _, _, high, low, padding, _, rest @ ..] = records {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if *kind == 6 {
                output.extend(&rest[..length]);
            }
            records = &rest[length + usize::from(*padding)..];
        }
        let output = String::from_utf8_lossy(&output).into_owned();
        let (head, body) = output
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no page: {output} {}", self.complaints()));
        // The last one counts: a page that changes its id twice tells it twice.
        let named = format!("Set-Cookie: {}=", self.cookie);
        let mut cookies = head.lines().filter_map(|line| line.strip_prefix(&named));
        let id = cookies.next_back().map(|cookie| cookie.split(';').next().unwrap().to_owned());
        Page { id: id.filter(|id| id != "deleted"), body: body.to_owned() }
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        // The master ends its children when it is asked to; killed, it would leave them.
        processes::end(&mut self.process);
    }
}

fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("CLOAKROOM_PHP_FPM") {
        return program.into();
    }
    let found = (1..=9)
        .rev()
        .flat_map(|minor| [format!("/usr/sbin/php-fpm8.{minor}")])
        .map(PathBuf::from)
        .find(|p| p.exists());
    found.unwrap_or_else(|| panic!("there is no PHP-FPM: ./test installs it, or set CLOAKROOM_PHP_FPM"))
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut record = vec![1, kind, 0, 1, high, low, 0, 0];
    record.extend(content);
    record
}

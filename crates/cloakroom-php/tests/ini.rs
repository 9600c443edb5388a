//! `php.ini`: what is taken over, what is found fault with, and that PHP itself reads the same.

#![allow(clippy::expect_used)] // Helpers of tests are tests.

#[path = "support/program.rs"]
mod program;

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use cloakroom_php::Format;
use cloakroom_php::ini::{Address, PhpIni, SaveHandler, SessionIni, Severity};

fn session(text: &str) -> SessionIni {
    let mut ini = PhpIni::default();
    ini.add_with("php.ini", text.as_bytes(), &|_| None);
    ini.session()
}

/// Severity, setting and line to write, of each finding.
fn findings(text: &str) -> Vec<(Severity, String, String)> {
    let session = session(text);
    session.findings().iter().map(|f| (f.severity, f.setting.clone(), f.change.clone())).collect()
}

fn finds(text: &str, severity: Severity, change: &str) -> bool {
    findings(text).iter().any(|(found, _, line)| *found == severity && line == change)
}

/// With nothing to find fault with.
const SOUND: &str = r#"
session.save_handler = redis
session.save_path = "tcp://127.0.0.1:6379"
session.use_strict_mode = 1
session.cookie_httponly = 1
session.cookie_secure = 1
session.cookie_samesite = "Lax"
redis.session.locking_enabled = 1
redis.session.lock_expire = 30
redis.session.lock_retries = 1000
"#;

#[test]
fn without_a_file_the_defaults_are_phps() {
    let php = session("");
    assert_eq!((php.name.as_str(), &php.save_handler), ("PHPSESSID", &SaveHandler::Files));
    assert_eq!((php.format, php.lifetime), (Some(Format::Php), Duration::from_secs(1440)));
    assert_eq!((php.id.bits(), php.strict_mode, php.only_cookies), (128, false, true));
    assert_eq!((php.cookie.path.as_str(), php.cookie.secure, php.cookie.http_only), ("/", false, false));
    assert_eq!((php.cache_limiter.as_str(), php.cache_expire), ("nocache", Duration::from_secs(10_800)));
    assert_eq!(php.lock.patience(), Some(Duration::from_millis(22)));
}

#[test]
fn a_sound_file_has_nothing_to_find_fault_with() {
    assert_eq!(findings(SOUND), []);
    for none in ["none", "None", "\"none\"", "\"\"", "off"] {
        assert_eq!(findings(&format!("{SOUND}redis.session.compression = {none}\n")), [], "{none}");
    }
}

#[test]
fn each_setting_that_loses_or_exposes_is_told_with_the_line_to_write() {
    use Severity::{Exposes, Loses, Note, Risk};
    for (text, severity, change) in [
        ("redis.session.locking_enabled = 0", Loses, "redis.session.locking_enabled = 1"),
        ("redis.session.lock_expire = 0", Loses, "redis.session.lock_expire = 30"),
        ("redis.session.lock_retries = 10", Loses, "redis.session.lock_retries = 500"),
        // PHP takes zero for its default, and below -1 does not even try once.
        ("redis.session.lock_retries = 0", Loses, "redis.session.lock_retries = 500"),
        ("redis.session.lock_retries = -2", Loses, "redis.session.lock_retries = 500"),
        (
            "redis.session.lock_retries = 400\nredis.session.lock_wait_time = 0",
            Loses,
            "redis.session.lock_retries = 500",
        ),
        ("redis.session.lock_retries = -1", Risk, "redis.session.lock_retries = 100"),
        ("session.save_path = \"tcp://a,tcp://b\"", Loses, "session.save_path = \"tcp://ONE_SERVER:6379\""),
        ("session.save_path = \"tcp://10.0.0.9\"", Risk, "session.save_path = \"tls://HOST:PORT\""),
        ("session.save_path = \"/var/lib/php\"", Loses, "session.save_path = \"tcp://127.0.0.1:6379\""),
        ("session.save_handler = rediscluster", Loses, "session.save_handler = redis"),
        (
            "session.save_handler = rediscluster\nsession.save_path = \"seed[]=a:7000&failover=error\"",
            Loses,
            "session.save_path = \"seed[]=HOST:PORT&seed[]=HOST:PORT\"",
        ),
        (
            "session.save_handler = rediscluster\nsession.save_path = \"tcp://a:7000\"",
            Loses,
            "session.save_path = \"seed[]=HOST:PORT&seed[]=HOST:PORT\"",
        ),
        ("session.save_handler = memcached", Note, "session.save_handler = redis"),
        ("session.serialize_handler = wddx", Note, "session.serialize_handler = php_serialize"),
        ("redis.session.compression = brotli", Risk, "redis.session.compression = none"),
        ("redis.session.compression = LZ4", Note, "redis.session.compression = none"),
        ("session.use_strict_mode = Off", Exposes, "session.use_strict_mode = 1"),
        ("session.cookie_httponly = no", Exposes, "session.cookie_httponly = 1"),
        ("session.cookie_secure = \"\"", Exposes, "session.cookie_secure = 1"),
        ("session.cookie_samesite =\n", Exposes, "session.cookie_samesite = \"Lax\""),
        ("session.use_trans_sid = 1", Exposes, "session.use_trans_sid = 0"),
        ("session.use_only_cookies = 0", Exposes, "session.use_only_cookies = 1"),
        ("session.sid_length = 24", Exposes, "session.sid_length = 32"),
        ("session.sid_length = 22\nsession.sid_bits_per_character = 5", Exposes, "session.sid_length = 26"),
        ("session.sid_length = 500", Risk, "session.sid_length = 32"),
        ("session.sid_length = 48", Note, "session.sid_length = 32"),
        ("session.sid_bits_per_character = 5", Note, "session.sid_bits_per_character = 4"),
        ("session.cookie_lifetime = 86400", Risk, "session.gc_maxlifetime = 86400"),
        ("session.cache_limiter = public", Exposes, "session.cache_limiter = nocache"),
        ("session.gc_maxlifetime = soon", Loses, "session.gc_maxlifetime = 1440"),
        ("session.save_path = tcp://h?a&b", Loses, "session.save_path = \"…\""),
        ("session.save_path = tcp://h?database=2", Loses, "write NAME = \"VALUE\""),
        ("session.name = ${NAME}", Risk, "run this where NAME is set as it is for PHP"),
        ("[PATH=/shop]\nsession.name = x", Note, "put it outside of [PATH=…] and [HOST=…]"),
    ] {
        assert!(finds(&format!("{SOUND}{text}\n"), severity, change), "{text}: {:#?}", findings(text));
    }
}

#[test]
fn a_finding_says_where_and_repeats_no_secret() {
    let session =
        session("\nsession.save_handler = redis\nsession.save_path = \"tcp://x?auth=hunter2&weight=many\"\n");
    let told: Vec<String> = session.findings().iter().map(ToString::to_string).collect();
    assert!(
        told.iter().any(|line| line.contains("php.ini:3") && line.contains("weight has to be a number")),
        "{told:#?}"
    );
    assert!(!told.join("\n").contains("hunter2"));
    assert!(!format!("{session:?}").contains("hunter2"));
}

#[test]
fn files_go_over_files_and_a_pools_own_values_over_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("20-b.ini", "session.name = B\nsession.gc_maxlifetime = 2\n");
    write("10-a.ini", "session.name = A\nsession.gc_maxlifetime = 1\nsession.cookie_path = /a\n");
    write(
        "pool.conf",
        "[www]\nphp_value[session.name] = POOL\nphp_admin_value[session.cookie_path] = /admin\n",
    );
    write("ignored.txt", "session.name = TEXT\n");
    let read = PhpIni::read([folder.path()]).unwrap().session();
    assert_eq!((read.name.as_str(), read.lifetime.as_secs(), read.cookie.path.as_str()), ("B", 2, "/a"));

    let mut ini = PhpIni::read([&folder.path().join("pool.conf"), folder.path()]).unwrap();
    let read = ini.session();
    assert_eq!((read.name.as_str(), read.cookie.path.as_str()), ("POOL", "/admin"));
    ini.add("late.conf", b"php_value[session.cookie_path] = /late\n");
    assert_eq!(ini.session().cookie.path, "/admin", "an administrator's value stays");

    let missing = PhpIni::read([folder.path().join("none.ini")]).unwrap_err().to_string();
    assert!(missing.contains("none.ini"), "{missing}");
}

#[test]
fn a_path_with_all_its_options_is_taken_over() {
    let session = session(
        "session.save_handler = redis\nsession.save_path = \"tls://r.internal:6380?auth[]=web&auth[]=pw&database=4&prefix=s:\"\n",
    );
    let [server] = session.servers().unwrap().try_into().unwrap();
    assert_eq!(server.address, Address::Tcp { host: "r.internal".into(), port: 6380, tls: true });
    assert_eq!((server.user.as_deref(), server.password.as_deref()), (Some("web"), Some("pw")));
    assert_eq!((server.database, server.prefix.as_deref()), (4, Some("s:")));
}

/// What PHP makes of a file, asked for with `ini_get`.
fn as_php_reads(text: &str, settings: &[&str]) -> Vec<String> {
    let mut file = tempfile::Builder::new().suffix(".ini").tempfile().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    let ask =
        "foreach (array_slice($argv, 1) as $name) { echo base64_encode((string) ini_get($name)), \"\\n\"; }";
    let asked = program::php()
        .arg("-c")
        .arg(file.path())
        // Only this file: no folder of others over it.
        .env("PHP_INI_SCAN_DIR", "")
        .env("CLOAKROOM_SET", "from/outside")
        .args([
            "-d",
            "display_startup_errors=0",
            "-d",
            "log_errors=0",
            "-d",
            "error_reporting=0",
            "-r",
            ask,
            "--",
        ])
        .args(settings)
        .stderr(Stdio::null())
        .output()
        .expect("php is installed");
    let text = String::from_utf8(asked.stdout).expect("text");
    text.lines()
        .skip_while(|line| line.contains(' '))
        .map(|line| data_encoding::BASE64.decode(line.as_bytes()).expect("base64"))
        .map(|bytes| String::from_utf8(bytes).expect("text"))
        .collect()
}

#[test]
fn php_itself_reads_these_files_in_the_same_way() {
    for value in [
        "a b ; c",
        "\"a;b\\\"c\\\\d\\n\"",
        "'x\"y\\'",
        "\"La\"x",
        "x \"y\" z",
        "yes",
        "None",
        "\"on\"",
        "60 + 1",
        "a'b'c",
        "${CLOAKROOM_SET}/x",
        "\"${CLOAKROOM_SET}\"",
        "tcp://127.0.0.1:6379",
        "tcp://h:1, tcp://i:2",
        "a#b",
        "a\\b",
        "tcp://h?x=y",
        "On y",
        "no",
        "true",
        "\ta\t",
        "'it''s'",
        "a:b/c@d%e*f",
        "\"two\nlines\"",
        "-1",
        "1M",
        "{a}",
    ] {
        // What follows tells whether PHP went on reading.
        let text = format!(
            "[PHP]\nsession.cookie_path = /untouched\nsession.cookie_path = {value}\nsession.name = AFTER\n"
        );
        let mut ini = PhpIni::default();
        let lookup = |name: &str| (name == "CLOAKROOM_SET").then(|| "from/outside".to_owned());
        ini.add_with("php.ini", text.as_bytes(), &lookup);
        let ours = ini.session();
        let theirs = as_php_reads(&text, &["session.cookie_path", "session.name"]);
        assert_eq!(theirs, [ours.cookie.path.clone(), ours.name.clone()], "{value}");
    }
}

#[test]
fn php_itself_takes_these_numbers_and_switches_in_the_same_way() {
    for (setting, value) in [
        ("session.use_strict_mode", "on"),
        ("session.use_strict_mode", "2"),
        ("session.use_strict_mode", "\"yes\""),
        ("session.use_strict_mode", "x"),
        ("session.use_strict_mode", ""),
        ("session.use_strict_mode", "Off"),
    ] {
        let text = format!("{setting} = {value}\n");
        let strict = session(&text).strict_mode;
        let theirs = as_php_reads(&text, &[setting]);
        let php_means = theirs.first().is_some_and(|read| {
            ["on", "yes", "true"].contains(&read.to_ascii_lowercase().as_str())
                || read.parse().unwrap_or(0) != 0
        });
        assert_eq!(strict, php_means, "{text}");
    }
    for (value, length) in [("26", 26), ("500", 32), ("21", 32), ("40", 40)] {
        let text = format!("session.sid_length = {value}\n");
        assert_eq!(usize::from(session(&text).id.length), length, "{value}");
        assert_eq!(as_php_reads(&text, &["session.sid_length"]), [length.to_string()], "{value}");
    }
}

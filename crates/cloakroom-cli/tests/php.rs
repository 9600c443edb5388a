//! `cloakroom php`: sessions as JSON and back, and the vectors that PHP wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "../../cloakroom-redis/tests/support/mod.rs"]
mod servers;
mod support;

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::Value as Json;
use support::program;

fn php(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = program().arg("php").args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// What the program wrote, and nothing to complain of.
fn written(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let Output { status, stdout, stderr } = php(arguments, input);
    assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    stdout
}

/// What it says of input that it does not take.
fn refused(arguments: &[&str], input: &[u8]) -> String {
    let Output { status, stdout, stderr } = php(arguments, input);
    assert_eq!((status.code(), stdout.as_slice()), (Some(1), b"".as_slice()));
    String::from_utf8(stderr).unwrap()
}

/// What a test needs of a vector, some of which are described deeper than JSON is usually read.
#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    hex: Option<String>,
}

fn vectors(file: &str) -> String {
    format!("{}/../cloakroom-php/tests/vectors/{file}.jsonl", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_session_is_shown_as_json_that_can_be_read() {
    let payload = b"user|i:7;name|s:3:\"Ada\";basket|a:1:{i:0;a:2:{s:3:\"sku\";s:2:\"A1\";s:5:\"price\";d:3;}}n|N;x|a:1:{i:5;b:1;}";
    let json: Json = serde_json::from_slice(&written(&["decode"], payload)).unwrap();
    let expected = serde_json::json!({
        "user": 7, "name": "Ada", "basket": [{"sku": "A1", "price": 3.0}], "n": null, "x": {"5": true}
    });
    assert_eq!(json, expected);
}

#[test]
fn what_json_has_no_word_for_survives_as_well() {
    let payload = b"a|O:1:\"N\":2:{s:4:\"\0*\0p\";r:1;s:1:\"q\";R:1;}b|R:1;e|E:6:\"Suit:H\";s|s:2:\"\xff\0\";f|a:2:{i:1;d:NAN;i:0;d:-0;}\
        k|a:2:{s:1:\"\xff\";i:1;s:4:\"$ref\";i:2;}d|a:1:{s:4:\"$ref\";i:2;}l|C:1:\"L\":2:{\xff}}";
    // References beside Serializable data: such a session is read, and PHP itself writes it.
    let json = written(&["decode"], payload);
    assert_eq!(written(&["encode"], &json), payload);
}

#[test]
fn a_session_goes_from_one_format_to_another() {
    let payload = b"user|i:7;name|s:3:\"Ada\";";
    let json = written(&["decode", "--format", "php"], payload);
    let igbinary = written(&["encode", "--format", "igbinary"], &json);
    assert_eq!(igbinary, b"\0\0\0\x02\x14\x02\x11\x04user\x06\x07\x11\x04name\x11\x03Ada");
    assert_eq!(written(&["decode", "--format", "igbinary"], &igbinary), json);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session");
    std::fs::write(&file, &igbinary).unwrap();
    assert_eq!(written(&["decode", "--format", "igbinary", file.to_str().unwrap()], b""), json);
}

#[test]
fn a_session_is_taken_from_a_key_in_redis_and_no_secret_is_said_again() {
    let server = servers::Server::start(servers::Kind::Redis);
    let (url, key) = (server.url(), "PHPREDIS_SESSION:0123456789abcdefghijklmnop");
    server.raw(&format!("SET {key} \"user|i:7;\""));
    let at = |url: &str, key: &str, more: &[&str]| {
        let arguments = ["decode", "--redis", url, "--key", key];
        [&arguments[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let run = |arguments: Vec<String>| php(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), b"");
    let shown = run(at(&url, key, &[]));
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert_eq!(serde_json::from_slice::<Json>(&shown.stdout).unwrap(), serde_json::json!({ "user": 7 }));
    assert!(server.raw(&format!("EXISTS {key}")).starts_with(":1"), "it is only read");
    server.raw("LPUSH PHPREDIS_SESSION:hushhushhushhushhushhushhu 1");
    let wrong = url.replace("redis://", "redis://u:hush@");
    for (arguments, told) in [
        (at(&url, "PHPREDIS_SESSION:hush", &[]), "nothing under the key"),
        (at(&url, "PHPREDIS_SESSION:hushhushhushhushhushhushhu", &[]), ""),
        (at(&url, key, &["--format", "igbinary"]), ""),
        (at(&wrong, key, &[]), ""),
        (at("redis://u:hush@127.0.0.1:x", key, &[]), "--redis: "),
        (at("redis://u:hush@127.0.0.1:1/0", key, &[]), "127.0.0.1:1"),
        (at(&url, "PHPREDIS_SESSION:hush", &["a-file"]), "cannot be used with"),
    ] {
        let refused = run(arguments);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains(told) && !said.is_empty(), "{said}");
        assert!(!said.contains("hush") && !said.contains("0123456789abcdef"), "{said}");
    }
}

#[test]
fn a_framework_s_sessions_are_opened_and_closed() {
    let json = written(&["decode"], b"user|i:7;");
    for format in ["amp", "laravel", "laravel-json"] {
        let stored = written(&["encode", "--format", format], &json);
        assert_eq!(written(&["decode", "--format", format], &stored), json, "{format}");
    }
    assert_eq!(written(&["encode", "--format", "laravel"], &json), br#"s:21:"a:1:{s:4:"user";i:7;}";"#);

    let encrypted = |action: &str, keys: &[(&str, &str)], input: &[u8]| {
        let mut command = program();
        command.args(["php", action, "--format", "laravel", "--cipher", "gcm"]).envs(keys.iter().copied());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    };
    let (old, new) = ("base64:AAECAwQFBgcICQoLDA0ODw==", "0123456789abcdef");
    let stored = encrypted("encode", &[("APP_KEY", old)], &json).stdout;
    let opened = encrypted("decode", &[("APP_KEY", new), ("APP_PREVIOUS_KEYS", old)], &stored);
    assert_eq!(opened.stdout, json);
    for (keys, said) in [
        (vec![], "APP_KEY"),
        (vec![("APP_KEY", new)], "no key fits"),
        (vec![("APP_KEY", "x")], "key:generate"),
    ] {
        let refused = encrypted("decode", &keys, &stored);
        assert!(String::from_utf8(refused.stderr).unwrap().contains(said), "{said}");
    }
    assert!(
        String::from_utf8(php(&["decode", "--format", "perl"], b"").stderr).unwrap().contains("laravel-json")
    );
}

#[test]
fn a_session_that_phpredis_compressed_is_shown_and_compressed_again() {
    let lz4 = b"\xde\x06\0\0\0\x60n|i:1;";
    let json = written(&["decode", "--compression", "lz4"], lz4);
    assert_eq!(json, written(&["decode"], b"n|i:1;"));
    assert_eq!(written(&["encode", "--compression", "lz4"], &json), lz4);
    let told = refused(&["decode", "--compression", "lz4"], &lz4[..10]);
    assert!(told.contains("no LZ4 block"), "{told}");
    assert!(
        String::from_utf8(php(&["decode", "--compression", "brotli"], b"").stderr).unwrap().contains("zstd")
    );
}

#[test]
fn every_vector_comes_back_from_json_to_the_byte() {
    for format in ["php", "php_serialize", "php_binary"] {
        let text = std::fs::read_to_string(vectors(format)).unwrap();
        let mut count = 0;
        for Vector { name, hex } in text.lines().map(|line| serde_json::from_str(line).unwrap()) {
            // Such a name can be read and is not written.
            let (Some(hex), false) = (hex, name.contains("key_bang")) else { continue };
            let payload = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
            let json = written(&["decode", "--format", format], &payload);
            let encoded = php(&["encode", "--format", format], &json);
            if !encoded.status.success() {
                let said = String::from_utf8(encoded.stderr).unwrap();
                assert!(
                    said.contains("$serializable") && name.ends_with("obj_legacy_nested_then_backref"),
                    "{name}: {said}"
                );
                continue;
            }
            assert_eq!(encoded.stdout, payload, "{name}");
            count += 1;
        }
        assert!(count > 100, "{format}: {count}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    assert!(refused(&["decode"], b"user|i:7").contains("ends too early (at byte 8)"));
    assert!(refused(&["decode", "/nowhere"], b"").contains("/nowhere"));
    assert!(refused(&["encode"], b"[1").contains("EOF"));
    assert!(refused(&["encode"], b"7").contains("a JSON object"));
    assert!(refused(&["encode"], b"{\"a|b\": 1}").contains("ends a name at |"));
    assert!(refused(&["encode"], br#"{"a": {"$same": 3}}"#).contains("comes before"));
    let opaque =
        br#"{"a": {"$ref": 1, "value": 1}, "l": {"$serializable": "L", "data": "i:1;"}, "b": {"$ref": 1}}"#;
    assert!(refused(&["encode"], opaque).contains("inner values may count"));
    assert!(refused(&["encode"], br#"{"a": {"$else": 3}}"#).contains("$else"));
    assert!(refused(&["encode"], br#"{"a": 9223372036854775808}"#).contains("2^63"));
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(refused(&["encode"], deep.as_bytes()).contains("too deep"));
}

#[test]
fn a_bomb_of_arrays_that_share_memory_is_not_written_out() {
    let bomb = std::fs::read_to_string(vectors("malformed")).unwrap();
    let bomb = bomb.lines().find(|line| line.contains("igbinary/bad/sharing_bomb_200")).unwrap();
    let vector: Json = serde_json::from_str(bomb).unwrap();
    let payload = data_encoding::HEXLOWER.decode(vector["hex"].as_str().unwrap().as_bytes()).unwrap();
    assert!(refused(&["decode", "--format", "igbinary"], &payload).contains("share memory"));
}

#[test]
fn all_vectors_pass() {
    let files: Vec<String> =
        ["php", "php_serialize", "php_binary", "igbinary", "msgpack", "big", "extra", "malformed"]
            .map(vectors)
            .into();
    let arguments: Vec<&str> = ["vectors"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let said = String::from_utf8(written(&arguments, b"")).unwrap();
    let passed: usize = said.strip_suffix(" passed, 0 failed\n").unwrap().parse().unwrap();
    assert!(passed > 920, "{said}");
}

#[test]
fn a_vector_that_is_not_so_fails() {
    let lines = [
        // Right; another value; another object than is said; a reference that is not told; read although PHP refused it.
        r#"{"name":"right","handler":"php","hex":"617c693a313b","json":{"t":"array","v":[[{"t":"str","hex":"61"},{"t":"int","v":"1"}]]}}"#,
        r#"{"name":"value","handler":"php","hex":"617c693a313b","json":{"t":"array","v":[[{"t":"str","hex":"61"},{"t":"int","v":"2"}]]}}"#,
        r#"{"name":"short","handler":"php","hex":"617c693a31","json":{"t":"array","v":[[{"t":"str","hex":"61"},{"t":"int","v":"1"}]]}}"#,
        r#"{"name":"tied","handler":"php","hex":"617c693a313b627c523a313b","json":{"t":"array","v":[[{"t":"str","hex":"61"},{"t":"int","v":"1"}],[{"t":"str","hex":"62"},{"t":"int","v":"1"}]]}}"#,
        r#"{"name":"refused","handler":"php","hex":"617c693a313b","php_outcome":"rejected","session_after":{"t":"array","v":[]}}"#,
        r#"{"name":"other","handler":"json","hex":"7b7d"}"#,
        "{",
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vectors.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let Output { status, stdout, .. } = php(&["vectors", file.to_str().unwrap()], b"");
    assert_eq!(status.code(), Some(1));
    let said = String::from_utf8(stdout).unwrap();
    let named: Vec<&str> =
        said.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    assert_eq!(named[..5], ["value", "short", "tied", "refused", "other"]);
    assert!(
        said.ends_with(
            "vectors.jsonl:7: no JSON: EOF while parsing an object at line 1 column 1\n1 passed, 6 failed\n"
        ),
        "{said}"
    );
}

//! Files of vectors: what PHP wrote, or found malformed, and what it says of it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cloakroom_php::{
    Amp, AppKey, Cipher, Document, EncodeError, Encoding, Format, InvalidAppKey, Laravel, ReadOnly, Session,
};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde_json::Value as Json;

use super::described::{is_described, part};
use crate::Trouble;

/// No payload may take longer to read.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn run(files: &[PathBuf]) -> Result<ExitCode, Trouble> {
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match vector(line) {
                Ok(()) => passed += 1,
                Err(reason) => {
                    failed += 1;
                    println!("{}: {reason}", place(file, n, line));
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn place(file: &Path, n: usize, line: &str) -> String {
    let name = parse(line).ok().and_then(|json| part(&json, "name").as_str().map(str::to_owned));
    name.unwrap_or_else(|| format!("{}:{}", file.display(), n + 1))
}

fn parse(line: &str) -> Result<Json, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(line);
    json.disable_recursion_limit();
    serde::Deserialize::deserialize(&mut json)
}

/// Runs one vector; the error says what is wrong.
fn vector(line: &str) -> Result<(), String> {
    let json = &parse(line).map_err(|error| format!("no JSON: {error}"))?;
    let Some(hex) = part(json, "hex").as_str() else {
        // PHP's encoder refused, and there is nothing to read.
        return if part(json, "hex").is_null() && part(json, "json").is_object() {
            Ok(())
        } else {
            Err("no payload".into())
        };
    };
    let payload = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|error| format!("hex: {error}"))?;
    let handler = part(json, "handler").as_str().unwrap_or_default();
    let began = Instant::now();
    let outcome = match (handler, part(json, "php_outcome").as_str()) {
        ("serialize_plain", None) => value(Encoding::Serialize, &payload, json),
        ("igbinary_plain", None) => value(Encoding::Igbinary, &payload, json),
        ("amp", None) => amp(&payload, json),
        ("laravel_php", None) => laravel(&Laravel::new(), &payload, json),
        ("laravel_json", None) => laravel(&Laravel::new().with_json(), &payload, json),
        ("laravel_encrypted_cbc", None) => encrypted(&payload, json),
        (handler, outcome) => match (handler.parse(), outcome) {
            (Ok(format), None) => well_formed(format, &payload, json),
            (Ok(format), Some(outcome)) => malformed(format, &payload, outcome, json),
            (Err(_), _) => Err(format!("this program does not know the handler {handler}")),
        },
    };
    match began.elapsed() {
        took if took > PATIENCE => Err(format!("took {took:?}")),
        _ => outcome,
    }
}

fn same_bytes(what: &str, written: &[u8], payload: &[u8]) -> Result<(), String> {
    if written == payload { Ok(()) } else { Err(format!("{what} is not what was read")) }
}

fn value(encoding: Encoding, payload: &[u8], json: &Json) -> Result<(), String> {
    let document = Document::decode(encoding, payload).map_err(|error| error.to_string())?;
    if is_described(document.root(), part(json, "json")) == Some(false) {
        return Err("it is not what the description says".into());
    }
    let written = document.encode(encoding).map_err(|error| error.to_string())?;
    if encoding == Encoding::Serialize && written != payload && has_doubles(&document) {
        // PHP's serialize_precision was not its default: other digits of the same double.
        let again = Document::decode(encoding, written).map_err(|error| error.to_string())?;
        return match is_described(again.root(), part(json, "json")) {
            Some(true) => Ok(()),
            _ => Err("what is written is not what the description says".into()),
        };
    }
    same_bytes("what is written", &written, payload)
}

/// What is compressed need not be compressed the same way again: the text inside counts.
fn amp(payload: &[u8], json: &Json) -> Result<(), String> {
    let decode = |payload: &[u8]| Amp.decode(payload).map_err(|error| error.to_string());
    opened(&decode(payload)?, json)?;
    let again = Amp.encode(&decode(payload)?).map_err(|error| error.to_string())?;
    opened(&decode(&again)?, json)
}

fn laravel(laravel: &Laravel, payload: &[u8], json: &Json) -> Result<(), String> {
    let session = laravel.decode(payload).map_err(|error| error.to_string())?;
    if is_described(session.document().root(), part(json, "json")) == Some(false) {
        return Err("it is not what the description says".into());
    }
    let again = laravel.encode(&session).map_err(|error| error.to_string())?;
    // In JSON, PHP writes the double -0.0 as -0, which it reads as the integer 0.
    if part(json, "handler") == "laravel_json" && payload.windows(4).any(|text| text == b":-0,") {
        return Ok(());
    }
    same_bytes("what is written", &again, payload)
}

fn encrypted(payload: &[u8], json: &Json) -> Result<(), String> {
    let hex = part(json, "key_hex").as_str().unwrap_or_default();
    let key = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|error| format!("key_hex: {error}"))?;
    let key: AppKey = format!("base64:{}", BASE64.encode(&key))
        .parse()
        .map_err(|error: InvalidAppKey| error.to_string())?;
    let laravel = Laravel::new().with_encryption(Cipher::Cbc, key, []);
    let decode = |payload: &[u8]| laravel.decode(payload).map_err(|error| error.to_string());
    opened(&decode(payload)?, json)?;
    let again = laravel.encode(&decode(payload)?).map_err(|error| error.to_string())?;
    opened(&decode(&again)?, json)
}

/// Whether what was in an envelope is what the vector says, to the byte.
fn opened(session: &Session, json: &Json) -> Result<(), String> {
    let inner = part(json, "inner_hex").as_str().unwrap_or_default();
    let inner =
        HEXLOWER_PERMISSIVE.decode(inner.as_bytes()).map_err(|error| format!("inner_hex: {error}"))?;
    let written = session.encode().map_err(|error| error.to_string())?;
    same_bytes("the text inside", &written, &inner)?;
    match is_described(session.document().root(), part(json, "json")) {
        Some(false) => Err("it is not what the description says".into()),
        _ => Ok(()),
    }
}

fn has_doubles(document: &Document) -> bool {
    let mut open = vec![document.root()];
    let mut seen = HashSet::new();
    while let Some(value) = open.pop() {
        if value.as_float().is_some() {
            return true;
        }
        // Arrays are not shared in this encoding; references in a circle may be.
        if let Some(array) = value.as_array().filter(|array| seen.insert(array.identity())) {
            open.extend(array.iter().map(|(_, value)| value));
        }
    }
    false
}

fn well_formed(format: Format, payload: &[u8], json: &Json) -> Result<(), String> {
    let session = Session::decode(format, payload).map_err(|error| error.to_string())?;
    if is_described(session.document().root(), part(json, "json")) == Some(false) {
        return Err("it is not what the description says".into());
    }
    let written = session.encode().map_err(|error| error.to_string())?;
    same_bytes("what is written", &written, payload)?;
    match session.encode_as(format) {
        Ok(written) => same_bytes("what is written anew", &written, payload),
        // Names that are read and not written anew, and what is read-only in msgpack.
        Err(EncodeError::Name { .. }) => Ok(()),
        Err(EncodeError::ReadOnly(reason)) if session.read_only() == Some(reason) => Ok(()),
        Err(error) => Err(format!("written anew: {error}")),
    }
}

fn malformed(format: Format, payload: &[u8], outcome: &str, json: &Json) -> Result<(), String> {
    let Ok(session) = Session::decode(format, payload) else { return Ok(()) };
    let written = session.encode().map_err(|error| error.to_string())?;
    same_bytes("what is written", &written, payload)?;
    let after = json.get("session_after").unwrap_or(part(part(json, "php"), "session_after"));
    let described = is_described(session.document().root(), after);
    match described {
        Some(true) | None if outcome == "accepted" => Ok(()),
        _ if is_documented(&session) => Ok(()),
        Some(false) if outcome == "accepted" => Err("read otherwise than PHP reads it".into()),
        _ => Err(format!("read, and PHP's outcome is: {outcome}")),
    }
}

/// The readings that docs/php.md tells: which classes there are only PHP knows, PHP drops variables whose names are integers, and
/// unrolls a session that refers to itself once before it stops.
fn is_documented(session: &Session) -> bool {
    let integer_name = session.iter().any(|(name, _)| matches!(name, cloakroom_php::Key::Int(_)));
    let mut open = vec![session.document().root()];
    let mut seen = HashSet::new();
    let mut objects = false;
    while let Some(value) = open.pop() {
        objects |= value.as_object().is_some();
        if let Some(array) = value.as_array().filter(|array| seen.insert(array.identity())) {
            open.extend(array.iter().map(|(_, value)| value));
        }
    }
    objects || integer_name || session.read_only() == Some(ReadOnly::Root)
}

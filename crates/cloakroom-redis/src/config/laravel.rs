//! A Laravel application: where its key is, and what of its settings differs from how Laravel begins.
//!
//! The key itself stands in no file of ours: it is taken from where Laravel has it, the environment, or from a file that holds nothing else.

use std::path::Path;
use std::time::Duration;

use cloakroom::config::OpenError;
use cloakroom_php::{AppKey, Cipher, Encrypter};

use super::keys::{
    CIPHER, ENCRYPT, GUARD, KEY, KEY_FILE, LAYOUT, LIFETIME, ON_CLOSE, PLAIN, PREVIOUS, SERIALIZATION,
    SINCE_13,
};
use super::said::Said;
use crate::php::{LaravelApp, Layout};

/// Where Laravel's own `.env` has its keys.
const VARIABLE: &str = "APP_KEY";
const PREVIOUS_VARIABLE: &str = "APP_PREVIOUS_KEYS";

/// A file with more bytes than this holds no keys.
const MOST: usize = 16 * 1024;

/// `app.cipher`, as Laravel writes it, and how long its keys are.
const CIPHERS: [(&str, Cipher, usize); 4] = [
    ("aes-256-cbc", Cipher::Cbc, 256),
    ("aes-128-cbc", Cipher::Cbc, 128),
    ("aes-256-gcm", Cipher::Gcm, 256),
    ("aes-128-gcm", Cipher::Gcm, 128),
];

pub(super) fn layout(said: &Said<'_>) -> Result<Layout, OpenError> {
    let mut app = LaravelApp::new(encrypter(said)?);
    if said.flag(SINCE_13)? {
        app = app.since_13();
    }
    match said.text(SERIALIZATION)? {
        None | Some("php") => {}
        Some("json") => app = app.json(),
        Some(_) => return Err(said.refuse(SERIALIZATION, "is none of Laravel's; accepted: php, json")),
    }
    if said.flag(ENCRYPT)? {
        app = app.encrypt();
    }
    if said.flag(ON_CLOSE)? {
        app = app.expire_on_close();
    }
    if said.flag(PLAIN)? {
        app = app.plain_cookie();
    }
    if let Some(guard) = said.text(GUARD)? {
        app = app.guard(guard);
    }
    // The cookie has it as well.
    if let Some(seconds) = said.number(LIFETIME)? {
        app = app.lifetime(Duration::from_secs(seconds));
    }
    Ok(Layout::laravel(app))
}

fn encrypter(said: &Said<'_>) -> Result<Encrypter, OpenError> {
    let name = said.text(CIPHER)?.unwrap_or("aes-256-cbc").to_ascii_lowercase();
    let Some((name, cipher, bits)) = CIPHERS.into_iter().find(|(known, ..)| *known == name) else {
        let known = CIPHERS.map(|(name, ..)| name).join(", ");
        return Err(said.refuse(CIPHER, &format!("is none of Laravel's; accepted: {known}")));
    };
    let fits = |text: &str, source: &Source<'_>| match text.parse::<AppKey>() {
        Ok(key) if key.bits() == bits => Ok(key),
        Ok(key) => {
            let other = CIPHERS.into_iter().find(|(_, known, bits)| *known == cipher && *bits == key.bits());
            let other = other.map_or("another one", |(name, ..)| name);
            Err(source.wrong(
                said,
                &format!(
                    "is a key for {other}, and {CIPHER} is {name}: set {CIPHER} as config/app.php has it"
                ),
            ))
        }
        Err(why) => Err(source.wrong(said, &format!("is none: {why}"))),
    };
    let held = Held::read(said)?;
    let key = fits(&held.key, &held.key_from)?;
    let previous: Result<Vec<AppKey>, OpenError> =
        held.previous.iter().map(|text| fits(text, &held.previous_from)).collect();
    Ok(Encrypter::new(cipher, key, previous?))
}

/// The texts of keys, and where each came from.
struct Held<'s> {
    key: zeroize::Zeroizing<String>,
    key_from: Source<'s>,
    previous: Vec<zeroize::Zeroizing<String>>,
    previous_from: Source<'s>,
}

/// Where a key came from.
#[derive(Clone, Copy)]
enum Source<'s> {
    Setting(&'s str),
    Variable(&'s str),
    /// One of the lines of the file that is named there.
    File,
    PreviousInFile,
}

impl Source<'_> {
    /// The error for a key from there. It shows nothing of the key.
    fn wrong(self, said: &Said<'_>, why: &str) -> OpenError {
        match self {
            Source::Setting(key) => said.refuse(key, why),
            Source::Variable(name) => format!("environment variable {name} {why}").into(),
            Source::File => said.refuse(KEY_FILE, &format!("names a file whose first line {why}")),
            Source::PreviousInFile => said.refuse(
                KEY_FILE,
                &format!("names a file of whose further lines, which are previous keys, one {why}"),
            ),
        }
    }
}

impl Held<'_> {
    fn read(said: &Said<'_>) -> Result<Self, OpenError> {
        let owned = |text: &str| zeroize::Zeroizing::new(text.to_owned());
        if let Some(path) = said.text(KEY_FILE)? {
            if said.connection.secret(KEY)?.is_some() || said.connection.secret(PREVIOUS)?.is_some() {
                return Err(said
                    .refuse(KEY_FILE, "stands beside a key from elsewhere: leave the one or the other out"));
            }
            let text = read_file(Path::new(path)).map_err(|error| {
                said.refuse(KEY_FILE, &format!("names a file that cannot be read: {error}"))
            })?;
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            return Ok(Held {
                key: owned(lines.next().unwrap_or_default()),
                key_from: Source::File,
                previous: lines.map(owned).collect(),
                previous_from: Source::PreviousInFile,
            });
        }
        let (key, key_from) = match said.connection.secret(KEY)? {
            Some(text) => (Some(text), Source::Setting(KEY)),
            None => (said.environment(VARIABLE)?, Source::Variable(VARIABLE)),
        };
        let Some(key) = key else {
            let why = format!(
                "needs the application's key: set the environment variable {VARIABLE} as Laravel's .env has it, or say where it is by \
                 {KEY} = {{ env = \"NAME\" }} or {KEY_FILE} = \"PATH\""
            );
            return Err(said.refuse(LAYOUT, &why));
        };
        let (previous, previous_from) = match said.connection.secret(PREVIOUS)? {
            Some(text) => (Some(text), Source::Setting(PREVIOUS)),
            None => (said.environment(PREVIOUS_VARIABLE)?, Source::Variable(PREVIOUS_VARIABLE)),
        };
        let previous = previous.unwrap_or_default().split(',').map(str::trim);
        let previous = previous.filter(|key| !key.is_empty()).map(owned).collect();
        Ok(Held { key: owned(key), key_from, previous, previous_from })
    }
}

fn read_file(path: &Path) -> std::io::Result<zeroize::Zeroizing<String>> {
    use std::io::Read as _;
    // Room for all that is read: a text that grew would leave copies behind.
    let mut text = zeroize::Zeroizing::new(String::with_capacity(MOST + 1));
    std::fs::File::open(path)?.take(MOST as u64 + 1).read_to_string(&mut text)?;
    if text.len() > MOST {
        // Taken in part it would lack previous keys, and nobody would know.
        let why = format!("it is longer than {} KiB", MOST / 1024);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;

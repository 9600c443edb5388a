//! How an application stores its sessions, as the command line says it.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use cloakroom_php::{Amp, AppKey, Cipher, Compression, Format, Laravel, Limits, Session, UnknownCompression};

use crate::Trouble;

#[derive(Debug, Clone, Args)]
pub(crate) struct Form {
    /// The application's session.serialize_handler (php, php_serialize, php_binary, igbinary, msgpack), or how its framework stores
    /// sessions (amp, laravel, laravel-json).
    #[arg(long, value_name = "FORMAT", default_value = "php")]
    format: Layer,
    /// Laravel's app.cipher, where session.encrypt is on. The key is taken from the environment: APP_KEY, APP_PREVIOUS_KEYS.
    #[arg(long, value_name = "CIPHER")]
    cipher: Option<CipherName>,
    /// What compresses it: redis.session.compression (none, lzf, lz4, zstd).
    #[arg(long, value_name = "COMPRESSION", default_value = "none")]
    compression: Compressed,
}

#[derive(Debug, Clone, Copy)]
struct Compressed(Option<Compression>);

impl FromStr for Compressed {
    type Err = UnknownCompression;

    fn from_str(setting: &str) -> Result<Self, UnknownCompression> {
        Compression::of_setting(setting).map(Self)
    }
}

#[derive(Debug, Clone, Copy)]
enum Layer {
    Plain(Format),
    Amp,
    Laravel { json: bool },
}

impl FromStr for Layer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "amp" => Ok(Self::Amp),
            "laravel" => Ok(Self::Laravel { json: false }),
            "laravel-json" => Ok(Self::Laravel { json: true }),
            name => name.parse().map(Self::Plain).map_err(|_| {
                let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
                format!("known are {}, amp, laravel and laravel-json", known.join(", "))
            }),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CipherName {
    /// AES-128-CBC or AES-256-CBC, as long as the key is.
    Cbc,
    /// AES-128-GCM or AES-256-GCM.
    Gcm,
}

impl Form {
    pub(super) fn decode(&self, payload: Vec<u8>) -> Result<Session, Trouble> {
        let payload = match self.compression {
            Compressed(Some(by)) => by.decompress(&payload, Limits::default())?.into_owned(),
            Compressed(None) => payload,
        };
        Ok(match self.format {
            Layer::Plain(format) => Session::decode(format, payload)?,
            Layer::Amp => Amp.decode(&payload)?,
            Layer::Laravel { json } => self.laravel(json)?.decode(&payload)?,
        })
    }

    pub(super) fn encode(&self, session: &Session) -> Result<Vec<u8>, Trouble> {
        let payload = match self.format {
            Layer::Plain(format) => session.encode_as(format)?,
            Layer::Amp => Amp.encode(session)?,
            Layer::Laravel { json } => self.laravel(json)?.encode(session)?,
        };
        Ok(match self.compression {
            Compressed(Some(by)) => by.compress(&payload)?,
            Compressed(None) => payload,
        })
    }

    fn laravel(&self, json: bool) -> Result<Laravel, Trouble> {
        let laravel = if json { Laravel::new().with_json() } else { Laravel::new() };
        let cipher = match self.cipher {
            None => return Ok(laravel),
            Some(CipherName::Cbc) => Cipher::Cbc,
            Some(CipherName::Gcm) => Cipher::Gcm,
        };
        let key = std::env::var("APP_KEY").map_err(|_| "--cipher needs the application's key in APP_KEY")?;
        let previous = std::env::var("APP_PREVIOUS_KEYS").unwrap_or_default();
        let previous: Result<Vec<AppKey>, _> =
            previous.split(',').filter(|key| !key.is_empty()).map(str::parse).collect();
        Ok(laravel.with_encryption(cipher, key.parse()?, previous?))
    }
}

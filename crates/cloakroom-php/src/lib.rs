//! PHP's session formats, read and written byte for byte.
//!
//! For the time in which a PHP application and Rust services share their sessions: read what PHP wrote, change one variable, and hand
//! PHP back what it would have written itself.
//!
//! ```
//! use cloakroom_php::{Format, Session, from_value};
//!
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct Line { sku: String, qty: u32 }
//! let format: Format = "php".parse()?; // session.serialize_handler
//! let mut session = Session::decode(format, b"user|i:7;basket|a:0:{}")?;
//!
//! let mut basket: Vec<Line> = from_value(session.get("basket").unwrap())?;
//! basket.push(Line { sku: "A1".into(), qty: 2 });
//! session.set("basket", &basket)?;
//!
//! let bytes = session.encode()?;
//! assert_eq!(bytes, b"user|i:7;basket|a:1:{i:0;a:2:{s:3:\"sku\";s:2:\"A1\";s:3:\"qty\";i:2;}}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! - **Nothing is lost.** Objects, enums and `Serializable` data are kept whole and never made into anything; the identity of
//!   objects and references, and for igbinary of arrays, is part of the model. A session that was not changed is written as it came.
//! - **Nothing unreadable is handed out.** PHP deletes a session that it cannot decode. What is written is decoded again and compared first;
//!   names that a format cannot carry, and changes that it could not carry out as PHP would, are refused with the reason.
//! - **No input is dangerous.** No bytes make it panic or recurse; memory, depth and time are bounded ([`Limits`]); errors tell the offset and
//!   never a value.
//!
//! # Features
//!
//! - `amp`: sessions as amphp and Phenix store them, compressed.
//! - `compression`: values as phpredis 6 compresses them.
//! - `laravel`: sessions as Laravel stores them, serialized twice, as JSON, encrypted.
//! - `layout`: the sessions of a running PHP application as a store of [cloakroom](https://docs.rs/cloakroom)'s.
#![forbid(unsafe_code)]

mod compression;
#[cfg(any(feature = "amp", feature = "laravel", feature = "layout"))]
mod envelope;
mod error;
mod format;
mod igbinary;
pub mod ini;
#[cfg(feature = "laravel")]
mod json;
#[cfg(feature = "layout")]
pub mod layout;
mod limits;
mod msgpack;
mod serde;
mod serialize;
mod session;
mod skim;
mod value;

pub use compression::{Compression, UnknownCompression};
#[cfg(feature = "amp")]
pub use envelope::Amp;
#[cfg(feature = "layout")]
pub use envelope::CacheEntry;
#[cfg(feature = "laravel")]
pub use envelope::{AppKey, Cipher, Encrypter, InvalidAppKey, Laravel};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, ReadOnly, ValueError};
pub use format::{Encoding, Format, UnknownFormat};
pub use limits::Limits;
pub use serde::{from_value, from_value_seed};
pub use session::{Session, Variables};
pub use value::{Array, Document, Identity, Key, Kind, Object, ObjectKind, Property, Value, Visibility};

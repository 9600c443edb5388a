//! What a connection's table may say: the same in each build, so that no part of it passes in silence where the program was built without that part.

use super::{
    EXPIRED_EVENTS, NEAR, NEAR_BYTES, NEAR_ENTRIES, NEAR_LIFETIME, WAIT_DISK, WAIT_FOR, WAIT_REPLICAS,
    WAIT_WITHIN,
};

pub(super) const LAYOUT: &str = "layout";
pub(super) const INI: &str = "php_ini";
pub(super) const SERVERS: &str = "php_servers";
pub(super) const PREFIX: &str = "php_prefix";
pub(super) const HANDLER: &str = "serialize_handler";
pub(super) const COMPRESSION: &str = "php_compression";
pub(super) const LENGTH: &str = "sid_length";
pub(super) const BITS: &str = "sid_bits_per_character";
pub(super) const LIFETIME: &str = "gc_maxlifetime";
pub(super) const COOKIE: &str = "session_name";
pub(super) const USER: &str = "user_variable";
pub(super) const MOVING: &str = "moving";

pub(super) const KEY: &str = "app_key";
pub(super) const KEY_FILE: &str = "app_key_file";
pub(super) const PREVIOUS: &str = "app_previous_keys";
pub(super) const CIPHER: &str = "app_cipher";
pub(super) const SINCE_13: &str = "laravel_13";
pub(super) const SERIALIZATION: &str = "session_serialization";
pub(super) const ENCRYPT: &str = "session_encrypt";
pub(super) const ON_CLOSE: &str = "expire_on_close";
pub(super) const PLAIN: &str = "plain_cookie";
pub(super) const GUARD: &str = "guard";

/// What is said of a connection, whatever is kept there.
const OWN: &[&str] = &[
    "url",
    "host",
    "port",
    "socket",
    "sentinels",
    "service",
    "sentinel_user",
    "sentinel_password",
    "tls",
    "ca",
    "certificate",
    "key",
    "user",
    "password",
    "database",
    "prefix",
    "deadline",
    "connect_timeout",
    "connections",
    EXPIRED_EVENTS,
    WAIT_REPLICAS,
    WAIT_DISK,
    WAIT_WITHIN,
    WAIT_FOR,
    NEAR,
    NEAR_ENTRIES,
    NEAR_BYTES,
    NEAR_LIFETIME,
];
/// What names a PHP application.
const NAMES: &[&str] = &[LAYOUT, INI];
/// What else is said of it.
const OF_PHP: &[&str] =
    &[SERVERS, PREFIX, HANDLER, COMPRESSION, LENGTH, BITS, LIFETIME, COOKIE, USER, MOVING];
/// What is said of a Laravel application besides.
pub(super) const OF_LARAVEL: &[&str] =
    &[KEY, KEY_FILE, PREVIOUS, CIPHER, SINCE_13, SERIALIZATION, ENCRYPT, ON_CLOSE, PLAIN, GUARD];

/// All that is said of an application, what names it first.
pub(super) fn of_application() -> impl Iterator<Item = &'static str> {
    NAMES.iter().chain(OF_PHP).chain(OF_LARAVEL).copied()
}

/// All of them.
pub(super) const ALL: &[&str] = &{
    let mut all = [""; OWN.len() + NAMES.len() + OF_PHP.len() + OF_LARAVEL.len()];
    let (own, application) = all.split_at_mut(OWN.len());
    own.copy_from_slice(OWN);
    let (names, rest) = application.split_at_mut(NAMES.len());
    names.copy_from_slice(NAMES);
    let (php, laravel) = rest.split_at_mut(OF_PHP.len());
    php.copy_from_slice(OF_PHP);
    laravel.copy_from_slice(OF_LARAVEL);
    all
};

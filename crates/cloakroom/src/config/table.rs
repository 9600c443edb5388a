//! The table of settings: each key of the file, its variable, what it accepts, and where its value goes.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;

use super::settings::{
    CacheLimiterSetting, CodecSetting, ConflictSetting, ModeSetting, SameSiteSetting, SecureSetting,
    Settings, TransportSetting,
};
use super::value::{Refusal, Value};

/// One setting.
pub(super) struct Setting {
    /// Its key in the file, with the table before it.
    pub(super) key: &'static str,
    /// Its variables; the first is the one to use, the others are names that people bring along.
    pub(super) variables: &'static [&'static str],
    /// What it accepts, for people.
    pub(super) accepts: &'static str,
    /// Reads a value into the settings, or says why not.
    pub(super) set: fn(&mut Settings, Value<'_>) -> Result<(), Refusal>,
}

const DURATION: &str = "a whole number and a unit (ms, s, m, h, d), such as \"90s\" or \"3h\"";
const DURATION_OR_MINUTES: &str =
    "a whole number and a unit (ms, s, m, h, d), such as \"3h\"; in the environment a bare number is minutes";
const SWITCH: &str = "true, false";

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "driver",
        &["SESSION_DRIVER"],
        "the name of a driver, such as \"memory\" or \"sqlite\"",
        |s, v| put(&mut s.driver, name(v).map(Some)),
    ),
    setting("connection", &["SESSION_CONNECTION"], "the NAME of a table [connections.NAME]", |s, v| {
        put(&mut s.connection, name(v).map(Some))
    }),
    setting("session.idle", &["SESSION_LIFETIME"], DURATION_OR_MINUTES, |s, v| {
        put(&mut s.session.idle, v.duration_or_minutes())
    }),
    setting("session.absolute", &["SESSION_ABSOLUTE"], DURATION, |s, v| {
        put(&mut s.session.absolute, v.duration())
    }),
    setting(
        "session.renewal",
        &["SESSION_RENEWAL"],
        "\"off\", or a whole number and a unit (ms, s, m, h, d), such as \"15m\"",
        |s, v| put(&mut s.session.renewal, v.duration_or("off")),
    ),
    setting("session.grace", &["SESSION_GRACE"], DURATION, |s, v| put(&mut s.session.grace, v.duration())),
    setting(
        "session.touch_after",
        &["SESSION_TOUCH_AFTER"],
        "a whole percentage of the idle time from \"0%\" to \"90%\"",
        |s, v| put(&mut s.session.touch_after_percent, v.percent()),
    ),
    setting(
        "session.max_size",
        &["SESSION_MAX_SIZE"],
        "bytes as a whole number, or with KiB or MiB, such as \"64KiB\"",
        |s, v| put(&mut s.session.max_size, v.size()),
    ),
    setting("session.max_keys", &["SESSION_MAX_KEYS"], "a whole number from 1", |s, v| {
        put(&mut s.session.max_keys, v.number_in(1))
    }),
    setting(
        "session.max_key_length",
        &["SESSION_MAX_KEY_LENGTH"],
        "bytes as a whole number from 1",
        |s, v| put(&mut s.session.max_key_length, v.number_in(1)),
    ),
    setting(
        "session.max_per_user",
        &["SESSION_MAX_PER_USER"],
        "\"unlimited\", or a whole number from 1",
        |s, v| put(&mut s.session.max_per_user, at_most(v)),
    ),
    setting("session.marker", &["SESSION_MARKER"], DURATION, |s, v| put(&mut s.session.marker, v.duration())),
    setting("session.codec", &["SESSION_CODEC"], "\"messagepack\", \"json\"", |s, v| {
        put(
            &mut s.session.codec,
            v.choice(&[("messagepack", CodecSetting::MessagePack), ("json", CodecSetting::Json)]),
        )
    }),
    setting("concurrency.mode", &["SESSION_MODE"], "\"merge\", \"exclusive\"", |s, v| {
        put(
            &mut s.concurrency.mode,
            v.choice(&[("merge", ModeSetting::Merge), ("exclusive", ModeSetting::Exclusive)]),
        )
    }),
    setting("concurrency.on_conflict", &["SESSION_ON_CONFLICT"], "\"refuse\", \"overwrite\"", |s, v| {
        put(
            &mut s.concurrency.on_conflict,
            v.choice(&[("refuse", ConflictSetting::Refuse), ("overwrite", ConflictSetting::Overwrite)]),
        )
    }),
    setting("concurrency.lease", &["SESSION_LOCK_LEASE"], DURATION, |s, v| {
        put(&mut s.concurrency.lease, v.duration())
    }),
    setting("concurrency.wait", &["SESSION_LOCK_WAIT"], DURATION, |s, v| {
        put(&mut s.concurrency.wait, v.duration())
    }),
    setting("concurrency.waiters", &["SESSION_LOCK_WAITERS"], "a whole number", |s, v| {
        put(&mut s.concurrency.waiters, v.number_in(0))
    }),
    setting("concurrency.commit_deadline", &["SESSION_COMMIT_DEADLINE"], DURATION, |s, v| {
        put(&mut s.concurrency.commit_deadline, v.duration())
    }),
    setting("concurrency.store_deadline", &["SESSION_STORE_DEADLINE"], DURATION, |s, v| {
        put(&mut s.concurrency.store_deadline, v.duration())
    }),
    setting("concurrency.commit_on_5xx", &["SESSION_COMMIT_ON_5XX"], SWITCH, |s, v| {
        put(&mut s.concurrency.commit_on_5xx, v.flag())
    }),
    setting(
        "cookie.name",
        &["SESSION_COOKIE_NAME", "SESSION_COOKIE"],
        "a cookie name: letters, digits and !#$%&'*+-.^_`|~",
        |s, v| put(&mut s.cookie.name, token(v)),
    ),
    setting("cookie.path", &["SESSION_PATH"], "a path that begins with /", |s, v| {
        put(&mut s.cookie.path, path(v))
    }),
    setting(
        "cookie.domain",
        &["SESSION_DOMAIN"],
        "a domain such as \"example.com\", or \"\" for this host only",
        |s, v| put(&mut s.cookie.domain, domain(v)),
    ),
    setting(
        "cookie.secure",
        &["SESSION_SECURE_COOKIE"],
        "\"auto\", \"always\" (or true), \"never\" (or false)",
        |s, v| put(&mut s.cookie.secure, secure(v)),
    ),
    setting("cookie.http_only", &["SESSION_HTTP_ONLY"], SWITCH, |s, v| {
        put(&mut s.cookie.http_only, v.flag())
    }),
    setting("cookie.same_site", &["SESSION_SAME_SITE"], "\"lax\", \"strict\", \"none\"", |s, v| {
        put(
            &mut s.cookie.same_site,
            v.choice(&[
                ("lax", SameSiteSetting::Lax),
                ("strict", SameSiteSetting::Strict),
                ("none", SameSiteSetting::None),
            ]),
        )
    }),
    setting("cookie.partitioned", &["SESSION_PARTITIONED_COOKIE"], SWITCH, |s, v| {
        put(&mut s.cookie.partitioned, v.flag())
    }),
    setting(
        "cookie.lifetime",
        &["SESSION_COOKIE_LIFETIME"],
        "\"browser\" (until it is closed), or a whole number and a unit (ms, s, m, h, d), such as \"30d\"",
        |s, v| put(&mut s.cookie.lifetime, v.duration_or("browser")),
    ),
    setting("transport.kind", &["SESSION_TRANSPORT"], "\"cookie\", \"header\", \"bearer\"", |s, v| {
        put(
            &mut s.transport.kind,
            v.choice(&[
                ("cookie", TransportSetting::Cookie),
                ("header", TransportSetting::Header),
                ("bearer", TransportSetting::Bearer),
            ]),
        )
    }),
    setting("transport.header", &["SESSION_HEADER"], "a header name", |s, v| {
        put(&mut s.transport.header, token(v).map(|name| name.to_ascii_lowercase()))
    }),
    setting("csrf.header", &["SESSION_CSRF_HEADER"], "a header name", |s, v| {
        put(&mut s.csrf.header, token(v).map(|name| name.to_ascii_lowercase()))
    }),
    setting(
        "csrf.field",
        &["SESSION_CSRF_FIELD"],
        "the name of a form field: letters, digits and !#$%&'*+-.^_`|~",
        |s, v| put(&mut s.csrf.field, token(v)),
    ),
    setting(
        "csrf.origins",
        &["SESSION_CSRF_ORIGINS"],
        "origins, each a scheme and a host without a path, such as \"https://admin.example.com\"",
        |s, v| put(&mut s.csrf.origins, v.list()?.into_iter().map(origin).collect::<Result<_, _>>()),
    ),
    setting(
        "cache.limiter",
        &["SESSION_CACHE_LIMITER"],
        "\"nocache\", \"private\", \"private_no_expire\", \"public\", \"none\"",
        |s, v| {
            put(
                &mut s.cache.limiter,
                v.choice(&[
                    ("nocache", CacheLimiterSetting::NoCache),
                    ("private", CacheLimiterSetting::Private),
                    ("private_no_expire", CacheLimiterSetting::PrivateNoExpire),
                    ("public", CacheLimiterSetting::Public),
                    ("none", CacheLimiterSetting::None),
                ]),
            )
        },
    ),
    setting("cache.expire", &["SESSION_CACHE_EXPIRE"], DURATION_OR_MINUTES, |s, v| {
        put(&mut s.cache.expire, v.duration_or_minutes())
    }),
    setting(
        "proxies.trusted",
        &["SESSION_TRUSTED_PROXIES"],
        "addresses or CIDR blocks, such as \"10.0.0.0/8\" or \"::1\"",
        |s, v| put(&mut s.proxies.trusted, v.list()?.into_iter().map(network).collect::<Result<_, _>>()),
    ),
    setting("logout.clear_site_data", &["SESSION_CLEAR_SITE_DATA"], SWITCH, |s, v| {
        put(&mut s.logout.clear_site_data, v.flag())
    }),
];

const fn setting(
    key: &'static str,
    variables: &'static [&'static str],
    accepts: &'static str,
    set: fn(&mut Settings, Value<'_>) -> Result<(), Refusal>,
) -> Setting {
    Setting { key, variables, accepts, set }
}

fn put<T>(place: &mut T, value: Result<T, Refusal>) -> Result<(), Refusal> {
    *place = value?;
    Ok(())
}

fn at_most(value: Value<'_>) -> Result<Option<NonZeroU32>, Refusal> {
    if value.is("unlimited") { Ok(None) } else { value.number_in(1).map(NonZeroU32::new) }
}

/// The name of a driver or a connection.
fn name(value: Value<'_>) -> Result<String, Refusal> {
    let text = value.text()?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        return Err("is not a name".into());
    }
    Ok(text.to_owned())
}

/// A token of RFC 9110 §5.6.2: what names of cookies and header fields are.
fn token(value: Value<'_>) -> Result<String, Refusal> {
    let text = value.text()?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || text.len() > 256 || !text.bytes().all(fits) {
        return Err("is not a name".into());
    }
    Ok(text.to_owned())
}

fn path(value: Value<'_>) -> Result<String, Refusal> {
    let text = value.text()?;
    if !text.starts_with('/') || text.bytes().any(|b| !b.is_ascii_graphic() || b == b';') {
        return Err("is not a path".into());
    }
    Ok(text.to_owned())
}

/// `null` is how Laravel's `.env` says that there is none.
fn domain(value: Value<'_>) -> Result<Option<String>, Refusal> {
    let text = value.text()?;
    if text.is_empty() || matches!(value, Value::Variable("null")) {
        return Ok(None);
    }
    // RFC 6265 §4.1.2.3: a leading dot is ignored.
    let host = text.strip_prefix('.').unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err("is not a domain".into());
    }
    Ok(Some(host.to_ascii_lowercase()))
}

fn secure(value: Value<'_>) -> Result<SecureSetting, Refusal> {
    match value.flag() {
        Ok(true) => Ok(SecureSetting::Always),
        Ok(false) => Ok(SecureSetting::Never),
        Err(_) => value.choice(&[
            ("auto", SecureSetting::Auto),
            ("always", SecureSetting::Always),
            ("never", SecureSetting::Never),
        ]),
    }
}

/// RFC 6454 §6.2: scheme, host, and the port where it is not the scheme's own.
fn origin(text: &str) -> Result<String, Refusal> {
    let refused = || Refusal::from("holds an item that is not an origin");
    let (scheme, authority) = text.split_once("://").ok_or_else(refused)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']');
    if !matches!(scheme, "http" | "https") || authority.is_empty() || !authority.bytes().all(fits) {
        return Err(refused());
    }
    Ok(text.to_ascii_lowercase())
}

fn network(text: &str) -> Result<IpNet, Refusal> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "holds an item that is no address and no CIDR block".into())
}

//! Which server, and as whom: by a connection's table, and by the environment over it.

use std::path::PathBuf;

use cloakroom::config::{Connection, OpenError};
use zeroize::Zeroizing;

use super::variables::Variables;
use super::{HOST, PORT};
use crate::group::Group;
use crate::host::HostPort;
use crate::redis_url::Address;
use crate::{InvalidRedisUrl, RedisUrl};

/// What the table says, over what is known without it.
pub(super) fn of_table(connection: &Connection, base: &RedisUrl) -> Result<RedisUrl, OpenError> {
    let tls = connection.flag("tls")?;
    let mut url = address(connection)?.map_or_else(|| base.clone(), RedisUrl::of);
    if let Some(text) = connection.text("url")? {
        url = text.parse().map_err(|error| connection.refuse("url", &format!("is refused: {error}")))?;
    }
    match (tls, &url.address) {
        (None, _) => {}
        (Some(tls), _) if connection.text("url")?.is_some() => {
            if tls != url.tls.is_some() {
                let why = "contradicts the url beside it; leave it out, and write rediss:// there for TLS";
                return Err(connection.refuse("tls", why).into());
            }
        }
        (Some(true), Address::Unix(_)) => {
            return Err(connection
                .refuse("tls", "is for a host; a socket in the file system needs none")
                .into());
        }
        (Some(true), Address::Tcp(_) | Address::Sentinels(_) | Address::Cluster(_)) => {
            url = url.over_tls();
        }
        (Some(false), _) if url.tls.is_some() => {
            let why = "contradicts the other settings, which ask for TLS";
            return Err(connection.refuse("tls", why).into());
        }
        (Some(false), _) => {}
    }
    if let Some(user) = connection.text("user")? {
        url.user = Some(user.to_owned());
    }
    if let Some(password) = connection.text("password")? {
        url.password = Some(Zeroizing::new(password.to_owned()));
    }
    if let Some(database) = connection.number("database")? {
        url.db = database;
    }
    for key in ["sentinel_user", "sentinel_password"] {
        let Some(text) = connection.text(key)? else { continue };
        let Address::Sentinels(group) = &mut url.address else {
            return Err(connection.refuse(key, "is for sentinels, and none are named (sentinels)").into());
        };
        match key {
            "sentinel_user" => group.user = Some(text.to_owned()),
            _ => group.password = Some(Zeroizing::new(text.to_owned())),
        }
    }
    Ok(url)
}

/// By anything but a URL, if by anything.
fn address(connection: &Connection) -> Result<Option<Address>, OpenError> {
    let (host, port) = (connection.text("host")?, connection.number::<u16>("port")?);
    let (socket, sentinels) = (connection.text("socket")?, connection.list("sentinels")?);
    let service = connection.text("service")?;
    // What says where it is, the first of them over the others: but only one may.
    let given = [
        ("url", connection.text("url")?.is_some()),
        ("sentinels", sentinels.is_some()),
        ("socket", socket.is_some()),
        ("host", host.is_some()),
        ("port", port.is_some() && host.is_none()),
    ];
    let mut given = given.iter().filter(|(_, given)| *given).map(|(key, _)| *key);
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        let why = format!("stands beside {second}; give one of them");
        return Err(connection.refuse(first, &why).into());
    }
    match (socket, sentinels, service) {
        (Some(socket), ..) => Ok(Some(Address::Unix(PathBuf::from(socket)))),
        (None, Some(sentinels), service) => {
            let service =
                service.ok_or_else(|| connection.refuse("sentinels", "stands without their service"))?;
            let group = Group::read(&sentinels.join(","), service);
            let refused = |error: InvalidRedisUrl| {
                let key = if error == InvalidRedisUrl::Service { "service" } else { "sentinels" };
                connection.refuse(key, &format!("is refused: {error}"))
            };
            Ok(Some(Address::Sentinels(group.map_err(refused)?)))
        }
        (None, None, Some(_)) => Err(connection.refuse("service", "stands without sentinels").into()),
        (None, None, None) if host.is_none() && port.is_none() => Ok(None),
        (None, None, None) => {
            Ok(Some(Address::Tcp(HostPort::new(host.unwrap_or(HOST), port.unwrap_or(PORT)))))
        }
    }
}

/// What the environment says, over what the table says.
pub(super) fn over(table: RedisUrl, variables: &Variables<'_>) -> Result<RedisUrl, OpenError> {
    let asks_for_tls = table.tls.is_some();
    let mut url = match variables.url("REDIS_URL")? {
        Some(url) => url,
        None => RedisUrl { address: elsewhere(&table.address, variables)?.unwrap_or(table.address), ..table },
    };
    if let Address::Unix(_) = url.address {
        url.tls = None;
    }
    match (variables.flag("REDIS_TLS")?, url.tls.is_some(), &url.address) {
        (Some(true), false, Address::Unix(_)) => {
            let why = "environment variable REDIS_TLS is for a host; a socket in the file system needs none";
            return Err(why.into());
        }
        (Some(true), false, Address::Tcp(_) | Address::Sentinels(_) | Address::Cluster(_)) => {
            url = url.over_tls();
        }
        (Some(false), true, _) => {
            let why =
                "environment variable REDIS_TLS is false, and the connection's other settings ask for TLS";
            return Err(why.into());
        }
        (_, false, Address::Tcp(_) | Address::Sentinels(_) | Address::Cluster(_)) if asks_for_tls => {
            let why = "environment variable REDIS_URL is without TLS, and the connection's other settings ask for it (tls = true, or \
                       rediss:// in its url): write rediss:// in REDIS_URL, or take it out of the file";
            return Err(why.into());
        }
        _ => {}
    }
    if let Some(user) = variables.text("REDIS_USERNAME")? {
        url.user = Some(user.to_owned());
    }
    if let Some(password) = variables.text("REDIS_PASSWORD")? {
        url.password = Some(Zeroizing::new(password.to_owned()));
    }
    if let Some(database) = variables.number("REDIS_DB")? {
        url.db = database;
    }
    let user = variables.text("REDIS_SENTINEL_USERNAME")?;
    let password = variables.text("REDIS_SENTINEL_PASSWORD")?;
    match &mut url.address {
        Address::Sentinels(group) => {
            if let Some(user) = user {
                group.user = Some(user.to_owned());
            }
            if let Some(password) = password {
                group.password = Some(Zeroizing::new(password.to_owned()));
            }
        }
        _ if user.is_some() || password.is_some() => {
            let why = "environment variables REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD are for sentinels, and \
                       none are named (REDIS_SENTINELS)";
            return Err(why.into());
        }
        _ => {}
    }
    Ok(url)
}

/// Where the environment says that it is, if it does: a socket over sentinels over a host.
fn elsewhere(table: &Address, variables: &Variables<'_>) -> Result<Option<Address>, OpenError> {
    let (host, port) = (variables.text("REDIS_HOST")?, variables.number::<u16>("REDIS_PORT")?);
    let sentinels = variables.text("REDIS_SENTINELS")?;
    let service = variables.text("REDIS_SENTINEL_SERVICE")?;
    if let Some(socket) = variables.text("REDIS_SOCKET")? {
        return Ok(Some(Address::Unix(PathBuf::from(socket))));
    }
    let known = match table {
        Address::Sentinels(group) => Some(group),
        _ => None,
    };
    if sentinels.is_some() || service.is_some() {
        let service = service.or(known.map(|group| group.service.as_str()));
        let service = service.ok_or(
            "environment variable REDIS_SENTINEL_SERVICE is missing: which service do they look after?",
        )?;
        let read = match (sentinels, known) {
            (Some(sentinels), _) => Group::read(sentinels, service),
            (None, Some(group)) => Group::new(group.sentinels.clone(), service),
            (None, None) => {
                return Err(
                    "environment variable REDIS_SENTINEL_SERVICE is for sentinels, and none are named".into(),
                );
            }
        };
        let mut group = read.map_err(|error| -> OpenError {
            let variable = match error {
                InvalidRedisUrl::Service => "REDIS_SENTINEL_SERVICE",
                _ => "REDIS_SENTINELS",
            };
            format!("environment variable {variable}: {error}").into()
        })?;
        if let Some(known) = known {
            (group.user, group.password) = (known.user.clone(), known.password.clone());
        }
        return Ok(Some(Address::Sentinels(group)));
    }
    if host.is_none() && port.is_none() {
        return Ok(None);
    }
    let (known_host, known_port) = match table {
        Address::Tcp(at) => (at.host.as_str(), at.port),
        Address::Unix(_) | Address::Sentinels(_) | Address::Cluster(_) => (HOST, PORT),
    };
    Ok(Some(Address::Tcp(HostPort::new(host.unwrap_or(known_host), port.unwrap_or(known_port)))))
}

//! Where a PHP application has its sessions: on the server of the table, or spread over several.

use cloakroom::config::OpenError;
use cloakroom_php::ini::RedisServer;

use super::Application;
use crate::config::keys::{INI, SERVERS};
use crate::config::said::Said;
use crate::config::variables::Variables;
use crate::config::{paced, settings, tls_files};
use crate::php::ini::placed;
use crate::php::{Layout, PhpServers, PhpSettingsError};
use crate::{RedisBuilder, RedisUrl};

/// Where the sessions are.
pub(in crate::config) enum Place {
    /// On one server: this one, where the table and the environment say nothing else.
    Table(Box<RedisBuilder>),
    /// On these, with their weights. `key`: what says so.
    Spread { servers: Vec<(RedisBuilder, u32)>, key: &'static str },
}

impl Place {
    /// As php.ini has it.
    pub(super) fn of(servers: Vec<(RedisBuilder, u32)>) -> Self {
        match <[_; 1]>::try_from(servers) {
            Ok([(server, _)]) => Place::Table(Box::new(server)),
            Err(servers) => Place::Spread { servers, key: INI },
        }
    }

    /// Whether PHP's own settings say that phpredis keeps the sessions in a cluster.
    fn is_cluster(&self) -> bool {
        matches!(self, Place::Table(server) if server.is_cluster())
    }
}

/// The servers that are told, and the layout with the prefix that they have in common.
pub(super) fn told(said: &Said<'_>, application: &Application) -> Result<Option<(Place, Layout)>, OpenError> {
    let Some(list) = said.list(SERVERS)? else { return Ok(None) };
    if list.is_empty() {
        return Err(
            said.refuse(SERVERS, "names no server; accepted: a list such as [\"tcp://HOST:PORT?weight=1\"]")
        );
    }
    if !application.layout.is_by_phpredis() {
        let why = "is for phpredis' own handler, and another layout is named: no other spreads sessions";
        return Err(said.refuse(SERVERS, why));
    }
    if application.place.is_cluster() {
        let why = format!(
            "is of servers that phpredis spreads sessions over, and by the settings that {INI} names it keeps them in a cluster \
             (session.save_handler = rediscluster); leave out the one or the other"
        );
        return Err(said.refuse(SERVERS, &why));
    }
    let refused = |error: &dyn std::error::Error| said.refuse(SERVERS, &format!("is refused: {error}"));
    let servers = RedisServer::list(&list.join(",")).map_err(|error| refused(&error))?;
    if servers.len() > 1 && application.locks {
        return Err(refused(&PhpSettingsError::LockOnServers(servers.len())));
    }
    let (servers, layout) = placed(&servers, application.layout.clone()).map_err(|error| refused(&error))?;
    Ok(Some((Place::Spread { servers, key: SERVERS }, layout)))
}

/// The servers, in the order in which they are told. Who asks them and which database is theirs alone; how long they may take is as for any other.
pub(super) fn spread(
    said: &Said<'_>,
    variables: &Variables<'_>,
    servers: Vec<(RedisBuilder, u32)>,
    key: &str,
) -> Result<PhpServers, OpenError> {
    let server = |(mut server, weight): (RedisBuilder, u32)| {
        if server.url.tls.is_some() {
            server.tls_files = tls_files(said.connection, variables)?;
        }
        Ok((paced(said.connection, server)?, weight))
    };
    let servers = servers.into_iter().map(server).collect::<Result<Vec<_>, OpenError>>()?;
    PhpServers::new(servers).map_err(|error| said.refuse(key, &format!("is refused: {error}")))
}

/// The one server that is named besides: where the sessions move to, if they do.
pub(super) fn beside(
    said: &Said<'_>,
    variables: &Variables<'_>,
    key: &str,
    moves: bool,
) -> Result<Option<RedisBuilder>, OpenError> {
    let nowhere = RedisBuilder::new(RedisUrl::at("", 0));
    let named = settings(said.connection, variables, nowhere.clone())?;
    match (named.url.address != nowhere.url.address, moves) {
        (true, true) => Ok(Some(named)),
        (false, false) => Ok(None),
        (true, false) => {
            Err(said.refuse(key, "names where PHP's sessions are, and a url, host or socket another place; give one of them"))
        }
        (false, true) => {
            Err(said.refuse(key, "says where the sessions come from, and nothing says where they move to; name that server by url, host or socket"))
        }
    }
}

#[cfg(test)]
mod tests;

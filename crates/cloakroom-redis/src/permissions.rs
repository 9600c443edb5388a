//! Which permission a user lacks, where the server refused something for want of one.
//!
//! What the server says is not passed on: it names the user, and may repeat more. A command that it names is looked for among those
//! that the store asks for. About what a script may not do, Redis 7.0 says nothing but that; then the commands of the scripts are
//! tried one by one, so that they change nothing, and all that is missing is named at once.

use std::sync::Arc;

use cloakroom::store::{StoreError, StoreErrorKind};
use redis::{Pipeline, ServerError, Value};

use crate::node::Node;
use crate::shared::{Deadline, Shared};

/// What the store asks for by name, besides what [`trials`] asks for.
const ASKED_FOR: &[&str] = &[
    "evalsha",
    "eval",
    "hello",
    "auth",
    "ping",
    "select",
    "client|tracking",
    "client|caching",
    "ssubscribe",
    "sunsubscribe",
    "wait",
    "waitaof",
    "role",
    "cluster|slots",
    "asking",
    "hset",
];

/// The commands of the scripts, and those that are asked for beside them; on a key that is not there, and so that they would not make
/// one.
fn trials(key: &str, channel: &str) -> Vec<(&'static str, Vec<String>)> {
    let trial = |name, rest: &[&str]| (name, rest.iter().map(|&word| word.to_owned()).collect());
    vec![
        trial("get", &[key]),
        trial("set", &[key, "", "XX", "PX", "1"]),
        trial("getrange", &[key, "0", "0"]),
        trial("setrange", &[key, "0", ""]),
        trial("strlen", &[key]),
        trial("pexpire", &[key, "1"]),
        trial("persist", &[key]),
        trial("pttl", &[key]),
        trial("time", &[]),
        trial("scan", &["0", "COUNT", "1"]),
        trial("info", &["memory"]),
        trial("zrange", &[key, "0", "0"]),
        trial("zadd", &[key, "XX", "0", "nobody"]),
        trial("zrem", &[key, "nobody"]),
        trial("zremrangebyscore", &[key, "1", "0"]),
        trial("spublish", &[channel, ""]),
    ]
}

/// As [`trials`], with what is needed in a cluster only. `HSET` has no form that makes nothing.
fn trials_of_clusters(key: &str) -> Vec<(&'static str, Vec<String>)> {
    let of = |rest: &[&str]| rest.iter().map(|&word| word.to_owned()).collect();
    vec![("hget", of(&[key, "nobody"])), ("hdel", of(&[key, "nobody"])), ("hgetall", of(&[key]))]
}

/// What the server says that the user lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lacks {
    Command(&'static str),
    Keys,
    Channels,
    /// A script of ours does, and it does not say what.
    InScript,
    Something,
}

fn lacks(code: &str, detail: Option<&str>) -> Option<Lacks> {
    let detail = detail.unwrap_or_default();
    if detail.contains("executing the script can't") || detail.contains("ACL failure in script") {
        return Some(Lacks::InScript);
    }
    if code != "NOPERM" {
        return None;
    }
    if let Some(named) = detail.split_once("run the '").and_then(|(_, rest)| rest.split('\'').next()) {
        let tried = trials("", "").into_iter().chain(trials_of_clusters("")).map(|(name, _)| name);
        let known = ASKED_FOR.iter().copied().chain(tried).find(|known| *known == named);
        return Some(known.map_or(Lacks::Something, Lacks::Command));
    }
    Some(match (detail.contains("channel"), detail.contains("key")) {
        (true, _) => Lacks::Channels,
        (_, true) => Lacks::Keys,
        _ => Lacks::Something,
    })
}

/// Whether a script could not do something for want of a permission, which the server does not name.
pub(crate) fn is_hidden(told: &ServerError) -> bool {
    lacks(told.code(), told.details()) == Some(Lacks::InScript)
}

/// The end of a sentence about the server, where it refused something for want of a permission.
pub(crate) fn refused(code: &str, detail: Option<&str>, prefix: Option<&str>) -> Option<String> {
    let prefix = prefix.unwrap_or("PREFIX");
    Some(match lacks(code, detail)? {
        Lacks::Command(name) => needs(&[format!("+{name}")]),
        Lacks::Keys => needs(&[format!("~{prefix}*")]),
        Lacks::Channels => needs(&[format!("&{prefix}*")]),
        Lacks::InScript | Lacks::Something => {
            "does not let this user do that: see the permissions in the manual of the Redis store (NOPERM)"
                .to_owned()
        }
    })
}

fn needs(missing: &[String]) -> String {
    let missing = missing.join(" ");
    format!("does not let this user do what the store needs: give it {missing} (ACL SETUSER; NOPERM)")
}

impl Shared {
    /// Why the server did not let a script of ours do what it does.
    pub(crate) async fn not_permitted(&self, by: Arc<Node>, deadline: Deadline) -> StoreError {
        let why = match self.missing(by.clone(), deadline).await {
            Some(missing) if !missing.is_empty() => needs(&missing),
            _ => refused("NOPERM", None, None).unwrap_or_default(),
        };
        StoreError::new(StoreErrorKind::Unavailable, format!("{} {why}", by.place))
    }

    /// The permissions that the scripts need and the user lacks on this server; nothing where that cannot be told.
    pub(crate) async fn missing(&self, on: Arc<Node>, deadline: Deadline) -> Option<Vec<String>> {
        let prefix = self.names.prefix();
        let (key, channel) = (format!("{prefix}{{}}permissions"), format!("{prefix}permissions"));
        let mut trials = trials(&key, &channel);
        if self.nodes.cluster().is_some() {
            trials.extend(trials_of_clusters(&key));
        }
        let mut trying = Pipeline::with_capacity(trials.len());
        for (name, arguments) in &trials {
            trying.cmd(name).arg(arguments);
        }
        let answers = self.try_all(on, deadline, &trying).await.ok()?;
        let mut missing = Vec::new();
        for ((name, _), answer) in trials.iter().zip(answers) {
            let Value::ServerError(told) = answer else { continue };
            let lacking = match lacks(told.code(), told.details()) {
                Some(Lacks::Keys) => format!("~{prefix}*"),
                Some(Lacks::Channels) => format!("&{prefix}*"),
                Some(_) => format!("+{name}"),
                None => continue,
            };
            if !missing.contains(&lacking) {
                missing.push(lacking);
            }
        }
        Some(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_leads_to_a_permission_and_nothing_of_it_is_repeated() {
        for (detail, needed) in [
            ("this user has no permissions to run the 'get' command", Lacks::Command("get")),
            (
                "User hush has no permissions to run the 'client|tracking' command",
                Lacks::Command("client|tracking"),
            ),
            ("User hush has no permissions to run the 'hush' command", Lacks::Something),
            ("this user has no permissions to access one of the keys used as arguments", Lacks::Keys),
            ("No permissions to access a channel", Lacks::Channels),
            ("ACL failure in script: User hush has no permissions to run the 'set' command", Lacks::InScript),
            ("", Lacks::Something),
        ] {
            assert_eq!(lacks("NOPERM", Some(detail)), Some(needed), "{detail}");
            let told = refused("NOPERM", Some(detail), Some("shop:")).unwrap();
            assert!(!told.contains("hush"), "{told}");
        }
        let hidden = "The user executing the script can't run this command or subcommand script: hush";
        assert_eq!(lacks("ERR", Some(hidden)), Some(Lacks::InScript));
        assert_eq!(lacks("ERR", Some("unknown command 'get'")), None);
        let keys = refused("NOPERM", Some("No permissions to access a key"), Some("shop:")).unwrap();
        assert!(keys.contains("give it ~shop:*"), "{keys}");
    }
}

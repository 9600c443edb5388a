//! What a server says of itself when it is greeted, and what it has by that.
//!
//! It says so on each connection, so that a server that was replaced by another one, or a cluster that is half way to another
//! version, is asked for what it has. Only a server that the tests run on is believed. Redis has the same words since 8.4, and servers
//! that pass for Redis have them and answer otherwise.

use redis::Value;

use crate::digits::digits;

/// What the answer to `HELLO` tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Greeting {
    /// `SET … IFEQ`: Valkey has it since 8.1.
    pub(crate) sets_if_same: bool,
}

impl Greeting {
    pub(crate) fn read(hello: &Value) -> Self {
        let Value::Map(fields) = hello else { return Greeting::default() };
        let told = |name| {
            fields.iter().find(|(field, _)| text(field) == Some(name)).and_then(|(_, told)| text(told))
        };
        let sets_if_same =
            told("server") == Some("valkey") && told("version").is_some_and(|version| of(version) >= (8, 1));
        Greeting { sets_if_same }
    }
}

/// Major and minor version; what is none is older than all.
fn of(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| digits(part).unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets_if_same(server: &str, version: &str) -> bool {
        let string = |text: &str| Value::BulkString(text.into());
        let field = |name, told| (string(name), string(told));
        Greeting::read(&Value::Map(vec![
            field("server", server),
            field("version", version),
            (string("proto"), Value::Int(3)),
        ]))
        .sets_if_same
    }

    #[test]
    fn a_server_has_what_its_version_has() {
        for version in ["8.1.0", "8.2", "9.1.2", "10.0.0", "8.1.0-rc1", "255.255.255"] {
            assert!(sets_if_same("valkey", version), "{version}");
        }
        for version in ["8.0.9", "7.2.4", "8", "", "x", "+9.1", "-9.1", "99999999999.1"] {
            assert!(!sets_if_same("valkey", version), "{version}");
        }
        for server in ["redis", "", "keydb"] {
            assert!(!sets_if_same(server, "9.1.2"), "{server}");
        }
        assert_eq!(Greeting::read(&Value::Okay), Greeting::default());
    }
}

//! Who serves which slots, as a node tells (`CLUSTER SLOTS`). What a node says is not trusted to make sense: bounds are checked,
//! and what cannot be read is refused as a whole.

use redis::Value;

use super::slot::SLOTS;
use crate::digits::digits;
use crate::host::HostPort;

/// Longest name of a host (RFC 1035 §2.3.4).
const LONGEST_HOST: usize = 253;

/// Where a node is, as nodes tell it.
impl HostPort {
    /// `slot host:port`, as a redirection has it; told by the node at `asked`.
    pub(super) fn of_redirection(details: &str, asked: &HostPort) -> Option<Self> {
        let (slot, place) = details.split_once(' ')?;
        digits::<u16>(slot).filter(|slot| *slot < SLOTS)?;
        let (host, port) = place.rsplit_once(':')?;
        Self::told(host, digits(port)?, asked)
    }

    /// A node that does not know its own host says nothing or `?`. Nothing means: the one that was asked.
    fn told(host: &str, port: u16, asked: &HostPort) -> Option<Self> {
        let host = if host.is_empty() { &asked.host } else { host };
        let fits = host.len() <= LONGEST_HOST
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-' | b'_' | b'%'));
        (fits && port > 0).then(|| HostPort::new(host, port))
    }
}

/// The primaries and their slots.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SlotMap {
    /// First and last slot, and who serves them.
    pub(crate) ranges: Vec<(u16, u16, HostPort)>,
}

impl SlotMap {
    /// Reads the answer that the node at `asked` gave to `CLUSTER SLOTS`; `None` where it makes no sense. A range whose primary
    /// does not say where it is, is left out: nobody could ask it.
    pub(crate) fn read(answer: &Value, asked: &HostPort) -> Option<Self> {
        let Value::Array(told) = answer else { return None };
        // Ranges do not overlap: there are no more of them than slots.
        if told.len() > usize::from(SLOTS) {
            return None;
        }
        let mut ranges = Vec::with_capacity(told.len());
        for range in told {
            let Value::Array(parts) = range else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = parts.as_slice() else {
                return None;
            };
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            if first > last || last >= SLOTS {
                return None;
            }
            let [host, Value::Int(port), rest @ ..] = primary.as_slice() else { return None };
            let port = u16::try_from(*port).ok()?;
            let host = match host {
                Value::BulkString(host) => std::str::from_utf8(host).ok()?,
                Value::SimpleString(host) => host.as_str(),
                // `cluster-preferred-endpoint-type unknown-endpoint`: as the asker knows it.
                Value::Nil => "",
                _ => return None,
            };
            // A host name that was not announced: the address stands beside it.
            let host = if host == "?" { address_beside(rest).unwrap_or(host) } else { host };
            match host {
                "?" => {}
                host => ranges.push((first, last, HostPort::told(host, port, asked)?)),
            }
        }
        Some(SlotMap { ranges })
    }
}

/// Behind host and port stand the node's id and further names, as pairs.
fn address_beside(rest: &[Value]) -> Option<&str> {
    let text = |value: &Value| -> Option<String> {
        match value {
            Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
            Value::SimpleString(text) => Some(text.clone()),
            _ => None,
        }
    };
    let found = match rest.get(1)? {
        Value::Map(pairs) => {
            pairs.iter().find(|(name, _)| text(name).as_deref() == Some("ip")).map(|(_, value)| value)
        }
        Value::Array(names) => names
            .chunks_exact(2)
            .find(|pair| pair.first().and_then(text).as_deref() == Some("ip"))
            .and_then(|pair| pair.get(1)),
        _ => None,
    };
    match found? {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![
            host,
            Value::Int(port),
            text("id"),
            Value::Array(vec![text("ip"), text("10.0.0.9")]),
        ])
    }

    fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
        let mut parts = vec![Value::Int(first), Value::Int(last)];
        parts.extend(nodes);
        Value::Array(parts)
    }

    fn read(ranges: Vec<Value>) -> Option<Vec<(u16, u16, String)>> {
        let map = SlotMap::read(&Value::Array(ranges), &HostPort::new("here", 7000))?;
        Some(map.ranges.into_iter().map(|(first, last, place)| (first, last, place.to_string())).collect())
    }

    #[test]
    fn the_first_node_of_a_range_is_its_primary() {
        let told = vec![
            range(0, 5460, vec![node(text("10.0.0.1"), 1), node(text("10.0.0.2"), 2)]),
            range(5461, 16_383, vec![node(text("::1"), 3)]),
        ];
        let expected = vec![(0, 5460, "10.0.0.1:1".to_owned()), (5461, 16_383, "[::1]:3".to_owned())];
        assert_eq!(read(told), Some(expected));
        assert_eq!(read(Vec::new()), Some(Vec::new()));
    }

    #[test]
    fn a_host_that_is_not_told_is_the_one_that_was_asked_or_stands_beside() {
        for nothing in [Value::Nil, text("")] {
            assert_eq!(
                read(vec![range(0, 1, vec![node(nothing, 7)])]),
                Some(vec![(0, 1, "here:7".to_owned())])
            );
        }
        let unknown = read(vec![range(0, 1, vec![node(text("?"), 7)])]);
        assert_eq!(unknown, Some(vec![(0, 1, "10.0.0.9:7".to_owned())]));
        let nowhere = Value::Array(vec![text("?"), Value::Int(7), text("id")]);
        assert_eq!(read(vec![range(0, 1, vec![nowhere])]), Some(Vec::new()));
        let mapped = Value::Array(vec![
            text("?"),
            Value::Int(7),
            text("id"),
            Value::Map(vec![(text("ip"), text("::2"))]),
        ]);
        assert_eq!(read(vec![range(0, 1, vec![mapped])]), Some(vec![(0, 1, "[::2]:7".to_owned())]));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_refused() {
        let one = || vec![node(text("a"), 1)];
        for told in [
            vec![Value::Nil],
            vec![Value::Array(vec![Value::Int(0)])],
            vec![range(0, 16_384, one())],
            vec![range(-1, 5, one())],
            vec![range(6, 5, one())],
            vec![range(0, 5, vec![])],
            vec![range(0, 5, vec![text("a")])],
            vec![range(0, 5, vec![node(text("a"), 0)])],
            vec![range(0, 5, vec![node(text("a"), 65_536)])],
            vec![range(0, 5, vec![node(text("a b"), 1)])],
            vec![range(0, 5, vec![node(text(&"a".repeat(254)), 1)])],
            vec![range(0, 5, vec![node(Value::Int(1), 1)])],
            vec![range(0, 5, vec![node(Value::BulkString(vec![0xff]), 1)])],
            vec![range(0, 0, one()); 16_385],
        ] {
            assert_eq!(read(told), None);
        }
        assert_eq!(SlotMap::read(&Value::Okay, &HostPort::new("here", 1)), None);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<i64>().prop_map(Value::Int),
            (0..20_000_i64).prop_map(Value::Int),
            any::<Vec<u8>>().prop_map(Value::BulkString),
            "[a-z.?:]{0,5}".prop_map(|host| Value::BulkString(host.into_bytes())),
        ];
        leaf.prop_recursive(4, 64, 5, |inner| proptest::collection::vec(inner, 0..5).prop_map(Value::Array))
    }

    proptest! {
        #[test]
        fn whatever_a_node_says_is_read_or_refused(answer in values()) {
            if let Some(map) = SlotMap::read(&answer, &HostPort::new("here", 1)) {
                for (first, last, place) in map.ranges {
                    prop_assert!(first <= last && last < SLOTS && !place.host.is_empty() && place.port > 0);
                }
            }
        }
    }
}

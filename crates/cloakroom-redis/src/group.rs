//! A group of sentinels, and which of the services they look after: what is written in a URL.

use std::fmt;

use zeroize::Zeroizing;

use crate::InvalidRedisUrl;
use crate::host::HostPort;

/// Where a sentinel listens unless told.
const PORT: u16 = 26379;
/// Most sentinels that can be named: each of them is listened to.
const MOST: usize = 16;

/// Who knows where the primary is, and by which name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// At least one, at most [`MOST`], each once.
    pub(crate) sentinels: Vec<HostPort>,
    pub(crate) service: String,
    /// As whom to ask them: not the user of the servers that they look after.
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Zeroizing<String>>,
}

impl Group {
    pub(crate) fn new(
        sentinels: impl IntoIterator<Item = HostPort>,
        service: &str,
    ) -> Result<Self, InvalidRedisUrl> {
        let mut each: Vec<HostPort> = Vec::new();
        for sentinel in sentinels {
            if !each.contains(&sentinel) {
                each.push(sentinel);
            }
        }
        if !(1..=MOST).contains(&each.len()) {
            return Err(InvalidRedisUrl::Sentinels);
        }
        if service.is_empty() || service.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/') {
            return Err(InvalidRedisUrl::Service);
        }
        Ok(Group { sentinels: each, service: service.to_owned(), user: None, password: None })
    }

    /// Of a list as in a URL: `HOST:PORT,HOST:PORT`.
    pub(crate) fn read(list: &str, service: &str) -> Result<Self, InvalidRedisUrl> {
        let each = list.split(',').map(|one| HostPort::read(one.trim(), PORT));
        let each: Option<Vec<HostPort>> = each.collect();
        Group::new(each.ok_or(InvalidRedisUrl::Sentinels)?, service)
    }
}

/// Where, not as whom.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, sentinel) in self.sentinels.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{sentinel}")?;
        }
        write!(f, "/{}", self.service)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_hosts_with_and_without_ports() {
        let group = Group::read("a,b.example:7, [::1]:8,[::2],10.0.0.1,a:26379", "shop").unwrap();
        let each: Vec<String> = group.sentinels.iter().map(ToString::to_string).collect();
        assert_eq!(each, ["a:26379", "b.example:7", "[::1]:8", "[::2]:26379", "10.0.0.1:26379"]);
        assert_eq!(group.sentinels[2].host, "::1");
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        let many = (1..=17).map(|n| format!("h{n}")).collect::<Vec<_>>().join(",");
        for list in ["", "a,,b", "a:", "a:x", "a:+1", "a:70000", "a:0", ":1", "a b", "::1", "[::1", &many] {
            assert_eq!(Group::read(list, "shop"), Err(InvalidRedisUrl::Sentinels), "{list}");
        }
        for service in ["", "a b", "a\n", "a/b"] {
            assert_eq!(Group::read("a", service), Err(InvalidRedisUrl::Service), "{service:?}");
        }
    }
}

//! What phpredis' two forms of `session.save_path` are made of: options, as in the query of a URL, and addresses.

use percent_encoding::percent_decode_str;

/// Options in the order in which they are written, as PHP's `parse_str` takes them apart.
pub(super) struct Options(Vec<(String, String)>);

impl Options {
    pub(super) fn of(query: &str) -> Self {
        let decoded =
            |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let parts = query.split('&').filter(|part| !part.is_empty());
        let pairs = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
        Options(pairs.map(|(key, value)| (decoded(key), decoded(value))).collect())
    }

    /// The values of the options that are called so.
    pub(super) fn values(&self, called: impl Fn(&str) -> bool) -> impl DoubleEndedIterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| called(key)).map(|(_, value)| value.as_str())
    }

    /// The one that counts where it is written more than once.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.values(|key| key == name).next_back()
    }

    /// User and password: `auth=PASSWORD`, `auth[]=USER&auth[]=PASSWORD`, or `auth[user]=USER&auth[pass]=PASSWORD`.
    pub(super) fn auth(&self) -> (Option<String>, Option<String>) {
        let named = |names: &[&str]| self.values(|key| names.contains(&key)).next().map(str::to_owned);
        if let Some(password) = named(&["auth"]) {
            return (None, Some(password));
        }
        let mut listed = self.values(|key| key == "auth[]").map(str::to_owned);
        match (listed.next(), listed.next()) {
            (Some(user), Some(password)) => (Some(user), Some(password)),
            (Some(password), None) => (None, Some(password)),
            (None, _) => (
                named(&["auth[user]", "auth[0]", "auth[username]"]),
                named(&["auth[pass]", "auth[1]", "auth[password]"]),
            ),
        }
    }
}

/// `HOST:PORT`; 6379 where no port is given.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => {
            text.split_once(':').map_or((text, ""), |(host, _)| (host, text.get(host.len()..).unwrap_or("")))
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => 6379,
        None => return None,
        // PHP takes no sign here; `parse` would.
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

//! What came back.

use serde_json::Value;

/// A response, taken apart.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The body came to its end as announced.
    pub whole: bool,
}

impl Response {
    pub fn parse(bytes: &[u8], head_only: bool) -> Self {
        let at = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let at = at.unwrap_or_else(|| panic!("no response: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
        let rest = &bytes[at + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut response = Response { status, headers, body: String::new(), whole: true };
        let (body, whole) = if head_only {
            (Vec::new(), true)
        } else if response.header("transfer-encoding") == Some("chunked") {
            unchunk(rest)
        } else {
            let length: usize = response.header("content-length").map_or(0, |l| l.parse().unwrap());
            (rest[..rest.len().min(length)].to_vec(), rest.len() == length)
        };
        response.body = String::from_utf8(body).unwrap();
        response.whole = whole;
        response
    }

    /// For connections that stay open: nothing until all of it is there.
    pub fn parse_if_whole(bytes: &[u8]) -> Option<Self> {
        bytes.windows(4).any(|w| w == b"\r\n\r\n").then(|| Self::parse(bytes, false)).filter(|r| r.whole)
    }

    /// The one field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.header_all(name);
        assert!(all.len() < 2, "{name} more than once: {all:?}");
        all.first().copied()
    }

    pub fn header_all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// Whether a directive stands in `Cache-Control`.
    pub fn caching(&self, directive: &str) -> bool {
        self.header("cache-control").is_some_and(|v| v.split(',').any(|d| d.trim() == directive))
    }

    /// The body of a response that must be 200.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.whole, "{self:?}");
        self.body.clone()
    }

    #[track_caller]
    pub fn number(&self) -> i64 {
        self.ok().parse().unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.ok()).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// Must have this status and this kind of error.
    #[track_caller]
    pub fn refused(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.body, format!("{{\"error\":\"{kind}\"}}"), "{self:?}");
    }

    /// The cookie that is set or deleted, if one is. Never two.
    pub fn set_cookie(&self) -> Option<SetCookie> {
        self.header("set-cookie").map(SetCookie::parse)
    }

    #[track_caller]
    pub fn without_cookie(&self) -> &Self {
        assert_eq!(self.header_all("set-cookie"), Vec::<&str>::new(), "{self:?}");
        self
    }
}

/// A `Set-Cookie` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCookie {
    pub name: String,
    pub value: String,
    /// As they stand, in their order.
    pub attributes: Vec<(String, Option<String>)>,
}

impl SetCookie {
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let attributes = parts.map(|part| match part.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (part.to_owned(), None),
        });
        SetCookie { name: name.to_owned(), value: value.to_owned(), attributes: attributes.collect() }
    }

    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).and_then(|(_, v)| v.as_deref())
    }

    pub fn deletes(&self) -> bool {
        self.attribute("max-age") == Some("0")
    }

    /// What the browser sends back.
    pub fn pair(&self) -> String {
        format!("{}={}", self.name, self.value)
    }
}

fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") else { return (out, false) };
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        bytes = &bytes[end + 2..];
        if length == 0 {
            return (out, true);
        }
        if bytes.len() < length + 2 {
            return (out, false);
        }
        out.extend_from_slice(&bytes[..length]);
        bytes = &bytes[length + 2..];
    }
}

//! A service of ours on PHP's sessions, beside a Redis in which a test plays PHP.

#![allow(unreachable_pub)]

use cloakroom::{Mode, Session, SessionError, SessionHandle, SessionManager};
use cloakroom_redis::php::{Layout, PhpServer, PhpStore};
use http::{HeaderMap, Request, StatusCode};

use crate::support::{Kind, Server};

/// A service of ours on PHP's sessions.
pub struct Service {
    pub server: Server,
    pub sessions: SessionManager,
    prefix: &'static str,
    cookie: &'static str,
}

impl Service {
    /// phpredis' layout, with a user variable.
    pub fn new() -> Self {
        Self::on(Layout::phpredis().user_variable("user_id"), Mode::Merge)
    }

    /// A layout with phpredis' prefix and PHP's cookie.
    pub fn on(layout: Layout, mode: Mode) -> Self {
        Self::of(layout, "PHPREDIS_SESSION:", "PHPSESSID", mode)
    }

    pub fn of(layout: Layout, prefix: &'static str, cookie: &'static str, mode: Mode) -> Self {
        let server = Server::start(Kind::Redis);
        let config = layout.session_config().mode(mode);
        let store = PhpStore::new(PhpServer::new(server.builder()).unwrap(), layout);
        let sessions = SessionManager::new(store, config).unwrap();
        Service { server, sessions, prefix, cookie }
    }

    /// Over PHP's cookie and phpredis' prefix, however it is configured besides.
    pub fn over(server: Server, sessions: SessionManager) -> Self {
        Service { server, sessions, prefix: "PHPREDIS_SESSION:", cookie: "PHPSESSID" }
    }

    pub fn request(&self, id: &str) -> SessionHandle {
        let request = Request::builder().header("cookie", format!("{}={id}", self.cookie));
        self.sessions.open(&request.body(()).unwrap(), None)
    }

    /// Ends a request; answers with the cookie that the response sets, if any.
    pub async fn close_with_cookie(&self, handle: &SessionHandle) -> Result<Option<String>, SessionError> {
        let mut headers = HeaderMap::new();
        if let cloakroom::Outcome::Failed(error) =
            self.sessions.close(handle, StatusCode::OK, &mut headers).await
        {
            return Err(error);
        }
        Ok(headers.get("set-cookie").map(|value| value.to_str().unwrap().to_owned()))
    }

    /// Ends a request; answers with the id that the response tells, if any.
    pub async fn close(&self, handle: &SessionHandle) -> Result<Option<String>, SessionError> {
        let cookie = self.close_with_cookie(handle).await?;
        let named = format!("{}=", self.cookie);
        Ok(cookie.map(|cookie| cookie.strip_prefix(&named).unwrap().split(';').next().unwrap().to_owned()))
    }

    /// The name of PHP's key.
    pub fn key(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    /// A value of PHP's, as it is, where it is text.
    pub fn value(&self, id: &str) -> String {
        String::from_utf8_lossy(&self.bytes(id)).into_owned()
    }

    /// A value of PHP's, to the byte; nothing where there is none.
    pub fn bytes(&self, id: &str) -> Vec<u8> {
        let script = "return (string.gsub(redis.call('GET',KEYS[1]) or '','.',function(c) return string.format('%02x',string.byte(c)) end))";
        let answer = self.server.raw(&format!("EVAL \"{script}\" 1 {}", self.key(id)));
        let hex = answer.split_once("\r\n").unwrap().1.split("\r\n").next().unwrap();
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    /// As PHP writes it: with an expiry, unless that is zero.
    pub fn php_writes_for(&self, id: &str, value: impl AsRef<[u8]>, seconds: u32) {
        let value: String = value.as_ref().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let expiry = if seconds == 0 { String::new() } else { format!(" EX {seconds}") };
        let answer = self.server.raw(&format!("SET {} \"{value}\"{expiry}", self.key(id)));
        assert!(answer.starts_with("+OK"), "{answer}");
    }

    pub fn php_writes(&self, id: &str, value: impl AsRef<[u8]>) {
        self.php_writes_for(id, value, 1440);
    }

    /// As phpredis locks.
    pub fn php_locks(&self, id: &str, millis: u32) {
        let answer = self.server.raw(&format!("SET {}_LOCK web-1|4711 NX PX {millis}", self.key(id)));
        assert!(answer.starts_with("+OK"), "{answer}");
    }

    pub fn exists(&self, key: &str) -> bool {
        self.server.raw(&format!("EXISTS {key}")).starts_with(":1")
    }

    /// Milliseconds that a key has left: -1 for ever, -2 where there is none.
    pub fn left(&self, key: &str) -> i64 {
        let left = self.server.raw(&format!("PTTL {key}"));
        left.strip_prefix(':').unwrap().lines().next().unwrap().parse().unwrap()
    }
}

pub async fn opened(handle: &SessionHandle) -> Session {
    handle.open().await.unwrap()
}

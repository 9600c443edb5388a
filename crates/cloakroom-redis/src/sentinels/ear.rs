//! Listening to one sentinel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use redis::{RedisConnectionInfo, RedisError, Value};
use tokio::sync::Notify;

use super::table::{Said, Table};
use crate::digits::digits;
use crate::error;
use crate::host::HostPort;
use crate::pipe::{OnNews, Unanswered};
use crate::route::{self, Opening};
use crate::tls::Tls;

/// How long a sentinel may take to answer, or to be connected to.
const ANSWER: Duration = Duration::from_secs(1);
/// How often each is asked without a reason.
const EVERY: Duration = Duration::from_secs(1);
/// Before one that was lost is tried again.
const PAUSE: Duration = Duration::from_millis(250);

/// Listens to one sentinel.
pub(super) struct Ear {
    pub(super) at: usize,
    pub(super) ask: Arc<Notify>,
    pub(super) sentinel: HostPort,
    pub(super) service: String,
    pub(super) login: RedisConnectionInfo,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) table: Arc<Table>,
}

impl Ear {
    pub(super) async fn listen(self) {
        loop {
            let why = self.hear().await;
            tracing::debug!(target: "cloakroom", "the sentinel at {} {why}; it is tried again", self.sentinel);
            self.table.says(self.at, Said::Silent(why));
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(PAUSE.mul_f64(jitter)).await;
        }
    }

    /// For as long as it can be heard; why that is over.
    async fn hear(&self) -> String {
        let told = self.ask.clone();
        // A switch, of this service or of another; the end of the connection.
        let on_news: OnNews = Arc::new(move |_| told.notify_one());
        let opening = Opening { on_news, ends: Instant::now() + ANSWER, tells_of_standstills: false };
        let connecting = async {
            let stream = route::stream(&self.sentinel, self.tls.as_deref()).await?;
            route::log_in(stream, &self.login, None, &opening).await.map_err(|error| self.no_login(&error))
        };
        let connection = match tokio::time::timeout_at(opening.ends.into(), connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(why)) => return why,
            Err(_) => return "did not answer a new connection in time".to_owned(),
        };
        // Before the first question: what happens between the two is told.
        let mut switches = redis::cmd("SUBSCRIBE");
        switches.arg("+switch-master");
        match connection.confirm(&switches, Instant::now() + ANSWER).await {
            Ok(Value::ServerError(_)) => tracing::warn!(
                target: "cloakroom",
                "the sentinel at {} does not let this user subscribe to +switch-master: a switch is noticed up to a second late",
                self.sentinel
            ),
            Ok(_) => {}
            Err(unanswered) => return silence(unanswered),
        }
        let mut asking = redis::cmd("SENTINEL");
        asking.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        loop {
            match connection.ask(&asking, Instant::now() + ANSWER).await {
                Ok(answer) => match said(answer) {
                    Ok(said) => self.table.says(self.at, said),
                    Err(why) => return why,
                },
                Err(unanswered) => return silence(unanswered),
            }
            let _ = tokio::time::timeout(EVERY, self.ask.notified()).await;
        }
    }

    fn no_login(&self, error: &RedisError) -> String {
        match error.code() {
            Some("NOAUTH") => {
                "asks for a password: give the one for sentinels (sentinel_password)".to_owned()
            }
            Some("WRONGPASS") => {
                "does not accept the user and password for sentinels (sentinel_user, sentinel_password)"
                    .to_owned()
            }
            _ => error::no_login(error, self.tls.is_some()),
        }
    }
}

fn silence(unanswered: Unanswered) -> String {
    match unanswered {
        Unanswered::Lost => "closed the connection".to_owned(),
        Unanswered::Late | Unanswered::Unattended | Unanswered::Crowded => "does not answer".to_owned(),
    }
}

/// An answer to where the primary is.
fn said(answer: Value) -> Result<Said, String> {
    match answer {
        Value::Nil => Ok(Said::NoSuchService),
        Value::ServerError(told) => match told.code() {
            "NOPERM" => Err("does not let this user ask where the primary is: see the permissions in the \
                             manual of the Redis store"
                .to_owned()),
            "NOAUTH" => Err("asks for a password: give the one for sentinels (sentinel_password)".to_owned()),
            _ => Err("cannot say where the primary is: is it a sentinel?".to_owned()),
        },
        Value::Array(parts) => {
            let text = |part: &Value| match part {
                Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
                Value::SimpleString(text) => Some(text.clone()),
                _ => None,
            };
            let at = match parts.as_slice() {
                [host, port] => text(host).zip(text(port).and_then(|port| digits(&port))),
                _ => None,
            };
            match at {
                Some((host, port)) if !host.is_empty() && !host.chars().any(char::is_control) => {
                    Ok(Said::Primary(HostPort { host, port }))
                }
                _ => Err("names no address where the primary is".to_owned()),
            }
        }
        _ => Err("names no address where the primary is".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str) -> HostPort {
        HostPort::new(host, 1)
    }

    #[test]
    fn an_answer_names_an_address_or_is_none() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let answer = |parts: &[&str]| said(Value::Array(parts.iter().map(|part| bulk(part)).collect()));
        assert_eq!(answer(&["db.internal", "1"]), Ok(Said::Primary(at("db.internal"))));
        assert_eq!(answer(&["::1", "1"]), Ok(Said::Primary(at("::1"))));
        assert_eq!(said(Value::Nil), Ok(Said::NoSuchService));
        for parts in [&["a"][..], &["a", "x"], &["a", "-1"], &["", "1"], &["a\n", "1"], &["a", "1", "2"], &[]]
        {
            assert!(answer(parts).is_err(), "{parts:?}");
        }
        assert!(said(Value::Int(1)).is_err());
        assert!(said(Value::Array(vec![Value::BulkString(vec![0xff]), bulk("1")])).is_err());
    }
}

//! The first words on a connection: which protocol, as whom, which database.

use std::time::Instant;

use redis::{ErrorKind, Pipeline, RedisConnectionInfo, RedisError, Value};

use super::{Pipe, Unanswered};
use crate::greeting::Greeting;

/// Logs in, and tells what the server said of itself. An error says what the server has against that, or how the connection ended.
pub(crate) async fn log_in(
    pipe: &Pipe,
    login: &RedisConnectionInfo,
    ends: Instant,
) -> Result<Greeting, RedisError> {
    let mut words = Pipeline::with_capacity(2);
    // RESP3, because it pushes: the end of a connection is told when it happens, not at the next call.
    words.cmd("HELLO").arg(3);
    if let Some(password) = login.password() {
        words.arg("AUTH").arg(login.username().unwrap_or("default")).arg(password);
    }
    if login.db() != 0 {
        words.cmd("SELECT").arg(login.db());
    }
    let answers = match pipe.ask_all(&words, ends).await {
        Ok(Value::Array(answers)) => answers,
        Ok(_) => return Err((ErrorKind::Parse, "not an answer to HELLO").into()),
        Err(unanswered) => return Err(pipe.ended(unanswered)),
    };
    let greeting = answers.first().map(Greeting::read).unwrap_or_default();
    for answer in answers {
        let Value::ServerError(told) = answer else { continue };
        let hello = "unknown command";
        if told.code() == "ERR" && told.details().is_some_and(|details| details.starts_with(hello)) {
            return Err((ErrorKind::RESP3NotSupported, "HELLO is unknown there").into());
        }
        return Err(told.into());
    }
    Ok(greeting)
}

impl Pipe {
    /// How the connection ended, or that it does not answer.
    pub(crate) fn ended(&self, unanswered: Unanswered) -> RedisError {
        let over = match unanswered {
            Unanswered::Lost => self.0.lock().over.clone(),
            Unanswered::Late | Unanswered::Unattended | Unanswered::Crowded => None,
        };
        over.unwrap_or_else(|| std::io::Error::from(std::io::ErrorKind::TimedOut).into())
    }
}

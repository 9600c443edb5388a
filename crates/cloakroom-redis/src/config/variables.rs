//! What the environment says.

use std::path::PathBuf;

use cloakroom::config::{Environment, OpenError};

use crate::RedisUrl;
use crate::digits::digits;

/// The `REDIS_*` of an environment. `null` is how Laravel's `.env` says that there is none.
pub(super) struct Variables<'e>(pub(super) &'e Environment);

impl Variables<'_> {
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, OpenError> {
        match self.0.get(name).map(|value| value.to_str()) {
            None | Some(Some("null")) => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => Err(format!("environment variable {name} is not text").into()),
        }
    }

    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, OpenError> {
        let read = |text: &str| {
            digits(text).ok_or_else(|| -> OpenError {
                format!("environment variable {name} is not a whole number that fits").into()
            })
        };
        self.text(name)?.map(read).transpose()
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, OpenError> {
        match self.text(name)? {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => {
                Err(format!("environment variable {name} is not a switch; accepted: true, false").into())
            }
        }
    }

    pub(super) fn file(&self, name: &str) -> Result<Option<PathBuf>, OpenError> {
        Ok(self.text(name)?.map(PathBuf::from))
    }

    pub(super) fn url(&self, name: &str) -> Result<Option<RedisUrl>, OpenError> {
        let read = |text: &str| {
            text.parse()
                .map_err(|error| -> OpenError { format!("environment variable {name}: {error}").into() })
        };
        self.text(name)?.map(read).transpose()
    }
}

//! The settings of a connection from both places that say them.

use cloakroom::config::{Connection, OpenError};

use super::has_variables;
use super::variables::Variables;

/// What is said of one connection: its table, and the environment over it where it is that connection's.
pub(super) struct Said<'a> {
    pub(super) connection: &'a Connection,
    variables: Option<&'a Variables<'a>>,
    /// What is the application's own, whichever connection it is about.
    #[cfg(feature = "laravel")]
    environment: &'a Variables<'a>,
}

/// `sid_length` is `REDIS_SID_LENGTH`.
fn variable(key: &str) -> String {
    format!("REDIS_{}", key.to_ascii_uppercase())
}

impl<'a> Said<'a> {
    pub(super) fn of(connection: &'a Connection, variables: &'a Variables<'a>) -> Self {
        Said {
            connection,
            variables: has_variables(connection).then_some(variables),
            #[cfg(feature = "laravel")]
            environment: variables,
        }
    }

    fn variable(&self, key: &str) -> Result<Option<&str>, OpenError> {
        self.variables.map_or(Ok(None), |variables| variables.text(&variable(key)))
    }

    /// Whether anything is, right or wrong.
    pub(super) fn is_there(&self, key: &str) -> bool {
        self.connection.has(key) || !matches!(self.variable(key), Ok(None))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, OpenError> {
        match self.variable(key)? {
            Some(text) => Ok(Some(text)),
            None => Ok(self.connection.text(key)?),
        }
    }

    #[cfg(feature = "php")]
    pub(super) fn number<N: std::str::FromStr + TryFrom<u64>>(
        &self,
        key: &str,
    ) -> Result<Option<N>, OpenError> {
        let over = self.variables.map_or(Ok(None), |variables| variables.number(&variable(key)))?;
        match over {
            Some(number) => Ok(Some(number)),
            None => Ok(self.connection.number(key)?),
        }
    }

    /// A switch, which is off where nothing is said.
    #[cfg(feature = "laravel")]
    pub(super) fn flag(&self, key: &str) -> Result<bool, OpenError> {
        let over = self.variables.map_or(Ok(None), |variables| variables.flag(&variable(key)))?;
        Ok(match over {
            Some(on) => on,
            None => self.connection.flag(key)?.unwrap_or(false),
        })
    }

    /// A variable of the application's own.
    #[cfg(feature = "laravel")]
    pub(super) fn environment(&self, name: &str) -> Result<Option<&str>, OpenError> {
        self.environment.text(name)
    }

    #[cfg(feature = "php")]
    pub(super) fn list(&self, key: &str) -> Result<Option<Vec<&str>>, OpenError> {
        match self.variable(key)? {
            Some(text) => Ok(Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect())),
            None => Ok(self.connection.list(key)?),
        }
    }

    /// The error for what was said, where it was said. `why` does not repeat it.
    pub(super) fn refuse(&self, key: &str, why: &str) -> OpenError {
        match self.variable(key) {
            Ok(Some(_)) | Err(_) => format!("environment variable {} {why}", variable(key)).into(),
            Ok(None) => self.connection.refuse(key, why).into(),
        }
    }
}

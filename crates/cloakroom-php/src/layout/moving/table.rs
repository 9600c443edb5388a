//! What a connection's table says of a move, where PHP's sessions are in files or in a cache on SQLite: how far it is, and where to.

use cloakroom::config::{ConfigError, Connection};

use super::{Stage, UnknownStage};

const MOVING: &str = "moving";
const MOVING_TO: &str = "moving_to";

/// A move that a connection's table asks for, of a driver whose `path` is where PHP has its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Move<'c> {
    /// `moving`: how far it is.
    pub stage: Stage,
    /// `moving_to`: the path of the place that the sessions move to.
    pub to: &'c str,
}

impl<'c> Move<'c> {
    /// The move that the table asks for, if it does.
    ///
    /// # Errors
    /// One of the two settings without the other, or a stage that there is not.
    pub fn of(connection: &'c Connection) -> Result<Option<Self>, ConfigError> {
        let unknown =
            |UnknownStage| connection.refuse(MOVING, "is no stage of a move; accepted: prepare, move, done");
        match (connection.text(MOVING)?, connection.text(MOVING_TO)?) {
            (None, None) => Ok(None),
            (Some(stage), Some(to)) => Ok(Some(Move { stage: stage.parse().map_err(unknown)?, to })),
            (Some(_), None) => {
                let why = format!("stands without {MOVING_TO}, the path that the sessions move to");
                Err(connection.refuse(MOVING, &why))
            }
            (None, Some(_)) => {
                let why = format!("stands without {MOVING}; accepted there: prepare, move, done");
                Err(connection.refuse(MOVING_TO, &why))
            }
        }
    }
}

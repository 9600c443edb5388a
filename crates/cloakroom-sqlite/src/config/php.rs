//! Sessions of a PHP application: mini's cache on SQLite.

use std::sync::Arc;

use cloakroom::config::{Connection, OpenError, Opened};
use cloakroom::store::Store;
use cloakroom_php::layout::{Layout, Move};

use super::{DURABILITY, LAYOUT, MOVING, MOVING_TO, NATIVE, USER, path, store};
use crate::php::{MovingStore, PhpCache, PhpCacheStore};

const MINI: &str = "mini";

/// The layout that is asked for, if one is.
pub(super) fn layout(connection: &Connection) -> Result<Option<Layout>, OpenError> {
    let layout = match connection.text(LAYOUT)? {
        Some(NATIVE) => return Ok(None),
        Some(MINI) => Layout::mini(),
        Some(_) => {
            let why = format!("is no layout of sessions in SQLite; accepted: {NATIVE}, {MINI}");
            return Err(connection.refuse(LAYOUT, &why).into());
        }
        None => {
            return match [USER, MOVING, MOVING_TO].into_iter().find(|key| connection.has(key)) {
                Some(key) => Err(connection.refuse(key, "stands without a layout").into()),
                None => Ok(None),
            };
        }
    };
    Ok(Some(match connection.text(USER)? {
        Some(variable) => layout.user_variable(variable),
        None => layout,
    }))
}

/// The store of its sessions, and what they need.
pub(super) async fn open(connection: &Connection, layout: Layout) -> Result<Opened, OpenError> {
    let (path, moving) = (path(connection)?, Move::of(connection)?);
    if moving.is_none() && connection.has(DURABILITY) {
        let why = "is not for mini's cache: its file keeps transactions as mini has it";
        return Err(connection.refuse(DURABILITY, why).into());
    }
    let config = layout.session_config();
    let php = PhpCacheStore::new(PhpCache::open(path)?, layout);
    let store: Arc<dyn Store> = match moving {
        None => Arc::new(php),
        Some(Move { stage, to, .. }) => {
            Arc::new(MovingStore::new(php, store(connection, to.as_ref()).await?, stage))
        }
    };
    Ok(Opened::with_config(store, config))
}

//! A request's session: handles for handlers, and the state behind them.

mod aim;
mod changes;
mod csrf;
mod devices;
mod finish;
#[cfg(feature = "body")]
mod finish_body;
mod flash;
mod given_up;
mod guard;
mod handle;
mod hands;
mod id_changes;
mod identity;
mod in_hand;
mod leased;
mod loading;
mod opening;
mod own_lease;
mod read_only;
mod reading;
mod reads;
mod shared;
mod storing;
mod underneath;
mod unsaved;
mod value;
mod view;
mod writing;

pub use devices::{DeviceHandle, DeviceSession};
pub use guard::LockGuard;
pub use handle::{SessionHandle, current};
pub use read_only::ReadOnlySession;
pub use value::RawValue;

pub(crate) use changes::{KeyConflict, MergeRule, Merged};
#[cfg(feature = "tower")]
pub(crate) use finish::Begun;
pub(crate) use finish::{HandlerEnd, Left};
#[cfg(feature = "body")]
pub(crate) use handle::Lent;
pub(crate) use shared::{Shared, Tell};

use std::sync::Arc;

/// The session of the request at hand, loaded.
///
/// **What is not `async` is buffered; what you `.await` is stored when it returns.** Buffered changes are committed
/// together, all or nothing, before the response's head is sent; a response with a 5xx status commits none of them.
///
/// Cloning is cheap and gives the same session. Keep a clone to change the session while a response body streams.
#[derive(Clone)]
pub struct Session(pub(crate) Arc<Shared>);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Session").field(&self.0.state.lock().key()).finish()
    }
}

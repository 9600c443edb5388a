//! Handing the session on in a request's extensions.

use std::sync::LazyLock;

use ::http::Extensions;

use crate::session::SessionHandle;

/// No entries, and room for more than the three that axum's router adds: a copy of it keeps the room. A map that begins with
/// ours alone has room for three, and is made anew for the fourth: an allocation more, and all entries filed again.
static ROOMY: LazyLock<Extensions> = LazyLock::new(|| {
    #[derive(Clone)]
    struct Seat<const N: usize>;

    let mut seats = Extensions::new();
    seats.insert(Seat::<0>);
    seats.insert(Seat::<1>);
    seats.insert(Seat::<2>);
    seats.insert(Seat::<3>);
    seats.clear();
    seats
});

/// Puts the session where extractors look for it; answers with that of a session layer further out.
pub(super) fn hand_on(handle: SessionHandle, extensions: &mut Extensions) -> Option<SessionHandle> {
    if extensions.is_empty() {
        *extensions = ROOMY.clone();
    }
    extensions.insert(handle)
}

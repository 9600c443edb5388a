use std::sync::Weak;

use super::Store;
use crate::ids::StoreKey;

/// A store that tells when sessions are changed behind this process's back: what a cache in front of it rests on.
///
/// Implemented by stores on a server that pushes: Redis tells its clients which of the keys they read were changed since. A
/// store in this process, or in a file that others write to as well, has nothing to tell and needs no cache.
pub trait PushStore: Store {
    /// Tells this listener from now on, until it is dropped. Costs no store call by itself; a store may need its connections
    /// for it only once something is read.
    ///
    /// What the store owes it:
    ///
    /// - [`connected`](ChangeListener::connected) once changes are told, and not before: each change of something that is
    ///   read *after* that call is told, unless [`disconnected`](ChangeListener::disconnected) is.
    /// - [`changed`](ChangeListener::changed) for each key that was read through this store and then changed by anybody, this
    ///   process included. A key may be told without having changed, and may be told once for several changes.
    /// - `disconnected` as soon as it is known that something may have been missed.
    fn tell(&self, listener: Weak<dyn ChangeListener>);
}

/// Whoever is told of changes; see [`PushStore`]. Called from the store's own tasks: it must not block.
pub trait ChangeListener: Send + Sync + 'static {
    /// From now on changes are told.
    fn connected(&self);

    /// Changes may have been missed already, and none is told until [`connected`](ChangeListener::connected).
    fn disconnected(&self);

    /// What is under this key is not what it was.
    fn changed(&self, key: StoreKey);
}

use crate::ids::StoreKey;

/// Whoever is told of sessions that reached their deadline in the store; see
/// [`Store::tell_expired`](super::Store::tell_expired). Called from the store's own tasks: it must not block.
pub trait ExpiryListener: Send + Sync + 'static {
    /// The session under this key is gone: nobody ended it, its time was over.
    fn expired(&self, key: StoreKey);
}

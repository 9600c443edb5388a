//! What a store around another one leaves as it is.

/// Methods of a [`Store`](cloakroom::store::Store) that hand everything on to the one in a field of it: `hand_on!(FIELD: METHOD …)`. What is left to be
/// written out is what the store does otherwise.
///
/// ```
/// use cloakroom::store::{Rename, Renamed, Store, StoreFuture};
///
/// /// Says of every new id that it is taken.
/// struct Taken<S>(S);
///
/// impl<S: Store> Store for Taken<S> {
///     fn rename(&self, _: Rename) -> StoreFuture<Renamed> {
///         StoreFuture::ready(Ok(Renamed::Exists))
///     }
///
///     cloakroom_testing::hand_on!(0: name conventions load load_many create commit touch end acquire renew release);
///     cloakroom_testing::hand_on!(0: list_user revoke scan purge stats now released tell_expired);
/// }
///
/// assert_eq!(Taken(cloakroom::MemoryStore::new()).name(), "memory");
/// ```
#[macro_export]
macro_rules! hand_on {
    (@$of:tt name) => {
        fn name(&self) -> &'static str {
            self.$of.name()
        }
    };
    (@$of:tt conventions) => {
        fn conventions(&self) -> Option<::cloakroom::store::Conventions> {
            self.$of.conventions()
        }
    };
    (@$of:tt load) => { $crate::hand_on!(@$of load(key: ::cloakroom::StoreKey) -> ::cloakroom::store::Loaded); };
    (@$of:tt load_many) => {
        $crate::hand_on!(@$of load_many(keys: Vec<::cloakroom::StoreKey>) -> Vec<::cloakroom::store::Loaded>);
    };
    (@$of:tt create) => { $crate::hand_on!(@$of create(request: ::cloakroom::store::Create) -> ::cloakroom::store::Created); };
    (@$of:tt commit) => { $crate::hand_on!(@$of commit(request: ::cloakroom::store::Commit) -> ::cloakroom::store::Committed); };
    (@$of:tt rename) => { $crate::hand_on!(@$of rename(request: ::cloakroom::store::Rename) -> ::cloakroom::store::Renamed); };
    (@$of:tt touch) => { $crate::hand_on!(@$of touch(request: ::cloakroom::store::Touch) -> ::cloakroom::store::Touched); };
    (@$of:tt end) => { $crate::hand_on!(@$of end(request: ::cloakroom::store::End) -> ::cloakroom::store::Ended); };
    (@$of:tt acquire) => { $crate::hand_on!(@$of acquire(request: ::cloakroom::store::Acquire) -> ::cloakroom::store::Acquired); };
    (@$of:tt renew) => { $crate::hand_on!(@$of renew(request: ::cloakroom::store::Renew) -> ::cloakroom::store::Renewed); };
    (@$of:tt release) => { $crate::hand_on!(@$of release(request: ::cloakroom::store::Release) -> ::cloakroom::store::Released); };
    (@$of:tt list_user) => {
        $crate::hand_on!(@$of list_user(user: ::cloakroom::UserId) -> Vec<::cloakroom::store::Summary>);
    };
    (@$of:tt revoke) => { $crate::hand_on!(@$of revoke(request: ::cloakroom::store::Revoke) -> ::cloakroom::store::Revoked); };
    (@$of:tt scan) => { $crate::hand_on!(@$of scan(from: ::cloakroom::store::ScanFrom) -> ::cloakroom::store::ScanPage); };
    (@$of:tt purge) => { $crate::hand_on!(@$of purge(limit: usize) -> ::cloakroom::store::Purged); };
    (@$of:tt stats) => { $crate::hand_on!(@$of stats() -> ::cloakroom::store::StoreStats); };
    (@$of:tt now) => { $crate::hand_on!(@$of now() -> ::cloakroom::clock::Timestamp); };
    (@$of:tt released) => {
        fn released(&self, key: ::cloakroom::StoreKey) -> Option<::cloakroom::store::StoreFuture<()>> {
            self.$of.released(key)
        }
    };
    (@$of:tt tell_expired) => {
        fn tell_expired(
            &self,
            listener: ::std::sync::Weak<dyn ::cloakroom::store::ExpiryListener>,
            remembered: ::std::time::Duration,
        ) {
            self.$of.tell_expired(listener, remembered);
        }
    };
    (@$of:tt $method:ident($($given:ident: $type:ty)?) -> $answer:ty) => {
        fn $method(&self, $($given: $type)?) -> ::cloakroom::store::StoreFuture<$answer> {
            self.$of.$method($($given)?)
        }
    };
    ($of:tt: $($method:ident)+) => { $($crate::hand_on!(@$of $method);)+ };
}

//! Ids: the ticket the visitor holds, and what the counter keeps of it.
//!
//! Three types that are easy to mix up are three types here:
//!
//! - [`Candidate`]: what a client sent. Well-formed, but nobody knows yet whether it means anything.
//! - [`SessionId`]: an id this server issued, made fresh or proven by a store that knows it. It is a secret.
//! - [`StoreKey`]: the slot tag and SHA-256 of an id. It is what a store sees, and no cookie can be made of it.
//!
//! Only a store turns a [`Candidate`] into a [`SessionId`]: that is strict mode, expressed in types.

mod candidate;
mod envelope;
mod key;
mod op_id;
mod percent;
mod plain;
mod record_id;
mod session_id;
mod user_id;

pub use candidate::{Candidate, MalformedId};
pub use envelope::IdEnvelope;
pub use key::StoreKey;
pub use op_id::OpId;
pub(crate) use plain::IdFormat;
pub use plain::{IdRules, PlainId, PlainIds};
pub use record_id::RecordId;
pub use session_id::SessionId;
pub use user_id::UserId;

/// Characters in an id: 4 of slot tag and 28 of secret, base64url without padding.
pub const ID_LEN: usize = 32;
/// Bytes before encoding.
pub(crate) const ID_BYTES: usize = 24;
/// Of those, the non-secret slot tag.
pub(crate) const TAG_BYTES: usize = 3;

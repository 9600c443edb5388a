//! Redis Cluster: 16,384 slots of keys over several servers, which tell who serves which.
//!
//! | file | idea |
//! |---|---|
//! | `slot` | the slot of a key |
//! | `map` | who serves which slots, as a node tells |
//! | `redirect` | what a node answers that is not, or not at present, the one to ask |

#[allow(dead_code, reason = "what the way to a node will rest on")]
mod map;
#[allow(dead_code, reason = "what the way to a node will rest on")]
mod redirect;
mod slot;

pub(crate) use slot::slot_of;

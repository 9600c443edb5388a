//! Redis Cluster: 16,384 slots of keys over several servers, which tell who serves which.
//!
//! | file | idea |
//! |---|---|
//! | `seeds` | the nodes in a URL |
//! | `slot` | the slot of a key |
//! | `tag` | what keys have in braces that are to be in a slot (for PHP's sessions) |
//! | `map` | who serves which slots, as a node tells |
//! | `redirect` | what a node answers that is not, or not at present, the one to ask |
//! | `topology` | who serves what, as far as is known here |
//! | `routing` | the way of a command to the node that has its keys |

mod map;
mod redirect;
mod routing;
mod seeds;
mod slot;
#[cfg(feature = "php")]
mod tag;
mod topology;

pub(crate) use seeds::Seeds;
pub(crate) use slot::slot_of;
#[cfg(feature = "php")]
pub(crate) use tag::tag_beside;
pub(crate) use topology::Cluster;

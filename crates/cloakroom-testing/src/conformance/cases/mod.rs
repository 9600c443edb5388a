//! The cases. Each is a function whose name is the sentence it checks; `list.rs` names them all.

pub(super) mod cap;
pub(super) mod capability;
pub(super) mod commit;
pub(super) mod concurrent;
pub(super) mod create;
pub(super) mod deadline;
pub(super) mod end;
pub(super) mod lease;
pub(super) mod load;
pub(super) mod model;
pub(super) mod payload;
pub(super) mod rename;
pub(super) mod upkeep;
pub(super) mod user;

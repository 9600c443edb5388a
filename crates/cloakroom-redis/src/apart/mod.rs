//! Users whose sessions are not all in one step: in a cluster, where a user's index lies in another slot than the user's sessions; and
//! on a single server where a user has more sessions than one step is over.
//!
//! On a single server a session and the index change in one step, and nothing is ever announced; listing, ending and making room
//! are as below. In a cluster it is two steps, in an order that leaves nothing out:
//!
//! 1. **Announce.** Before a session becomes a user's, its name goes into the user's index, and for half a minute into the list of
//!    those that are announced.
//! 2. **Commit.** The session's own step, on its own node, is made within ten seconds or refused by its node's clock.
//! 3. **Tidy.** What has come true is no longer announced, and what has come to an end is taken out. Nobody waits for that, and
//!    nothing is lost when it does not happen: who looks at the index next, does it.
//!
//! So *every* session of a user that is alive is in the index, and whoever revokes misses none: a session that is announced and is
//! not there yet gets a marker in its place, so that its commit finds the place taken and the login ends as revoked. What was
//! announced after a revocation looked at the index, came after it. No counter for each user has to be compared for that: the
//! marker does it, in the very step that it has to stop.
//!
//! A session whose id changes after the index was read is found where it went: what is under the old id says where, and the way
//! there is gone inside the server.
//!
//! What is in the index and is not alive, nor announced, is a leftover; it is taken out by whoever sees it, and goes with the index
//! at the latest, which has an expiry like everything else.
//!
//! | file | idea |
//! |---|---|
//! | `index` | the index of a user: announced, read, tidied |
//! | `line` | where a session is by now that was under an id, and its end wherever that is |
//! | `login` | a session becomes a user's, and the cap on how many there may be |
//! | `revoke` | ending a user's sessions |
//! | `turn` | logins of one user, one after the other, where their number is capped |

mod index;
mod line;
mod login;
mod revoke;
mod turn;

pub(crate) use index::COMMITTED;

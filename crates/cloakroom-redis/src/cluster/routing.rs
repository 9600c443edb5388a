//! The way of a command to the node that has its keys.
//!
//! A redirection is followed at once, and one that says "later" is waited for in short pauses, up to the call's own deadline: nothing
//! was done, so that a write may be sent again as it is. A node that cannot be reached is refused at once, as a single server would
//! be, unless the others say that another one serves its slots by now. A write that was sent and not answered is never sent again.
//!
//! What a node answers that stood still a moment ago is believed once the others agree that it is still the one to ask: replaced
//! meanwhile, it answers with sessions as they were before that, and with writes that will be undone.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::{StoreError, StoreErrorKind};
use rand::RngExt;
use redis::Value;

use super::redirect::{NoPlace, Redirect};
use super::topology::Cluster;
use crate::asking::Asking;
use crate::durability::Over;
use crate::error::{self, Effect};
use crate::node::Node;
use crate::shared::{Deadline, Shared, Spot, Told};

/// First and longest pause before a command is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Redirections that are followed without a pause between them.
const AT_ONCE: u32 = 3;

/// Where a command goes next.
enum Next {
    /// To whoever is known to serve the slot.
    Owner,
    There(Arc<Node>),
    /// There, though the slot is not that node's yet.
    Asking(Arc<Node>),
}

impl Shared {
    async fn ask_there(
        &self,
        node: Arc<Node>,
        deadline: Deadline,
        effect: Effect,
        asking: &Asking<'_>,
        over: Over,
    ) -> Result<Told<Value>, StoreError> {
        match over {
            Over::Shared => self.ask_node(node, deadline, effect, asking).await,
            Over::Waiting => self.ask_waiting(node, deadline, effect, asking).await,
        }
    }

    pub(crate) async fn ask_cluster(
        &self,
        cluster: &Cluster,
        deadline: Deadline,
        effect: Effect,
        spot: Spot,
        asking: &Asking<'_>,
        over: Over,
    ) -> Result<Told<Value>, StoreError> {
        let mut next = Next::Owner;
        let mut pause = FIRST_PAUSE;
        for tries in 0_u32.. {
            let (node, ahead) = match next {
                Next::Owner => (cluster.owner(self, deadline, spot).await?, false),
                Next::There(node) => (node, false),
                Next::Asking(node) => (node, true),
            };
            let told = if ahead {
                self.ask_there(node.clone(), deadline, effect, &Asking::Ahead(asking), over).await
            } else {
                self.ask_there(node.clone(), deadline, effect, asking, over).await
            };
            let told = match told {
                Ok(told) => told,
                Err(error) => {
                    let nothing_done = error.kind() == StoreErrorKind::Unavailable && !deadline.is_past();
                    if nothing_done && cluster.has_another(self, deadline, spot, &node).await {
                        next = Next::Owner;
                        continue;
                    }
                    cluster.look_again();
                    return Err(error);
                }
            };
            let answer = match (&told.value, over) {
                // The write comes first. Where it was made, what stands behind it does not have it made again.
                (Value::Array(answers), Over::Waiting) => answers.first().unwrap_or(&Value::Nil),
                (answer, _) => answer,
            };
            let redirect = match &node.at {
                Some(at) => Redirect::among(answer, at),
                None => Ok(None),
            };
            let wait = match redirect {
                Ok(None) => {
                    if !ahead
                        && node.standstill.concerns(deadline.began)
                        && self.was_replaced(cluster, deadline, effect, spot, &node).await?
                    {
                        next = Next::Owner;
                        continue;
                    }
                    if ahead && matches!(asking, Asking::Told { .. }) {
                        // It was not opted in, so nobody will tell of changes, and nobody may keep it.
                        self.tracking.start_anew();
                    }
                    return Ok(told);
                }
                Err(NoPlace) => return Err(error::strange(&node.place, Effect::Reads)),
                Ok(Some(Redirect::Moved(place))) => {
                    next = Next::There(cluster.moved(spot, &place));
                    tries >= AT_ONCE
                }
                Ok(Some(Redirect::Ask(place))) => {
                    next = Next::Asking(cluster.node_at(&place));
                    tries >= AT_ONCE
                }
                Ok(Some(Redirect::Later | Redirect::Demoted)) => {
                    cluster.look_again();
                    next = Next::Owner;
                    true
                }
            };
            if wait {
                let jitter = rand::rng().random_range(0.5..1.0);
                let until = std::time::Instant::now() + pause.mul_f64(jitter);
                if until >= deadline.ends {
                    let why =
                        "is one of a cluster that is changing, or that has no majority: nothing was done";
                    return Err(error::unavailable(&node.place, why));
                }
                tokio::time::sleep_until(until.into()).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Err(error::unavailable(&self.place, "sent a command from node to node without an end"))
    }

    /// Whether the node that answered this read had been replaced, so that another one is to be asked. Of a write nobody knows then.
    async fn was_replaced(
        &self,
        cluster: &Cluster,
        deadline: Deadline,
        effect: Effect,
        spot: Spot,
        node: &Arc<Node>,
    ) -> Result<bool, StoreError> {
        match (effect, cluster.others_have_another(self, deadline, spot, node).await) {
            (Effect::Reads, told) => told,
            (Effect::Writes, Ok(false)) => Ok(false),
            (Effect::Writes, Ok(true)) => {
                Err(error::unanswered(&node.place, effect, "stood still, and was replaced,"))
            }
            (Effect::Writes, Err(_)) => {
                let how = "stood still, and the others could not be asked whether it was replaced,";
                Err(error::unanswered(&node.place, effect, how))
            }
        }
    }
}

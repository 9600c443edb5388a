//! Logins of one user, one after the other, where their number is capped: each makes room for itself before the next one counts.
//!
//! A turn ends by itself a moment after the call that took it must have ended. Were two logins ever in it at once (a process stopped
//! in the midst of one), one session too many or too few would live on until the next login; nothing else rests on it.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::UserId;
use cloakroom::store::StoreError;
use rand::RngExt;
use redis::Value;
use tokio::runtime::Handle;

use crate::asking::Asking;
use crate::error::{self, Effect};
use crate::invocation::Invocation;
use crate::layout;
use crate::scripts;
use crate::shared::{Deadline, Shared, Spot};

/// First and longest pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Given up when dropped.
pub(super) struct Turn {
    store: Arc<Shared>,
    name: String,
    whose: [u8; 16],
}

impl Shared {
    pub(super) async fn turn(
        self: &Arc<Self>,
        deadline: Deadline,
        user: &UserId,
    ) -> Result<Turn, StoreError> {
        let name = self.names.turn(user);
        let whose: [u8; 16] = rand::rng().random();
        let life = self.call_deadline.saturating_add(Duration::from_secs(1));
        let mut take = redis::cmd("SET");
        take.arg(&name)
            .arg(&whose)
            .arg("NX")
            .arg("GET")
            .arg("PX")
            .arg(u64::try_from(life.as_millis()).unwrap_or(layout::NEVER).min(layout::NEVER));
        // From here on: a try that was not answered may have taken it.
        let turn = Turn { store: self.clone(), name, whose };
        let mut pause = FIRST_PAUSE;
        loop {
            // Sent again, it finds that it has taken it: a read as far as the outcome goes.
            let told = self.ask(deadline, Effect::Reads, Spot::of(&turn.name), &Asking::One(&take)).await?;
            match told.accepted()?.value {
                Value::Nil => return Ok(turn),
                Value::BulkString(other) if other == whose => return Ok(turn),
                Value::BulkString(_) => {}
                _ => return Err(error::strange(&self.place, Effect::Reads)),
            }
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(pause.mul_f64(jitter)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if deadline.is_past() {
                let why = "has too many logins of one user at once; nothing was done";
                return Err(error::unavailable(&self.place, why));
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (store, name, whose) = (self.store.clone(), std::mem::take(&mut self.name), self.whose);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let mut script = Invocation::new(&scripts::GIVE_UP, &[name]);
                script.arg(whose);
                let _ = store.evaluate(store.deadline(), Effect::Writes, &script).await;
            });
        }
    }
}

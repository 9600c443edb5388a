//! The task that makes a link's connection: tries, with pauses, for as long as somebody wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;

use super::{Inner, Phase, Tracks};
use crate::route::Connection;

/// First and longest pause between two tries to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Nobody asked for so long: trying is given up until somebody does.
const NOBODY_ASKS: Duration = Duration::from_secs(60);

/// A task that connects, the only one of its link. However it ends, nobody waits for it any longer.
pub(super) struct Trying {
    pub(super) inner: Arc<Inner>,
    /// The connection is up; the state is no longer this task's.
    pub(super) done: bool,
}

impl Drop for Trying {
    fn drop(&mut self) {
        if !self.done {
            self.inner.state.lock().phase = Phase::Idle;
        }
        self.inner.changed.send_replace(());
    }
}

/// What comes behind a try.
enum Next {
    /// The connection is up, or nobody asks for one any more.
    Nothing,
    AtOnce,
    AfterAPause,
}

impl Trying {
    /// Takes in what came of a try, and whether that connection has ended since.
    fn tried(
        &mut self,
        epoch: u64,
        connected: Result<(Connection, Tracks), Arc<str>>,
        ended: &AtomicBool,
    ) -> Next {
        let inner = &self.inner;
        let mut state = inner.state.lock();
        // Looked at under the lock: what ends later finds the link up, and leaves it.
        let connected = connected.and_then(|connected| match ended.load(Ordering::Acquire) {
            true => Err("closed the connection as soon as it was made".into()),
            false => Ok(connected),
        });
        match connected {
            Ok((connection, tracks)) => {
                state.epoch = epoch;
                if let Some(line) = &inner.line {
                    match tracks {
                        Tracks::Yes => line.up(),
                        // By somebody who found no connection to make anew.
                        Tracks::Unasked if line.is_wanted() => return Next::AtOnce,
                        Tracks::Unasked | Tracks::Refused => {}
                    }
                }
                state.phase = Phase::Up(connection, Instant::now(), tracks);
                self.done = true;
                drop(state);
                // What was said while it was made.
                inner.follow();
                Next::Nothing
            }
            Err(_) if state.asked.elapsed() > NOBODY_ASKS => Next::Nothing,
            Err(why) => {
                if !matches!(&state.phase, Phase::Away(known) if *known == why) {
                    tracing::warn!(target: "cloakroom", "{} {why}; it is tried again", inner.place);
                }
                state.phase = Phase::Away(why);
                Next::AfterAPause
            }
        }
    }
}

pub(super) async fn keep_connecting(mut trying: Trying) {
    let inner = trying.inner.clone();
    let mut pause = FIRST_PAUSE;
    loop {
        let epoch = inner.state.lock().epoch + 1;
        let ended = Arc::new(AtomicBool::new(false));
        let connected = inner.connect(epoch, ended.clone()).await;
        match trying.tried(epoch, connected, &ended) {
            Next::Nothing => return,
            Next::AtOnce => continue,
            Next::AfterAPause => {}
        }
        inner.changed.send_replace(());
        // Nobody but this task knows the link any more.
        if Arc::strong_count(&inner) == 2 {
            return;
        }
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

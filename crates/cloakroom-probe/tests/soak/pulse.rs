//! Whether a session may have expired in the middle of its life: a server that was away for too long, on a machine that is too
//! busy, is no error of ours, and a history has to allow for it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

pub struct Pulse {
    idle: Duration,
    state: Mutex<State>,
}

struct State {
    last_used: Instant,
    allowed_for: bool,
}

impl Pulse {
    /// Of a session that was used just now.
    pub fn new(idle: Duration) -> Self {
        Pulse { idle, state: Mutex::new(State { last_used: Instant::now(), allowed_for: false }) }
    }

    /// An answer came; before it is written down. Whether this is the first sign that the session may be over by itself, at any time
    /// from now on.
    pub fn felt(&self, used: bool) -> bool {
        let mut state = self.state.lock().unwrap();
        // Deadlines slide when a tenth has passed, and clocks of processes that wait for a turn are not exact: half is enough.
        let first = !state.allowed_for && state.last_used.elapsed() > self.idle / 2;
        state.allowed_for |= first;
        if used {
            state.last_used = Instant::now();
        }
        first
    }
}

#[test]
fn only_a_session_that_nobody_could_use_for_a_while_may_be_over_by_itself() {
    let pulse = Pulse::new(Duration::from_secs(2));
    assert!(!pulse.felt(true));
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(pulse.felt(false) && !pulse.felt(false));
}

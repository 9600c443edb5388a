//! Processes take turns: one that comes for a lock again and again leaves it, every now and then, to those that wait.
//!
//! `flock` gives a lock to whoever asks first after it was freed, and that is the process that freed it: its next thread is there at
//! once, one that waits looks again after a pause. So whoever waits says so, by a shared lock on a file that is there anyway, and a process
//! that has had a lock for a while looks whether anybody does.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A process may take the same lock again and again for so long.
const TURN: Duration = Duration::from_millis(10);
/// Then it leaves it alone for so long: longer than anybody who waits sleeps between two tries.
pub(crate) const GAP: Duration = Duration::from_millis(4);

/// Who waits, in this process and in others.
#[derive(Debug)]
pub(crate) struct Turns {
    path: PathBuf,
    here: Mutex<Here>,
}

/// Those of this process.
#[derive(Debug, Default)]
struct Here {
    waiting: usize,
    /// Locked as long as somebody waits.
    sign: Option<File>,
}

/// How long this process has had one lock.
#[derive(Debug)]
pub(crate) struct Turn {
    began: Instant,
    ended: Instant,
}

impl Turn {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Turn { began: now, ended: now }
    }

    /// It was freed.
    pub(crate) fn ends(&mut self) {
        self.ended = Instant::now();
    }
}

impl Turns {
    /// The file must be there as long as the store.
    pub(crate) fn new(path: PathBuf) -> Self {
        Turns { path, here: Mutex::default() }
    }

    /// To be called before a lock is taken: sleeps, if it is the others' turn.
    pub(crate) fn respect(&self, turn: &mut Turn, deadline: Instant) {
        let now = Instant::now();
        if now.duration_since(turn.ended) >= GAP {
            turn.began = now;
        } else if now.duration_since(turn.began) >= TURN {
            if self.anybody_waits() {
                std::thread::sleep(GAP.min(deadline.saturating_duration_since(now)));
            }
            turn.began = Instant::now();
        }
    }

    /// Somebody of this process waits, until what is returned is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.here.lock().waiting += 1;
        Waiting(self)
    }

    /// Where this cannot be told, nobody does: then they wait longer.
    fn anybody_waits(&self) -> bool {
        let Ok(file) = File::open(&self.path) else { return false };
        // Closing it frees it.
        matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock))
    }
}

/// Somebody waits.
pub(crate) struct Waiting<'t>(&'t Turns);

impl Waiting<'_> {
    /// Lets the others see it. Again with each try: somebody may just be looking.
    pub(crate) fn show(&self) {
        let mut here = self.0.here.lock();
        if here.sign.is_none()
            && let Ok(file) = File::open(&self.0.path)
            && file.try_lock_shared().is_ok()
        {
            here.sign = Some(file);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut here = self.0.here.lock();
        here.waiting = here.waiting.saturating_sub(1);
        if here.waiting == 0 {
            here.sign = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two that have nothing in common but the file, as two processes would.
    #[test]
    fn whoever_has_had_a_lock_for_a_while_leaves_it_to_those_who_wait() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let [here, there] = [0; 2].map(|_| Turns::new(file.path().to_owned()));
        let later = Instant::now() + Duration::from_secs(60);
        let slept = |turn: &mut Turn| {
            let began = Instant::now();
            here.respect(turn, later);
            began.elapsed() >= GAP
        };
        let busy = || Turn { began: Instant::now() - TURN, ended: Instant::now() };
        assert!(!slept(&mut busy()), "nobody waits");
        let waiting = there.wait();
        waiting.show();
        assert!(slept(&mut busy()));
        assert!(!slept(&mut Turn::new()), "its turn has just begun");
        assert!(!slept(&mut Turn { ended: Instant::now() - GAP, ..busy() }), "they have had their chance");
        let another = there.wait();
        drop(waiting);
        another.show();
        assert!(slept(&mut busy()));
        drop(another);
        assert!(!slept(&mut busy()), "nobody waits any more");
    }
}

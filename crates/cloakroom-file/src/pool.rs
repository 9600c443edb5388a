//! Threads that may wait: for locks, for the disk. Started as they are needed, up to a bound.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Why something could not be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait already as may wait, or no thread could be started.
    Full,
    /// Closed.
    Closed,
}

/// A bounded queue, and those who work it off.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    bound: usize,
    most: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that sleep and that nobody has woken yet.
    asleep: usize,
    closed: bool,
}

impl Pool {
    pub(crate) fn new(bound: usize, most: usize) -> Self {
        Pool { shared: Arc::default(), bound, most }
    }

    /// Queues a job. Never blocks for longer than the queue's own lock, and starting a thread, take.
    pub(crate) fn push(&self, job: Job) -> Result<(), Refused> {
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.waiting.len() >= self.bound {
            return Err(Refused::Full);
        }
        if state.asleep > 0 {
            state.asleep -= 1;
            state.waiting.push_back(job);
            drop(state);
            self.shared.filled.notify_one();
            return Ok(());
        }
        if state.threads.len() < self.most {
            let shared = Arc::clone(&self.shared);
            let started =
                std::thread::Builder::new().name("cloakroom-file".into()).spawn(move || shared.work());
            match started {
                Ok(thread) => state.threads.push(thread),
                Err(_) if state.threads.is_empty() => return Err(Refused::Full),
                // The others get to it.
                Err(_) => {}
            }
        }
        state.waiting.push_back(job);
        Ok(())
    }

    /// Takes no more, finishes what is queued, and waits for that.
    pub(crate) fn close(&self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        self.shared.filled.notify_all();
        let me = std::thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != me) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                drop(state);
                // A job that panics was refused to its caller, whose answer's sender is dropped with it.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                state = self.state.lock();
            } else if state.closed {
                return;
            } else {
                state.asleep += 1;
                self.filled.wait(&mut state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn c13_a_full_pool_refuses_and_a_closed_one_finishes_what_it_took() {
        let pool = Pool::new(1, 1);
        let (go, wait) = mpsc::channel::<()>();
        let (done, results) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        pool.push(Box::new(move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
        }))
        .unwrap();
        has_begun.recv().unwrap();
        pool.push(Box::new(move || done.send(7).unwrap())).unwrap();
        assert_eq!(pool.push(Box::new(|| {})), Err(Refused::Full));
        go.send(()).unwrap();
        pool.close();
        assert_eq!(results.recv(), Ok(7));
        assert_eq!(pool.push(Box::new(|| {})), Err(Refused::Closed));
    }

    #[test]
    fn sleeping_threads_are_woken_and_a_panic_ends_none() {
        let pool = Pool::new(64, 2);
        for n in 0..50 {
            let (done, result) = mpsc::channel();
            pool.push(Box::new(move || {
                done.send(n).unwrap();
                assert!(n % 10 != 3, "on purpose");
            }))
            .unwrap();
            assert_eq!(result.recv_timeout(std::time::Duration::from_secs(20)), Ok(n));
        }
        pool.close();
    }
}

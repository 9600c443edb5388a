//! The writer's queue: many callers, one thread that takes everything at once. Bounded.

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Why something could not be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait already as may wait.
    Full,
    /// Nobody takes from it any more.
    Closed,
}

/// A bounded queue of `T`.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    bound: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
    /// Consumers that sleep and that nobody has woken yet. Saves the system call when all are at work anyway.
    asleep: usize,
    /// A sleeping consumer is woken once so many wait.
    wanted: usize,
}

impl<T> State<T> {
    fn hand_out(&mut self, into: &mut Vec<T>, most: usize) -> bool {
        self.asleep = 0;
        let any = !self.waiting.is_empty();
        into.extend(self.waiting.drain(..self.waiting.len().min(most)));
        any
    }
}

impl<T> Queue<T> {
    pub(crate) fn new(bound: usize) -> Self {
        let state = State { waiting: VecDeque::new(), closed: false, asleep: 0, wanted: 1 };
        Queue { state: Mutex::new(state), filled: Condvar::new(), bound: bound.max(1) }
    }

    /// Appends. Never blocks for longer than the queue's own lock.
    pub(crate) fn push(&self, item: T) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.waiting.len() >= self.bound {
            return Err(Refused::Full);
        }
        state.waiting.push_back(item);
        let wake = state.asleep > 0 && state.waiting.len() >= state.wanted;
        state.asleep -= usize::from(wake);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Moves what waits into `into`, in order, at most `most`; sleeps while there is nothing. `false`: closed and empty.
    ///
    /// Waits until `patience` for as many as are `wanted`, but takes what there is when that has passed. For one
    /// consumer.
    pub(crate) fn take(&self, into: &mut Vec<T>, wanted: usize, patience: Instant, most: usize) -> bool {
        let state = self.state.lock();
        let mut state = if wanted > 1 { self.wait(state, wanted, patience) } else { state };
        while !state.closed && state.waiting.is_empty() {
            state.wanted = 1;
            state.asleep = 1;
            self.filled.wait(&mut state);
        }
        state.hand_out(into, most)
    }

    /// Takes what there is. If that is nothing it waits for as many as are `wanted`, and takes what there is at `patience`.
    /// `false`: nothing was taken.
    pub(crate) fn take_in_time(
        &self,
        into: &mut Vec<T>,
        wanted: usize,
        patience: Instant,
        most: usize,
    ) -> bool {
        let state = self.state.lock();
        let mut state = if state.waiting.is_empty() { self.wait(state, wanted, patience) } else { state };
        state.hand_out(into, most)
    }

    /// Waits until `patience` for as many as are `wanted`.
    fn wait<'q>(
        &'q self,
        mut state: MutexGuard<'q, State<T>>,
        wanted: usize,
        patience: Instant,
    ) -> MutexGuard<'q, State<T>> {
        state.wanted = wanted.min(self.bound);
        while !state.closed && state.waiting.len() < state.wanted {
            state.asleep = 1;
            if self.filled.wait_until(&mut state, patience).timed_out() {
                break;
            }
        }
        state.asleep = 0;
        state
    }

    /// Takes the first one; sleeps while there is none. `None`: closed and empty. For several consumers.
    pub(crate) fn take_one(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(item) = state.waiting.pop_front() {
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state.asleep += 1;
            self.filled.wait(&mut state);
        }
    }

    /// Takes no more; what is queued is still handed out.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.asleep = 0;
        drop(state);
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_a_full_queue_refuses_and_a_closed_one_hands_out_what_it_holds() {
        let queue = Queue::new(2);
        queue.push(1).unwrap();
        queue.push(2).unwrap();
        assert_eq!(queue.push(3), Err(Refused::Full));
        queue.close();
        assert_eq!(queue.push(4), Err(Refused::Closed));
        let mut out = Vec::new();
        assert!(queue.take(&mut out, 1, Instant::now(), 9));
        assert_eq!(out, [1, 2]);
        assert!(!queue.take(&mut out, 1, Instant::now(), 9));
    }

    #[test]
    fn what_is_there_is_taken_at_once_and_what_is_not_is_waited_for_in_time() {
        let queue = std::sync::Arc::new(Queue::new(8));
        let soon = |millis| Instant::now() + std::time::Duration::from_millis(millis);
        let mut out = Vec::new();
        assert!(!queue.take_in_time(&mut out, 2, soon(1), 9), "nothing came");
        queue.push(1).unwrap();
        assert!(queue.take_in_time(&mut out, 2, soon(60_000), 9), "one is more than nothing");
        let producer = {
            let queue = queue.clone();
            std::thread::spawn(move || (2..5).for_each(|i| queue.push(i).unwrap()))
        };
        assert!(queue.take_in_time(&mut out, 3, soon(60_000), 2));
        producer.join().unwrap();
        assert!(queue.take_in_time(&mut out, 1, soon(60_000), 9));
        assert_eq!(out, [1, 2, 3, 4], "in order, no more at a time than asked for");
    }

    #[test]
    fn a_sleeping_consumer_is_woken_by_the_first_item() {
        let queue = std::sync::Arc::new(Queue::new(8));
        let consumer = {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                while queue.take(&mut seen, 1, Instant::now(), 9) {}
                seen
            })
        };
        for i in 0..5 {
            while queue.push(i).is_err() {
                std::thread::yield_now();
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        queue.close();
        assert_eq!(consumer.join().unwrap(), [0, 1, 2, 3, 4]);
    }
}

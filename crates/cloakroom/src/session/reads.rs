//! The keys that a request has read: where each was read, and by which of the request's tasks.
//!
//! What a request writes itself it knows, so it may write over it. But that goes for the task that awaited the write, and for those
//! that have looked since: one that read the key before knows an older value, and what it decides on that must not replace the newer
//! one unseen. Futures of one task are not told apart.

use compact_str::CompactString;
use smallvec::SmallVec;
use tokio::task;

use super::changes::Changes;
use crate::payload::Payload;

/// So many readers of one key are told apart: a session that lives long may be read by any number of tasks, and each may keep a payload
/// alive. Whoever read before them counts as if it knew.
const TOLD_APART: usize = 16;

/// A task of the runtime's. Whatever runs outside of one is one as well, on however many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Task(Option<task::Id>);

impl Task {
    /// The one that calls.
    pub(super) fn current() -> Self {
        Task(task::try_id())
    }
}

/// Keys that were read. Kept until `reload`.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads(SmallVec<[Read; 1]>);

#[derive(Debug, Clone)]
struct Read {
    key: CompactString,
    read_in: ReadIn,
    by: Readers,
}

/// The tasks that have read a key. Nearly always there is one, which has missed nothing: every request makes room for that.
#[derive(Debug, Clone)]
enum Readers {
    One(Task),
    More(Vec<Reader>),
}

#[derive(Debug, Clone)]
struct Reader {
    task: Task,
    /// Where it read the key, if another task of the request has written it since.
    missed: Option<Payload>,
}

/// The payload that a key was read in.
#[derive(Debug, Clone)]
pub(super) enum ReadIn {
    /// The newest one. Nearly every read stays there, and takes no reference to it.
    Newest,
    /// One that was the newest at that time.
    Earlier(Payload),
}

impl ReadIn {
    fn payload<'a>(&'a self, newest: &'a Payload) -> &'a Payload {
        match self {
            ReadIn::Newest => newest,
            ReadIn::Earlier(payload) => payload,
        }
    }
}

impl Reads {
    /// The calling task reads this key. Answers whether it is the first one of its request to do so, which it does `there`.
    pub(super) fn note(&mut self, key: &str, there: impl FnOnce() -> ReadIn) -> bool {
        let task = Task::current();
        match self.0.iter_mut().find(|read| read.key == key) {
            Some(read) => {
                read.by.note(task);
                false
            }
            None => {
                self.0.push(Read { key: CompactString::from(key), read_in: there(), by: Readers::One(task) });
                true
            }
        }
    }

    /// The payload that this key is seen in, if it was read.
    pub(super) fn seen_in<'a>(&'a self, key: &str, newest: &'a Payload) -> Option<&'a Payload> {
        Some(self.0.iter().find(|read| read.key == key)?.read_in.payload(newest))
    }

    /// The payload in which the calling task knows this key, if it was read.
    pub(super) fn known_in<'a>(&'a self, key: &str, newest: &'a Payload) -> Option<&'a Payload> {
        Some(self.0.iter().find(|read| read.key == key)?.known_in(newest))
    }

    /// Each key, and the payload in which the calling task knows it.
    pub(super) fn known<'a>(
        &'a self,
        newest: &'a Payload,
    ) -> impl Iterator<Item = (&'a CompactString, &'a Payload)> {
        self.0.iter().map(|read| (&read.key, read.known_in(newest)))
    }

    /// The newest payload is another one, with these changes; it was `earlier`. What was not written stays where it was read.
    pub(super) fn outdated(&mut self, written: &Changes, earlier: &Payload) {
        for read in &mut self.0 {
            if written.touch(&read.key) {
                read.written(written.awaited_by, earlier, ReadIn::Newest);
            } else if matches!(read.read_in, ReadIn::Newest) {
                read.read_in = ReadIn::Earlier(earlier.clone());
            }
        }
    }

    /// These changes are in the payload `there`, and a newer one is known already.
    pub(super) fn written_before(&mut self, written: &Changes, there: &Payload, newest: &Payload) {
        for read in self.0.iter_mut().filter(|read| written.touch(&read.key)) {
            read.written(written.awaited_by, newest, ReadIn::Earlier(there.clone()));
        }
    }

    /// There was no record before this one, which was made with these changes, and no payload but `earlier`.
    pub(super) fn began(&mut self, written: &Changes, earlier: &Payload) {
        for read in &mut self.0 {
            let writer = written.awaited_by.filter(|_| written.touch(&read.key));
            read.written(writer, earlier, ReadIn::Newest);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Read {
    fn known_in<'a>(&'a self, newest: &'a Payload) -> &'a Payload {
        self.by.missed_here().unwrap_or_else(|| self.read_in.payload(newest))
    }

    /// It was written, and is seen `there` from here on.
    fn written(&mut self, awaited_by: Option<Task>, newest: &Payload, there: ReadIn) {
        let read_in = std::mem::replace(&mut self.read_in, there);
        match awaited_by {
            Some(writer) => self.by.all_miss_but(writer, || read_in.payload(newest).clone()),
            // What was buffered is every task's.
            None => self.by.nobody_misses(),
        }
    }
}

impl Readers {
    /// This task reads the key as it is now.
    fn note(&mut self, task: Task) {
        match self {
            Readers::One(one) if *one == task => {}
            Readers::One(one) => {
                *self = Readers::More(vec![Reader::up_to_date(*one), Reader::up_to_date(task)]);
            }
            Readers::More(readers) => match readers.iter_mut().find(|reader| reader.task == task) {
                Some(reader) => reader.missed = None,
                None => {
                    if readers.len() >= TOLD_APART {
                        readers.remove(0);
                    }
                    readers.push(Reader::up_to_date(task));
                }
            },
        }
    }

    fn nobody_misses(&mut self) {
        if let Readers::More(readers) = self {
            readers.iter_mut().for_each(|reader| reader.missed = None);
        }
    }

    /// Where the calling task knows the key, if another one has written it since.
    fn missed_here(&self) -> Option<&Payload> {
        let Readers::More(readers) = self else { return None };
        let task = Task::current();
        readers.iter().find(|reader| reader.task == task)?.missed.as_ref()
    }

    /// One task has written the key. The others know what was there before.
    fn all_miss_but(&mut self, writer: Task, before: impl Fn() -> Payload) {
        if let Readers::One(one) = self {
            if *one == writer {
                return;
            }
            *self = Readers::More(vec![Reader::up_to_date(*one)]);
        }
        let Readers::More(readers) = self else { return };
        for reader in readers {
            if reader.task == writer {
                reader.missed = None;
            } else {
                reader.missed.get_or_insert_with(&before);
            }
        }
    }
}

impl Reader {
    fn up_to_date(task: Task) -> Self {
        Reader { task, missed: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn whoever_reads_a_key_after_very_many_others_takes_the_place_of_one() {
        let reads = Arc::new(Mutex::new(Reads::default()));
        for _ in 0..10 * TOLD_APART {
            let reads = reads.clone();
            tokio::spawn(async move { reads.lock().unwrap().note("n", || ReadIn::Newest) }).await.unwrap();
        }
        let reads = reads.lock().unwrap();
        assert!(
            matches!(&reads.0[..], [Read { by: Readers::More(readers), .. }] if readers.len() == TOLD_APART)
        );
    }
}

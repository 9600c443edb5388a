//! What the library logs in the thread of a test.

#![allow(dead_code)] // Each test binary uses some of it.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Event, Metadata, Subscriber};

/// Listens for as long as it lives.
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _listening: DefaultGuard,
}

impl Log {
    pub(crate) fn listen() -> Log {
        Log::with(|| {})
    }

    /// Does something in the midst of each line, as a subscriber of the application's may.
    pub(crate) fn with(at_each: impl Fn() + Send + Sync + 'static) -> Log {
        // What is logged where nobody listens must not be taken for what nobody wants to hear: `tracing` remembers that for each
        // place in the code, for all threads, and a test beside this one may be the first to pass there.
        static ASKED: Once = Once::new();
        ASKED.call_once(|| tracing::subscriber::set_global_default(Asked).unwrap());
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let listener = Listener { lines: Arc::clone(&lines), at_each };
        Log { lines, _listening: tracing::subscriber::set_default(listener) }
    }

    /// The lines so far, each with its level and its fields.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// How many of them begin with this level and hold this text.
    pub(crate) fn count(&self, level: &str, text: &str) -> usize {
        self.lines().iter().filter(|line| line.starts_with(level) && line.contains(text)).count()
    }
}

struct Listener<F> {
    lines: Arc<Mutex<Vec<String>>>,
    at_each: F,
}

impl<F: Fn() + Send + Sync + 'static> Subscriber for Listener<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "cloakroom"
    }

    fn event(&self, event: &Event<'_>) {
        (self.at_each)();
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// Hears nothing, and wants to be asked each time.
struct Asked;

impl Subscriber for Asked {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, _: &Event<'_>) {}
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

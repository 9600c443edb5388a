//! Sessions on a Redis server, side by side: many requests at once, in process, all subjects on the same server.
//!
//! The client's part runs on one thread, as one core of a service would; the server has another one for itself. Each request
//! in flight has a visitor of its own. What is shown is what a session takes beyond the same route without one, so where
//! a machine has a single core, the numbers say little.

mod actix;
mod axum_session;
mod cloakroom;
mod facts;
mod near;
mod raw;
mod routed;
mod server;
mod tower_sessions;

use std::time::Duration;

use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

pub use self::facts::Facts;
pub use self::server::Server;
use crate::alloc;
use crate::requests::Taken;
use crate::stats::Spread;

/// The server unless told otherwise: Debian's.
pub const SERVER: &str = "redis-server";
/// Visitors that have a session.
pub const VISITORS: usize = 256;
/// Requests that are under way at the same time.
pub const AT_ONCE: [usize; 4] = [1, 16, 64, 256];

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Rounds; each runs one batch of every subject.
    pub rounds: usize,
    /// Requests in a batch.
    pub batch: usize,
}

/// What the requests do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Read one number of a usual session of 300 bytes.
    Read,
    /// Read it and write it one higher, to be stored with the response.
    Increment,
}

impl Work {
    /// Both.
    pub const ALL: [Work; 2] = [Work::Read, Work::Increment];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Work::Read => "read one key",
            Work::Increment => "increment (get, set)",
        }
    }

    /// The route.
    pub fn path(self) -> &'static str {
        match self {
            Work::Read => "/read",
            Work::Increment => "/increment",
        }
    }
}

/// Something that answers requests, many at once.
pub trait Subject {
    /// For the table.
    fn name(&self) -> &'static str;

    /// Runs so many requests, so many of them at once.
    fn batch(&mut self, work: Work, requests: usize, at_once: usize) -> Duration;

    /// Makes sure that as much was counted as increments were made.
    fn check(&mut self);
}

/// One row of the table.
#[derive(Serialize)]
pub struct Row {
    /// What the requests do.
    pub work: &'static str,
    /// How many are under way at the same time.
    pub at_once: usize,
    /// Each subject, in the order of the table.
    pub subjects: Vec<Cost>,
    /// What Cloakroom achieves of the speed of the client library alone, and what it is to achieve at least.
    pub of_raw: Share,
    /// The same of a client library whose write compares nothing, where there is a write.
    pub of_plain: Option<Share>,
    /// The same behind a near cache.
    pub near_of_raw: Share,
    /// Behind a near cache, beside a peer whose cache is told of nobody else's writes.
    pub near_of_cached: Share,
    /// How often Cloakroom serves in the time in which each peer serves once, by the peer's name.
    pub times_peers: Vec<Share>,
}

/// What a session on the server takes.
#[derive(Serialize)]
pub struct Cost {
    /// Whose.
    pub name: &'static str,
    /// Microseconds for each request over the route without a session: differences within the same round.
    pub net_us: Spread,
}

/// A quotient of speeds: medians of quotients within a round.
#[derive(Serialize)]
pub struct Share {
    /// Beside whom.
    pub name: &'static str,
    /// How fast Cloakroom is, where the other is 1.
    pub times: Spread,
    /// What is promised.
    pub at_least: Option<f64>,
}

impl Share {
    /// Whether it is as promised.
    pub fn holds(&self) -> bool {
        self.at_least.is_none_or(|least| self.times.median >= least)
    }
}

impl Row {
    /// Whether the row is as it is to be.
    pub fn holds(&self) -> bool {
        let shares = [&self.of_raw, &self.near_of_raw, &self.near_of_cached];
        shares.into_iter().chain(&self.times_peers).all(Share::holds)
    }
}

/// Everything that was measured.
#[derive(Serialize)]
pub struct Served {
    /// The server's name and version.
    pub server: String,
    /// Bytes that Cloakroom stores for a visitor, and the client alone asks for.
    pub stored: usize,
    /// Speeds.
    pub rows: Vec<Row>,
    /// Lookups in a near cache.
    pub near: Vec<near::Row>,
    /// Sizes, and the way of a lock.
    pub facts: Facts,
}

/// Measures everything, on a server of its own that this program is.
pub fn run(effort: Effort, program: &str) -> Result<Served, String> {
    let server = Server::start(program)?;
    let runtime = runtime()?;
    let version = runtime.block_on(server.version());
    let facts = facts::find(&server);
    let cloakroom = cloakroom::subject(&server);
    let stored = runtime.block_on(server.sample(cloakroom::DATABASE));
    let mut subjects: Vec<Pair> = vec![
        Pair { bare: 0, subject: routed::bare() },
        Pair { bare: 0, subject: raw::subject(raw::NAME, &server, &stored) },
        Pair { bare: 0, subject: raw::subject(raw::PLAIN, &server, &stored) },
        Pair { bare: 0, subject: cloakroom },
        Pair { bare: 0, subject: tower_sessions::subject(&server) },
        Pair { bare: 0, subject: axum_session::subject(&server) },
        Pair { bare: ACTIX, subject: actix::bare() },
        Pair { bare: ACTIX, subject: actix::subject(&server) },
        Pair { bare: 0, subject: cloakroom::near(&server) },
        Pair { bare: 0, subject: axum_session::cached(&server) },
    ];
    // Debian's Redis has none.
    let has_ifeq = version.starts_with("Valkey");
    let rows = Work::ALL
        .iter()
        .flat_map(|work| AT_ONCE.map(|at_once| (*work, at_once)))
        .map(|(work, at_once)| measure(&mut subjects, effort, work, at_once, has_ifeq))
        .collect();
    for pair in &mut subjects {
        pair.subject.check();
    }
    let near = near::run(effort, &server);
    Ok(Served { server: version, stored: stored.value.len(), rows, near, facts })
}

/// Runs one kind of work on one subject, for a profiler; `None` where there is no such work or subject.
pub fn one(work: &str, subject: &str, requests: usize, at_once: usize, program: &str) -> Option<Taken> {
    let work = *Work::ALL.iter().find(|known| known.name() == work)?;
    let server = Server::start(program).ok()?;
    let alone = |name| {
        drop(cloakroom::subject(&server));
        let stored = runtime().ok()?.block_on(server.sample(cloakroom::DATABASE));
        Some(raw::subject(name, &server, &stored))
    };
    let mut subject = match subject {
        "bare" => routed::bare(),
        raw::NAME => alone(raw::NAME)?,
        raw::PLAIN => alone(raw::PLAIN)?,
        "cloakroom" => cloakroom::subject(&server),
        cloakroom::NEAR => cloakroom::near(&server),
        tower_sessions::NAME => tower_sessions::subject(&server),
        axum_session::CACHED => axum_session::cached(&server),
        _ => return None,
    };
    let before = alloc::count();
    let elapsed = subject.batch(work, requests, at_once);
    let allocations = alloc::count() - before;
    subject.check();
    Some(Taken { elapsed, allocations })
}

/// A subject, and which one is the same without a session.
struct Pair {
    bare: usize,
    subject: Box<dyn Subject>,
}

const RAW: usize = 1;
const PLAIN: usize = 2;
const CLOAKROOM: usize = 3;
const ACTIX: usize = 6;
const NEAR: usize = 8;
const CACHED: usize = 9;

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

fn measure(subjects: &mut [Pair], effort: Effort, work: Work, at_once: usize, has_ifeq: bool) -> Row {
    eprintln!("on a server: {}, {at_once} at once …", work.name());
    // One request alone waits for the server most of the time.
    let batch = if at_once == 1 { effort.batch / 8 } else { effort.batch };
    for pair in subjects.iter_mut() {
        pair.subject.batch(work, batch, at_once);
    }
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..effort.rounds {
        for turn in 0..subjects.len() {
            let who = (round + turn) % subjects.len();
            let taken = subjects[who].subject.batch(work, batch, at_once);
            times[who].push(taken.as_secs_f64() * 1e6 / batch as f64);
        }
    }
    let net: Vec<Vec<f64>> = subjects
        .iter()
        .enumerate()
        .map(|(who, pair)| {
            times[who].iter().zip(&times[pair.bare]).map(|(time, bare)| time - bare).collect::<Vec<f64>>()
        })
        .collect();
    let how_fast = |who: usize, other: usize, at_least: Option<f64>| Share {
        name: subjects[other].subject.name(),
        times: Spread::of(net[other].iter().zip(&net[who]).map(|(theirs, ours)| theirs / ours).collect()),
        at_least,
    };
    let beside = |other: usize, at_least: Option<f64>| how_fast(CLOAKROOM, other, at_least);
    let busy = at_once == 16 || at_once == 64;
    let peers: Vec<usize> = (CLOAKROOM + 1..NEAR).filter(|who| subjects[*who].bare != *who).collect();
    Row {
        work: work.name(),
        at_once,
        of_raw: beside(RAW, busy.then_some(0.85)),
        of_plain: (work == Work::Increment).then(|| beside(PLAIN, None)),
        near_of_raw: how_fast(NEAR, RAW, (work == Work::Read && at_once <= 16).then_some(5.0)),
        near_of_cached: how_fast(NEAR, CACHED, (work == Work::Read).then_some(1.0)),
        times_peers: peers
            .iter()
            .map(|peer| {
                let ahead = match (work, subjects[*peer].subject.name()) {
                    (Work::Read, _) => Some(1.0),
                    (Work::Increment, tower_sessions::NAME) if busy => Some(1.5),
                    (Work::Increment, actix::NAME) if has_ifeq => Some(1.0),
                    (Work::Increment, _) => None,
                };
                beside(*peer, ahead)
            })
            .collect(),
        subjects: (0..subjects.len())
            .filter(|who| subjects[*who].bare != *who)
            .map(|who| Cost { name: subjects[who].subject.name(), net_us: Spread::of(net[who].clone()) })
            .collect(),
    }
}

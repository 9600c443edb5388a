//! Locks, beside PHP: many requests of one visitor at the same time, each of which holds the session's lock for a while.
//!
//! Over sockets in the file system, because PHP has no other way in: Cloakroom behind axum, in one process and in two; PHP-FPM straight
//! by FastCGI, without a web server's hop before it, which is in its favour. A connection for each request. All on the same Redis server,
//! in turns.

mod door;
mod load;
mod php;
pub mod serve;
mod site;

use serde::Serialize;

use self::php::Php;
use self::site::Site;
use crate::served::Server;
use crate::stats::Spread;

/// Increments of a storm.
const LOCKS: usize = 200;
/// How many of them are under way at the same time.
const AT_ONCE: usize = 20;
/// Milliseconds that each holder holds it.
const HOLDS: [u64; 3] = [0, 2, 10];

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Rounds; each has one storm on every subject.
    pub rounds: usize,
    /// Times that the lock goes from a holder to the one who waits.
    pub handovers: usize,
}

/// Everything that was measured.
#[derive(Serialize)]
pub struct Locks {
    /// The server's name and version.
    pub server: String,
    /// Those of PHP.
    pub php: String,
    /// By hold.
    pub rows: Vec<Row>,
    /// From a release to the next holder.
    pub handovers: Vec<Handover>,
}

/// One hold, one subject.
#[derive(Serialize)]
pub struct Row {
    /// Milliseconds that each holder sleeps while it holds.
    pub hold_ms: u64,
    /// Whose.
    pub name: &'static str,
    /// The whole storm.
    pub wall_ms: Spread,
    /// The holds within, as the holders measured them.
    pub holds_ms: Spread,
    /// What the storm takes beyond them: differences within a round.
    pub beyond_ms: Spread,
    /// How often it is through in the time in which PHP is once: quotients within a round.
    pub times_php: Spread,
    /// A read of another session, while nobody else is there.
    pub idle_us: Spread,
    /// The same during the storm.
    pub bystander_us: Spread,
    /// The second over the first, within a round.
    pub bystander_times: Spread,
    /// Whether what is promised holds; nothing where nothing is.
    pub holds: Option<bool>,
}

/// How soon a lock gets from one to the next.
#[derive(Serialize)]
pub struct Handover {
    /// Whose.
    pub name: &'static str,
    /// Microseconds.
    pub us: Spread,
    /// What is promised.
    pub at_most: Option<f64>,
}

impl Locks {
    /// Whether every promise held.
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.holds != Some(false)) && self.handovers.iter().all(Handover::holds)
    }
}

impl Handover {
    /// Whether it is as promised.
    pub fn holds(&self) -> bool {
        self.at_most.is_none_or(|most| self.us.median <= most)
    }
}

/// Measures everything, on a server of its own that this program is. An error names what is missing.
pub fn run(effort: Effort, program: &str) -> Result<Locks, String> {
    let server = Server::start(program)?;
    let php = Php::start(server.port())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(measure(effort, &server, &php))
}

async fn measure(effort: Effort, server: &Server, php: &Php) -> Result<Locks, String> {
    let mut sites = vec![
        Site::ours("one process", 1, &server.url(2)).await?,
        Site::ours("two processes", 2, &server.url(3)).await?,
        Site::php(php.door()),
    ];
    let beside = sites.len() - 1;
    let mut rows = Vec::new();
    for hold in HOLDS {
        eprintln!("locks: {LOCKS} increments, {AT_ONCE} at once, {hold} ms each …");
        // Once for everybody to get warm.
        for site in &mut sites {
            load::storm(site, hold).await?;
        }
        let mut storms: Vec<Vec<load::Storm>> = sites.iter().map(|_| Vec::new()).collect();
        for round in 0..effort.rounds {
            for turn in 0..sites.len() {
                let who = (round + turn) % sites.len();
                storms[who].push(load::storm(&mut sites[who], hold).await?);
            }
        }
        for (who, site) in sites.iter().enumerate() {
            rows.push(row(hold, site.name, &storms[who], &storms[beside], who == beside));
        }
    }
    let mut handovers = Vec::new();
    for site in &mut sites[1..] {
        let us = load::handovers(site, effort.handovers).await?;
        let at_most = (site.doors.len() > 1).then_some(1_000.0);
        handovers.push(Handover { name: site.name, us, at_most });
    }
    Ok(Locks { server: server.version().await, php: php.version.clone(), rows, handovers })
}

fn row(hold_ms: u64, name: &'static str, storms: &[load::Storm], php: &[load::Storm], is_php: bool) -> Row {
    let of = |what: &dyn Fn(&load::Storm) -> f64| Spread::of(storms.iter().map(what).collect());
    let times_php = storms.iter().zip(php).map(|(ours, theirs)| theirs.wall_ms / ours.wall_ms).collect();
    let mut row = Row {
        hold_ms,
        name,
        wall_ms: of(&|storm| storm.wall_ms),
        holds_ms: of(&|storm| storm.holds_ms),
        beyond_ms: of(&|storm| storm.wall_ms - storm.holds_ms),
        times_php: Spread::of(times_php),
        idle_us: of(&|storm| storm.idle_us),
        bystander_us: of(&|storm| storm.bystander_us),
        bystander_times: of(&|storm| storm.bystander_us / storm.idle_us),
        holds: None,
    };
    if !is_php {
        let quick = match hold_ms {
            0 => row.times_php.median >= 4.0,
            // A twentieth and ten milliseconds beyond what was held.
            _ => row.beyond_ms.median <= row.holds_ms.median / 20.0 + 10.0,
        };
        row.holds = Some(quick && row.bystander_times.median <= 1.5);
    }
    row
}

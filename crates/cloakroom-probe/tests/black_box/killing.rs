//! C8 over HTTP: the process is killed at any instant under a load of every kind of write, and started again on its file.
//!
//! Each visitor keeps book of what was acknowledged and of what was merely asked for. After each restart the file must hold
//! the former, and may hold the latter.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::harness::{Disk, Place, Request, Response, Visitor, on_disk, sleep_ms};

on_disk! { c1_c2_c4_c8_whatever_is_killed_every_acknowledged_answer_holds }

const GUESTS: u64 = 12;

async fn c1_c2_c4_c8_whatever_is_killed_every_acknowledged_answer_holds(place: Place) {
    // Two tabs that race for a session may queue for its lease; a killed holder's has to run out soon.
    let flags = ["--lock-lease-ms", "200"];
    let rounds = if std::env::var_os("CLOAKROOM_LONG").is_some() { 50 } else { 6 };
    let mut dice = Dice(RandomState::new().hash_one(place.framework) | 1);
    let mut guests: Vec<Guest> = (0..GUESTS).map(|n| Guest::new(n, dice.next())).collect();
    let mut probe = place.start(&flags);
    let mut seen = Seen::default();
    for round in 0..rounds {
        let load = Arc::new(Load::until(20 + dice.next() % 180));
        let mut writing = JoinSet::new();
        for mut guest in guests.drain(..) {
            let (address, load) = (probe.address, Arc::clone(&load));
            writing.spawn(async move {
                guest.write_until(address, &load).await;
                guest
            });
        }
        load.was_enough().await;
        // Then anywhere between two answers.
        tokio::time::sleep(Duration::from_micros(dice.next() % 3_000)).await;
        probe.kill();
        load.killed.store(true, Ordering::SeqCst);
        guests = writing.join_all().await;
        probe = probe.start_again(&flags);
        if round % 3 == 2 {
            // Once more, soon after the log was recovered.
            sleep_ms(dice.next() % 4).await;
            probe.kill();
            probe = probe.start_again(&flags);
        }
        for guest in &mut guests {
            guest.verify(probe.address, round).await;
        }
    }
    for guest in &guests {
        for old in &guest.dead {
            assert!(!is_alive(probe.address, old).await, "guest {}: an ended session is back", guest.number);
        }
        seen.add(&guest.seen);
    }
    println!("{rounds} rounds: {seen:?}");
    for kind in ["incr", "put", "set", "login", "destroy"] {
        let count = seen.acknowledged.get(kind).copied().unwrap_or(0);
        assert!(
            count >= rounds / 2,
            "{count} of /{kind} acknowledged in {rounds} rounds test little: {seen:?}"
        );
    }
    assert!(seen.cut >= rounds, "hardly anything was under way when it was killed: {seen:?}");
    probe.terminate();
    Disk::of(&probe).assert_sound();
}

/// The writing of one round. It is over after so many answers, not after some time: a busy machine then tests no less.
struct Load {
    killed: AtomicBool,
    answers: AtomicU64,
    enough: u64,
    reached: Notify,
}

impl Load {
    fn until(enough: u64) -> Self {
        Load { killed: AtomicBool::new(false), answers: AtomicU64::new(0), enough, reached: Notify::new() }
    }

    async fn was_enough(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.reached.notified()).await;
        assert!(reached.is_ok(), "{:?} of {} answers came", self.answers, self.enough);
    }

    /// Asks, and counts the answer.
    async fn ask(&self, address: SocketAddr, cookie: Option<&str>, path: &str) -> Result<Response, NoAnswer> {
        let request =
            cookie.into_iter().fold(Request::get(path), |request, cookie| request.header("cookie", cookie));
        let sent = request.try_send(address).await.ok_or(NoAnswer)?;
        // The port may already be another process's.
        if self.killed.load(Ordering::SeqCst) {
            return Err(NoAnswer);
        }
        let response = sent.try_response().await.ok_or(NoAnswer)?;
        if self.answers.fetch_add(1, Ordering::SeqCst) + 1 == self.enough {
            self.reached.notify_one();
        }
        Ok(response)
    }
}

/// What happened, to know that something did.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: BTreeMap<&'static str, u32>,
    refused: BTreeMap<String, u32>,
    /// Requests whose answer did not come whole.
    cut: u32,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        for (kind, count) in &other.acknowledged {
            *self.acknowledged.entry(kind).or_default() += count;
        }
        for (kind, count) in &other.refused {
            *self.refused.entry(kind.clone()).or_default() += count;
        }
        self.cut += other.cut;
    }
}

/// What is known of one key: what was acknowledged last, and what was asked for since without an answer.
#[derive(Debug, Default)]
struct Known {
    acknowledged: Option<u64>,
    open: Option<u64>,
}

impl Known {
    fn allows(&self, stored: Option<u64>) -> bool {
        stored == self.acknowledged || (self.open.is_some() && stored == self.open)
    }

    fn settle(&mut self, stored: Option<u64>) {
        *self = Known { acknowledged: stored, open: None };
    }
}

/// Changes of the whole session whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Login,
    Destroy,
}

/// A visitor with a session, or about to get one. Both of its tabs are idle before it logs in or out.
struct Guest {
    number: u64,
    dice: Dice,
    cookie: Option<String>,
    logged_in: bool,
    open: Open,
    /// The counter: acknowledged, and asked for.
    n: (u64, u64),
    put: Known,
    set: Known,
    next_value: u64,
    /// Cookies whose session has ended, or has another id.
    dead: Vec<String>,
    seen: Seen,
}

/// How a request ended.
enum Answer {
    Acknowledged(Response),
    /// It may have had its effect.
    Unknown,
}

impl Guest {
    fn new(number: u64, seed: u64) -> Self {
        Guest {
            number,
            dice: Dice(seed | 1),
            cookie: None,
            logged_in: false,
            open: Open::Nothing,
            n: (0, 0),
            put: Known::default(),
            set: Known::default(),
            next_value: 1,
            dead: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Forgets the session: the next write starts another.
    fn start_over(&mut self) {
        self.dead.extend(self.cookie.take());
        self.logged_in = false;
        self.open = Open::Nothing;
        self.n = (0, 0);
        self.put.settle(None);
        self.set.settle(None);
    }

    /// Writes, one thing after the other or two at once, until an answer fails to come.
    async fn write_until(&mut self, address: SocketAddr, load: &Load) {
        loop {
            let goes_on = match (&self.cookie, self.dice.next() % 16) {
                (None, _) => self.begin(address, load).await,
                (Some(_), 0) => self.destroy(address, load).await,
                (Some(_), 1 | 2) => self.login(address, load).await,
                (Some(_), choice) => self.write(address, load, choice % 2 == 0).await,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// A write without a cookie. Without an answer nobody knows of what it may have made.
    async fn begin(&mut self, address: SocketAddr, load: &Load) -> bool {
        let answer = load.ask(address, None, "/incr/n").await;
        let Answer::Acknowledged(response) = self.judge("incr", answer) else { return false };
        assert_eq!(response.body, "1");
        self.cookie = Some(response.set_cookie().expect("a new session without a cookie").pair());
        self.n = (1, 1);
        true
    }

    /// One tab counts, the other one stores a value.
    async fn write(&mut self, address: SocketAddr, load: &Load, put: bool) -> bool {
        let value = self.next_value;
        self.next_value += 1;
        self.n.1 += 1;
        let kind = if put { "put" } else { "set" };
        let key = if put { &mut self.put } else { &mut self.set };
        key.open = Some(value);
        let path = format!("/{kind}/{kind}/{value}");
        let cookie = self.cookie.as_deref();
        let (counted, stored) =
            tokio::join!(load.ask(address, cookie, "/incr/n"), load.ask(address, cookie, &path));
        let counted = self.judge("incr", counted);
        let stored = self.judge(kind, stored);
        if let Answer::Acknowledged(response) = &counted {
            // A session that was lost would be counted from 1, and told with a cookie.
            assert_eq!(response.without_cookie().body, (self.n.0 + 1).to_string());
            self.n.0 += 1;
        }
        if let Answer::Acknowledged(response) = &stored {
            response.without_cookie();
            let key = if put { &mut self.put } else { &mut self.set };
            key.settle(Some(value));
        }
        matches!((counted, stored), (Answer::Acknowledged(_), Answer::Acknowledged(_)))
    }

    /// Always the same user, so that the data stay.
    async fn login(&mut self, address: SocketAddr, load: &Load) -> bool {
        let path = format!("/login/guest{}", self.number);
        self.open = Open::Login;
        let answer = load.ask(address, self.cookie.as_deref(), &path).await;
        let Answer::Acknowledged(response) = self.judge("login", answer) else { return false };
        let new = response.set_cookie().expect("a login without a new id").pair();
        self.dead.extend(self.cookie.replace(new));
        self.logged_in = true;
        self.open = Open::Nothing;
        true
    }

    async fn destroy(&mut self, address: SocketAddr, load: &Load) -> bool {
        self.open = Open::Destroy;
        let answer = load.ask(address, self.cookie.as_deref(), "/destroy").await;
        let Answer::Acknowledged(response) = self.judge("destroy", answer) else { return false };
        assert!(response.set_cookie().is_some_and(|cookie| cookie.deletes()), "{response:?}");
        self.start_over();
        true
    }

    /// Only a busy machine may refuse here, by a status that says that the outcome is not known or that nothing was done.
    fn judge(&mut self, kind: &'static str, answer: Result<Response, NoAnswer>) -> Answer {
        match answer {
            Ok(response) if response.status == 200 => {
                *self.seen.acknowledged.entry(kind).or_default() += 1;
                Answer::Acknowledged(response)
            }
            Ok(response) => {
                assert!(matches!(response.status, 423 | 503), "guest {}: /{kind}: {response:?}", self.number);
                *self.seen.refused.entry(format!("{kind} {}", response.body)).or_default() += 1;
                Answer::Unknown
            }
            Err(NoAnswer) => {
                self.seen.cut += 1;
                Answer::Unknown
            }
        }
    }

    /// Compares the book with what is stored, and goes on from there.
    async fn verify(&mut self, address: SocketAddr, round: u32) {
        let who = format!("round {round}, guest {}", self.number);
        for old in self.dead.iter().rev().take(3) {
            assert!(!is_alive(address, old).await, "{who}: an ended session is back");
        }
        let Some(cookie) = self.cookie.clone() else { return };
        let state = told(address, &cookie, "/state").await;
        if state["present"] != true {
            assert_ne!(self.open, Open::Nothing, "{who}: the session is lost");
            // Ended, or under an id that was told to nobody.
            return self.start_over();
        }
        let user = self.logged_in.then(|| format!("guest{}", self.number));
        assert_eq!(state["user"].as_str(), user.as_deref(), "{who}");
        let all = told(address, &cookie, "/all").await;
        let number = |key: &str| all.get(key).and_then(Value::as_u64);
        let n = number("n").unwrap_or(0);
        assert!(
            (self.n.0..=self.n.1).contains(&n),
            "{who}: {n} stored, {:?} acknowledged and asked for",
            self.n
        );
        for (key, known) in [("put", &mut self.put), ("set", &mut self.set)] {
            assert!(known.allows(number(key)), "{who}: {key}: {:?} stored, {known:?}", number(key));
            known.settle(number(key));
        }
        self.n = (n, n);
        self.open = Open::Nothing;
    }
}

async fn is_alive(address: SocketAddr, cookie: &str) -> bool {
    told(address, cookie, "/state").await["present"] == true
}

/// What is stored. "Unavailable" is no answer to that: a busy machine may say so, and is asked again.
async fn told(address: SocketAddr, cookie: &str, path: &str) -> Value {
    for _ in 0..1_500 {
        let response = Visitor::presenting(address, cookie).get(path).await;
        if response.status != 503 {
            return response.json();
        }
        sleep_ms(20).await;
    }
    panic!("{path} is not to be had")
}

/// The answer did not come, or not whole.
struct NoAnswer;

/// Random enough.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

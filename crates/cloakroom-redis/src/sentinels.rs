//! Which server is the primary of a service: what the sentinels that look after it say.
//!
//! Each sentinel is listened to, on a connection kept for that: it is asked where the primary is when that connection is
//! made, whenever it tells of a switch (`+switch-master`), whenever somebody looks for the primary, and every second, which also
//! shows that it is still there. What they said last lies on a table, and is believed until somebody says something else: whoever has to connect
//! does not wait for answers, unless it turns out that the table is wrong.
//!
//! What most of them say counts, not who is asked first: a sentinel that is cut off from the others goes on naming the
//! primary it knew. Where fewer than half can be heard, it is what most of those say who can. The server so named must
//! then say of itself that it is a primary (`ROLE`), before anything is asked of it.
//!
//! A connection to a server that is not named any more is cut ([`Sentinels::tell`]), with whatever is under way on it. That
//! matters, because a demoted primary may go on for ten seconds taking writes that will be undone, until the sentinels have
//! got around to it.
//!
//! The manual: <https://redis.io/docs/latest/develop/reference/sentinel-clients/>.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::RngExt;
use redis::{RedisConnectionInfo, RedisError, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::error;
use crate::group::Group;
use crate::host::HostPort;
use crate::pipe::{OnNews, Unanswered};
use crate::route::{self, Opening};
use crate::tls::Tls;

/// How long those that nothing was heard from yet are waited for, and for news once the primary turns out to be none.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long a sentinel may take to answer, or to be connected to.
const ANSWER: Duration = Duration::from_secs(1);
/// How often each is asked without a reason.
const EVERY: Duration = Duration::from_secs(1);
/// Before one that was lost is tried again.
const PAUSE: Duration = Duration::from_millis(250);
/// Reasons that a sentence names.
const REASONS: usize = 3;

/// Told that the primary may be another one; false once it need not be told any more.
pub(crate) type Follower = Box<dyn Fn() -> bool + Send + Sync>;

pub(crate) struct Sentinels {
    group: Group,
    login: RedisConnectionInfo,
    tls: Option<Arc<Tls>>,
    table: Arc<Table>,
    /// One for each.
    ears: Mutex<Vec<AbortHandle>>,
}

/// What each of them said last.
struct Table {
    said: watch::Sender<Vec<Said>>,
    /// To have each of them asked.
    ask: Vec<Arc<Notify>>,
    followers: Mutex<Vec<Follower>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Said {
    /// Nothing yet.
    Unheard,
    /// The primary is there.
    Primary(HostPort),
    /// It looks after no service of that name.
    NoSuchService,
    /// It cannot be heard: the end of a sentence about it.
    Silent(String),
}

/// Where all of it leads.
#[derive(PartialEq, Eq, Debug)]
enum Lead {
    /// To one of these, all named equally often.
    To(Vec<HostPort>),
    /// That remains to be heard.
    Unheard,
    Nowhere,
}

fn lead(said: &[Said]) -> Lead {
    let mut named: Vec<(&HostPort, usize)> = Vec::new();
    for said in said {
        let Said::Primary(at) = said else { continue };
        match named.iter_mut().find(|(known, _)| *known == at) {
            Some((_, times)) => *times += 1,
            None => named.push((at, 1)),
        }
    }
    let most = named.iter().map(|(_, times)| *times).max().unwrap_or(0);
    if 2 * most <= said.len() && said.contains(&Said::Unheard) {
        return Lead::Unheard;
    }
    let to: Vec<HostPort> =
        named.into_iter().filter(|(_, times)| *times == most).map(|(at, _)| at.clone()).collect();
    if to.is_empty() { Lead::Nowhere } else { Lead::To(to) }
}

impl Table {
    fn lead(&self) -> Lead {
        lead(&self.said.borrow())
    }

    fn says(&self, at: usize, what: Said) {
        let news = self.said.send_if_modified(|said| match said.get_mut(at) {
            Some(known) if *known != what => {
                *known = what;
                true
            }
            _ => false,
        });
        if news {
            self.followers.lock().retain(|follower| follower());
        }
    }
}

impl Sentinels {
    pub(crate) fn new(group: Group, tls: Option<Arc<Tls>>) -> Self {
        let said = watch::Sender::new(vec![Said::Unheard; group.sentinels.len()]);
        let ask = group.sentinels.iter().map(|_| Arc::default()).collect();
        let table = Arc::new(Table { said, ask, followers: Mutex::default() });
        Sentinels { login: group.login(), group, tls, table, ears: Mutex::default() }
    }

    /// Calls this whenever the primary may be another one.
    pub(crate) fn tell(&self, follower: Follower) {
        self.table.followers.lock().push(follower);
    }

    /// Whether this server is still the primary, as far as can be told.
    pub(crate) fn lead_to(&self, at: &HostPort) -> bool {
        match self.table.lead() {
            Lead::To(named) => named.contains(at),
            Lead::Unheard | Lead::Nowhere => true,
        }
    }

    /// Looks for the primary.
    pub(crate) fn search(&self) -> Search<'_> {
        self.listen();
        let said = self.table.said.subscribe();
        self.table.ask.iter().for_each(|ask| ask.notify_one());
        Search { sentinels: self, said, patience: Instant::now() + PATIENCE }
    }

    /// Why there is nobody to connect to.
    fn nowhere(&self, said: &[Said]) -> String {
        if said.contains(&Said::NoSuchService) {
            return "has no primary: its sentinels look after no service of that name; see `sentinel monitor` in their \
                    configuration"
                .to_owned();
        }
        let each = self.group.sentinels.iter().zip(said).filter_map(|(sentinel, said)| match said {
            Said::Silent(why) => Some(format!("{sentinel} {why}")),
            _ => None,
        });
        let mut reasons: Vec<String> = each.collect();
        let more = reasons.len().saturating_sub(REASONS);
        reasons.truncate(REASONS);
        match (reasons.is_empty(), more) {
            (true, _) => "has no sentinel that answers".to_owned(),
            (_, 0) => format!("has no sentinel that answers: {}", reasons.join("; ")),
            (_, more) => format!("has no sentinel that answers: {}; and {more} more", reasons.join("; ")),
        }
    }

    /// Begins to listen, where nobody does: at the first connection, or where the runtime that did is gone.
    fn listen(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut ears = self.ears.lock();
        if !ears.is_empty() && !ears.iter().any(AbortHandle::is_finished) {
            return;
        }
        ears.drain(..).for_each(|ear| ear.abort());
        for (at, (sentinel, ask)) in self.group.sentinels.iter().zip(&self.table.ask).enumerate() {
            let ear = Ear {
                at,
                ask: ask.clone(),
                sentinel: sentinel.clone(),
                service: self.group.service.clone(),
                login: self.login.clone(),
                tls: self.tls.clone(),
                table: self.table.clone(),
            };
            ears.push(runtime.spawn(ear.listen()).abort_handle());
        }
    }
}

/// Somebody looks for the primary.
pub(crate) struct Search<'s> {
    sentinels: &'s Sentinels,
    said: watch::Receiver<Vec<Said>>,
    /// Whoever has not been heard by then is not waited for.
    patience: Instant,
}

impl Search<'_> {
    /// Where it is, one of these as far as can be told; or the end of a sentence on why nobody knows.
    pub(crate) async fn named(&mut self) -> Result<Vec<HostPort>, String> {
        loop {
            let said = self.said.borrow_and_update().clone();
            let mut counted = said.clone();
            if Instant::now() >= self.patience {
                counted.retain(|said| *said != Said::Unheard);
            }
            match lead(&counted) {
                Lead::To(named) => return Ok(named),
                Lead::Nowhere => return Err(self.sentinels.nowhere(&said)),
                Lead::Unheard => {
                    let _ = tokio::time::timeout_at(self.patience.into(), self.said.changed()).await;
                }
            }
        }
    }

    /// Whether they name others soon, where those whom they named are no good.
    pub(crate) async fn soon_otherwise_than(&mut self, named: &[HostPort]) -> bool {
        tokio::time::timeout(PATIENCE, self.otherwise_than(named)).await.is_ok()
    }

    /// Completes when they name others.
    pub(crate) async fn otherwise_than(&mut self, named: &[HostPort]) {
        let otherwise = |said: &Vec<Said>| match lead(said) {
            Lead::To(to) => to != named,
            Lead::Unheard | Lead::Nowhere => false,
        };
        if self.said.wait_for(otherwise).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        self.ears.get_mut().iter().for_each(AbortHandle::abort);
    }
}

/// Listens to one sentinel.
struct Ear {
    at: usize,
    ask: Arc<Notify>,
    sentinel: HostPort,
    service: String,
    login: RedisConnectionInfo,
    tls: Option<Arc<Tls>>,
    table: Arc<Table>,
}

impl Ear {
    async fn listen(self) {
        loop {
            let why = self.hear().await;
            tracing::debug!(target: "cloakroom", "the sentinel at {} {why}; it is tried again", self.sentinel);
            self.table.says(self.at, Said::Silent(why));
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(PAUSE.mul_f64(jitter)).await;
        }
    }

    /// For as long as it can be heard; why that is over.
    async fn hear(&self) -> String {
        let told = self.ask.clone();
        // A switch, of this service or of another; the end of the connection.
        let on_news: OnNews = Arc::new(move |_| told.notify_one());
        let opening = Opening { on_news, ends: Instant::now() + ANSWER };
        let connecting = async {
            let stream = route::stream(&self.sentinel, self.tls.as_deref()).await?;
            route::log_in(stream, &self.login, None, &opening).await.map_err(|error| self.no_login(&error))
        };
        let connection = match tokio::time::timeout_at(opening.ends.into(), connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(why)) => return why,
            Err(_) => return "did not answer a new connection in time".to_owned(),
        };
        // Before the first question: what happens between the two is told.
        let mut switches = redis::cmd("SUBSCRIBE");
        switches.arg("+switch-master");
        match connection.confirm(&switches, Instant::now() + ANSWER).await {
            Ok(Value::ServerError(_)) => tracing::warn!(
                target: "cloakroom",
                "the sentinel at {} does not let this user subscribe to +switch-master: a switch is noticed up to a second late",
                self.sentinel
            ),
            Ok(_) => {}
            Err(unanswered) => return silence(unanswered),
        }
        let mut asking = redis::cmd("SENTINEL");
        asking.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        loop {
            match connection.ask(&asking, Instant::now() + ANSWER).await {
                Ok(answer) => match said(answer) {
                    Ok(said) => self.table.says(self.at, said),
                    Err(why) => return why,
                },
                Err(unanswered) => return silence(unanswered),
            }
            let _ = tokio::time::timeout(EVERY, self.ask.notified()).await;
        }
    }

    fn no_login(&self, error: &RedisError) -> String {
        match error.code() {
            Some("NOAUTH") => {
                "asks for a password: give the one for sentinels (sentinel_password)".to_owned()
            }
            Some("WRONGPASS") => {
                "does not accept the user and password for sentinels (sentinel_user, sentinel_password)"
                    .to_owned()
            }
            _ => error::no_login(error, self.tls.is_some()),
        }
    }
}

fn silence(unanswered: Unanswered) -> String {
    match unanswered {
        Unanswered::Lost => "closed the connection".to_owned(),
        Unanswered::Late | Unanswered::Crowded => "does not answer".to_owned(),
    }
}

/// An answer to where the primary is.
fn said(answer: Value) -> Result<Said, String> {
    match answer {
        Value::Nil => Ok(Said::NoSuchService),
        Value::ServerError(told) => match told.code() {
            "NOPERM" => Err("does not let this user ask where the primary is: see the permissions in the \
                             manual of the Redis store"
                .to_owned()),
            "NOAUTH" => Err("asks for a password: give the one for sentinels (sentinel_password)".to_owned()),
            _ => Err("cannot say where the primary is: is it a sentinel?".to_owned()),
        },
        Value::Array(parts) => {
            let text = |part: &Value| match part {
                Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
                Value::SimpleString(text) => Some(text.clone()),
                _ => None,
            };
            let at = match parts.as_slice() {
                [host, port] => text(host).zip(text(port).and_then(|port| port.parse().ok())),
                _ => None,
            };
            match at {
                Some((host, port)) if !host.is_empty() && !host.chars().any(char::is_control) => {
                    Ok(Said::Primary(HostPort { host, port }))
                }
                _ => Err("names no address where the primary is".to_owned()),
            }
        }
        _ => Err("names no address where the primary is".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str) -> HostPort {
        HostPort::new(host, 1)
    }

    fn votes(text: &str) -> Vec<Said> {
        text.chars()
            .map(|c| match c {
                '?' => Said::Unheard,
                '-' => Said::Silent("is away".into()),
                '0' => Said::NoSuchService,
                c => Said::Primary(at(&c.to_string())),
            })
            .collect()
    }

    #[test]
    fn what_most_of_them_say_counts() {
        let to = |hosts: &[&str]| Lead::To(hosts.iter().map(|host| at(host)).collect());
        for (said, leads) in [
            ("a", to(&["a"])),
            ("aab", to(&["a"])),
            ("baa", to(&["a"])),
            // Enough, whatever the third will say.
            ("aa?", to(&["a"])),
            ("a??", Lead::Unheard),
            ("ab?", Lead::Unheard),
            ("a?-", Lead::Unheard),
            // Nobody else can be heard.
            ("a--", to(&["a"])),
            ("a0-", to(&["a"])),
            // On the way from one to the other: either.
            ("ab-", to(&["a", "b"])),
            ("aabb-", to(&["a", "b"])),
            ("abb--", to(&["b"])),
            ("---", Lead::Nowhere),
            ("000", Lead::Nowhere),
            ("??", Lead::Unheard),
            ("", Lead::Nowhere),
        ] {
            assert_eq!(lead(&votes(said)), leads, "{said}");
        }
    }

    #[test]
    fn an_answer_names_an_address_or_is_none() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let answer = |parts: &[&str]| said(Value::Array(parts.iter().map(|part| bulk(part)).collect()));
        assert_eq!(answer(&["db.internal", "1"]), Ok(Said::Primary(at("db.internal"))));
        assert_eq!(answer(&["::1", "1"]), Ok(Said::Primary(at("::1"))));
        assert_eq!(said(Value::Nil), Ok(Said::NoSuchService));
        for parts in [&["a"][..], &["a", "x"], &["a", "-1"], &["", "1"], &["a\n", "1"], &["a", "1", "2"], &[]]
        {
            assert!(answer(parts).is_err(), "{parts:?}");
        }
        assert!(said(Value::Int(1)).is_err());
        assert!(said(Value::Array(vec![Value::BulkString(vec![0xff]), bulk("1")])).is_err());
    }

    #[test]
    fn followers_are_told_of_news_only_and_forgotten_when_they_are_gone() {
        let sentinels = Sentinels::new(Group::read("a,b", "s").unwrap(), None);
        let calls = Arc::new(Mutex::new(0));
        let seen = calls.clone();
        sentinels.tell(Box::new(move || {
            *seen.lock() += 1;
            *seen.lock() < 2
        }));
        sentinels.table.says(0, Said::Primary(at("x")));
        sentinels.table.says(0, Said::Primary(at("x")));
        assert_eq!(*calls.lock(), 1);
        assert!(sentinels.lead_to(&at("y")), "one of two is no majority yet");
        sentinels.table.says(1, Said::Primary(at("x")));
        assert!(sentinels.lead_to(&at("x")) && !sentinels.lead_to(&at("y")));
        sentinels.table.says(1, Said::Primary(at("y")));
        assert_eq!(*calls.lock(), 2, "it had said that it is gone");
    }
}

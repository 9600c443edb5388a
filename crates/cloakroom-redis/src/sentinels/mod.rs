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

mod ear;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::RedisConnectionInfo;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::ear::Ear;
pub(crate) use self::table::Follower;
use self::table::{Lead, Said, Table, lead};
use crate::group::Group;
use crate::host::HostPort;
use crate::tls::Tls;

/// How long those that nothing was heard from yet are waited for, and for news once the primary turns out to be none.
const PATIENCE: Duration = Duration::from_millis(300);
/// Reasons that a sentence names.
const REASONS: usize = 3;

pub(crate) struct Sentinels {
    group: Group,
    login: RedisConnectionInfo,
    tls: Option<Arc<Tls>>,
    table: Arc<Table>,
    /// One for each.
    ears: Mutex<Vec<AbortHandle>>,
}

impl Sentinels {
    pub(crate) fn new(group: Group, tls: Option<Arc<Tls>>) -> Self {
        let table = Table::of(group.sentinels.len());
        Sentinels { login: group.login(), group, tls, table, ears: Mutex::default() }
    }

    /// Calls this whenever the primary may be another one.
    pub(crate) fn tell(&self, follower: Follower) {
        self.table.tell(follower);
    }

    /// Whether this server is still the primary, as far as can be told.
    pub(crate) fn lead_to(&self, at: &HostPort) -> bool {
        self.table.lead_to(at)
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
            let is_late = Instant::now() >= self.patience;
            // Where nobody was heard, this process may have stood still. Each of them has its time to answer, and says so when it has not.
            if is_late && said.iter().any(|said| *said != Said::Unheard) {
                counted.retain(|said| *said != Said::Unheard);
            }
            match lead(&counted) {
                Lead::To(named) => return Ok(named),
                Lead::Nowhere => return Err(self.sentinels.nowhere(&said)),
                Lead::Unheard if is_late => drop(self.said.changed().await),
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

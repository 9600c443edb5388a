//! What each sentinel said last, and where all of it leads.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::host::HostPort;

/// Told that the primary may be another one; false once it need not be told any more.
pub(crate) type Follower = Box<dyn Fn() -> bool + Send + Sync>;

/// What each of them said last.
pub(super) struct Table {
    pub(super) said: watch::Sender<Vec<Said>>,
    /// To have each of them asked.
    pub(super) ask: Vec<Arc<Notify>>,
    followers: Mutex<Vec<Follower>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
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
pub(super) enum Lead {
    /// To one of these, all named equally often.
    To(Vec<HostPort>),
    /// That remains to be heard.
    Unheard,
    Nowhere,
}

pub(super) fn lead(said: &[Said]) -> Lead {
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
    /// Of so many sentinels.
    pub(super) fn of(sentinels: usize) -> Arc<Self> {
        let said = watch::Sender::new(vec![Said::Unheard; sentinels]);
        let ask = (0..sentinels).map(|_| Arc::default()).collect();
        Arc::new(Table { said, ask, followers: Mutex::default() })
    }

    /// Calls this whenever the primary may be another one.
    pub(super) fn tell(&self, follower: Follower) {
        self.followers.lock().push(follower);
    }

    fn lead(&self) -> Lead {
        lead(&self.said.borrow())
    }

    /// Whether this server is still the primary, as far as can be told.
    pub(super) fn lead_to(&self, at: &HostPort) -> bool {
        match self.lead() {
            Lead::To(named) => named.contains(at),
            Lead::Unheard | Lead::Nowhere => true,
        }
    }

    pub(super) fn says(&self, at: usize, what: Said) {
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
    fn followers_are_told_of_news_only_and_forgotten_when_they_are_gone() {
        let table = Table::of(2);
        let calls = Arc::new(Mutex::new(0));
        let seen = calls.clone();
        table.tell(Box::new(move || {
            *seen.lock() += 1;
            *seen.lock() < 2
        }));
        table.says(0, Said::Primary(at("x")));
        table.says(0, Said::Primary(at("x")));
        assert_eq!(*calls.lock(), 1);
        assert!(table.lead_to(&at("y")), "one of two is no majority yet");
        table.says(1, Said::Primary(at("x")));
        assert!(table.lead_to(&at("x")) && !table.lead_to(&at("y")));
        table.says(1, Said::Primary(at("y")));
        assert_eq!(*calls.lock(), 2, "it had said that it is gone");
    }
}

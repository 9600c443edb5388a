//! Long random histories, answered by the store and by the reference store: they must agree on every answer.

use std::time::Duration;

use cloakroom::clock::Clock;
use cloakroom::record::Version;
use cloakroom::store::protocol::Entry;
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, Deadlines, End, EndCause, Ended, Ending, Loaded,
    OldId, Release, Released, Rename, Renamed, Renew, Renewed, Revoke, RevokeWhich, Revoked, Store,
    StoreError, Summary, Touch, Touched,
};
use cloakroom::{OpId, StoreKey, UserId};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::rng::Rng;
use crate::{ManualClock, ReferenceStore, requests};

const SEEDS: u64 = 8;
const STEPS: usize = 300;
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn random_histories_get_the_answers_of_the_reference_store(bed: Bed) -> Verdict {
    let clock = bed.manual_clock()?.clone();
    for seed in 0..SEEDS {
        let model = ReferenceStore::with_clock(clock.clone());
        let mut world = World::new(seed, model, clock.clone());
        for step in 0..STEPS {
            let Some(question) = world.next() else { continue };
            let expected = question.ask(&world.model).await?;
            let found = question.ask(&**bed.store()).await?;
            ensure!(
                agree(&expected, &found),
                "seed {seed}, step {step}: {question:?}\n expected {expected:?}\n found    {found:?}"
            );
            world.asked.push(question);
        }
        // The next seed's users start without sessions, and what is left does not count.
        for user in world.users {
            bed.store().revoke(requests::revoke(&user, RevokeWhich::All)).await?;
        }
    }
    Ok(())
}

/// A mutating or reading call.
#[derive(Clone, Debug)]
enum Question {
    Load(StoreKey),
    LoadMany(Vec<StoreKey>),
    Create(Create),
    Commit(Commit),
    Rename(Rename),
    Touch(Touch),
    End(End),
    Acquire(Acquire),
    Renew(Renew),
    Release(Release),
    List(UserId),
    Revoke(Revoke),
}

#[derive(PartialEq, Debug)]
enum Reply {
    Loaded(Vec<Loaded>),
    Created(Created),
    Committed(Committed),
    Renamed(Renamed),
    Touched(Touched),
    Ended(Ended),
    Acquired(Acquired),
    Renewed(Renewed),
    Released(Released),
    Sessions(Vec<Summary>),
    Revoked(Revoked),
}

impl Question {
    async fn ask(&self, store: &dyn Store) -> Result<Reply, StoreError> {
        Ok(match self.clone() {
            Question::Load(key) => Reply::Loaded(vec![store.load(key).await?]),
            Question::LoadMany(keys) => Reply::Loaded(store.load_many(keys).await?),
            Question::Create(request) => Reply::Created(store.create(request).await?),
            Question::Commit(request) => Reply::Committed(store.commit(request).await?),
            Question::Rename(request) => Reply::Renamed(store.rename(request).await?),
            Question::Touch(request) => Reply::Touched(store.touch(request).await?),
            Question::End(request) => Reply::Ended(store.end(request).await?),
            Question::Acquire(request) => Reply::Acquired(store.acquire(request).await?),
            Question::Renew(request) => Reply::Renewed(store.renew(request).await?),
            Question::Release(request) => Reply::Released(store.release(request).await?),
            Question::List(user) => Reply::Sessions(store.list_user(user).await?),
            Question::Revoke(request) => Reply::Revoked(store.revoke(request).await?),
        })
    }
}

/// Equal, except that a store may have removed what is past its deadline, where the reference store still knows it.
fn agree(expected: &Reply, found: &Reply) -> bool {
    match (expected, found) {
        (Reply::Loaded(expected), Reply::Loaded(found)) => {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|pair| match pair {
                    (Loaded::Ended(Ending::Expired), found) => {
                        matches!(
                            found,
                            Loaded::Missing | Loaded::Ended(Ending::Expired | Ending::Moved { .. })
                        )
                    }
                    (expected, found) => expected == found,
                })
        }
        (Reply::Committed(Committed::Ended(Ending::Expired)), Reply::Committed(Committed::Missing))
        | (Reply::Renamed(Renamed::Ended(Ending::Expired)), Reply::Renamed(Renamed::Missing))
        | (Reply::Acquired(Acquired::Ended(Ending::Expired)), Reply::Acquired(Acquired::Missing)) => true,
        _ => expected == found,
    }
}

/// What the next question is chosen from: few keys, owners and users, so that they meet.
struct World {
    rng: Rng,
    model: ReferenceStore,
    clock: ManualClock,
    keys: Vec<StoreKey>,
    users: Vec<UserId>,
    asked: Vec<Question>,
}

impl World {
    fn new(seed: u64, model: ReferenceStore, clock: ManualClock) -> Self {
        let first = requests::key();
        World {
            rng: Rng::new(seed),
            model,
            clock,
            keys: (0..6).map(|_| requests::successor(first)).collect(),
            users: ["ann", "ben"].iter().map(|name| requests::user(name)).collect(),
            asked: Vec::new(),
        }
    }

    fn next(&mut self) -> Option<Question> {
        // Now and then time passes, or an old question is asked again, word for word.
        if self.rng.below(6) == 0 {
            let seconds = self.rng.below(150);
            self.clock.advance(Duration::from_secs(seconds));
        }
        let question = match self.rng.below(8) {
            0 => self.rng.pick(&self.asked)?.clone(),
            _ => self.new_question()?,
        };
        match &question {
            // Whether what is past its time still occupies its key is the store's own business.
            Question::Create(Create { key, .. }) | Question::Rename(Rename { to: key, .. })
                if self.stale(key) =>
            {
                None
            }
            _ => Some(question),
        }
    }

    fn new_question(&mut self) -> Option<Question> {
        let key = *self.rng.pick(&self.keys)?;
        let owner = u128::from(self.rng.below(3));
        Some(match self.rng.below(16) {
            0 => Question::Load(key),
            1 => Question::LoadMany(self.keys.clone()),
            2..=4 => {
                let key = self.key_for_new();
                let mut request = requests::create(key, self.payload());
                request.lifetime.idle = self.minutes(5);
                request.lifetime.absolute = self.minutes(9);
                request.lifetime.renewal = Some(MINUTE).filter(|_| self.rng.below(2) == 0);
                request.bind = self.bind()?;
                request.marker = self.minutes(3);
                Question::Create(request)
            }
            5..=7 => {
                let mut request = requests::commit(key, self.version(&key), self.payload());
                request.lease = requests::held(owner, self.rng.below(4)).filter(|_| self.rng.below(3) == 0);
                request.release = self.rng.below(2) == 0;
                request.epoch = self.rng.below(3) as u32;
                request.slide = Some(self.minutes(5)).filter(|_| self.rng.below(3) > 0);
                Question::Commit(request)
            }
            8 | 9 => {
                let to = self.key_for_new();
                let mut request = requests::rename(key, to, self.version(&key), self.payload());
                request.lease = requests::held(owner, self.rng.below(4)).filter(|_| self.rng.below(3) == 0);
                request.bind = self.bind()?;
                request.slide = Some(self.minutes(5)).filter(|_| self.rng.below(3) > 0);
                request.marker = self.minutes(3);
                request.old = match self.rng.below(3) {
                    0 => OldId::Dead,
                    1 => requests::alias(self.minutes(3)),
                    _ => requests::copy(self.minutes(4)),
                };
                if self.rng.below(3) == 0 {
                    let (idle, absolute) = (self.minutes(5), self.minutes(9));
                    let again = cloakroom::record::Lifetime { idle, absolute, renewal: None };
                    request.deadlines = Deadlines::Restart(again);
                }
                Question::Rename(request)
            }
            10 => Question::Touch(Touch { key, idle: self.minutes(5) }),
            11 => {
                let cause = if self.rng.below(2) == 0 { EndCause::Destroyed } else { EndCause::Revoked };
                Question::End(End { cause, marker: self.minutes(3), ..requests::end(key) })
            }
            12 => Question::Acquire(Acquire { lease: self.minutes(2), ..requests::acquire(key, owner) }),
            13 if self.rng.below(2) == 0 => Question::Release(requests::release(key, owner)),
            13 => Question::Renew(Renew { lease: self.minutes(2), ..requests::renew(key, owner) }),
            14 => Question::List(self.rng.pick(&self.users)?.clone()),
            _ if self.rng.below(3) == 0 => {
                let user = self.rng.pick(&self.users)?.clone();
                let id = match self.model.entry(key) {
                    Some(Entry::Live { record, .. }) => record.id,
                    _ => cloakroom::RecordId::generate(),
                };
                let which = match self.rng.below(4) {
                    0 => RevokeWhich::All,
                    1 => RevokeWhich::Others(id),
                    _ => RevokeWhich::One(id),
                };
                Question::Revoke(Revoke { marker: self.minutes(3), ..requests::revoke(&user, which) })
            }
            _ => Question::Load(key),
        })
    }

    /// Mostly a key nobody has used, from then on in play itself: beside the old ones, or in the place of one.
    fn key_for_new(&mut self) -> StoreKey {
        let at = self.rng.index(self.keys.len());
        let fresh = self.keys.get(at).copied().map_or_else(requests::key, requests::successor);
        match self.rng.below(4) {
            0 => return self.keys.get(at).copied().unwrap_or(fresh),
            1 if self.keys.len() < 24 => self.keys.push(fresh),
            _ => self.keys.get_mut(at).into_iter().for_each(|slot| *slot = fresh),
        }
        fresh
    }

    /// Mostly the version that is there.
    fn version(&mut self, key: &StoreKey) -> Version {
        match self.model.entry(*key) {
            Some(Entry::Live { record, .. }) if self.rng.below(6) > 0 => record.version,
            Some(Entry::Live { record, .. }) => {
                Version { counter: record.version.counter, op: OpId::generate() }
            }
            _ => Version::first(OpId::generate()),
        }
    }

    #[allow(clippy::option_option, reason = "the outer one only says that there are users to pick from")]
    fn bind(&mut self) -> Option<Option<cloakroom::store::BindUser>> {
        let user = self.rng.pick(&self.users)?.clone();
        Some(match self.rng.below(4) {
            0 => Some(requests::bind(&user)),
            1 => Some(requests::bind_capped(&user, self.rng.below(3) as u32)),
            _ => None,
        })
    }

    fn payload(&mut self) -> cloakroom::payload::Payload {
        let value = vec![self.rng.below(256) as u8; self.rng.index(40)];
        requests::data(&[("v", &value)])
    }

    fn minutes(&mut self, most: u32) -> Duration {
        MINUTE * (1 + self.rng.below(u64::from(most)) as u32)
    }

    fn stale(&self, key: &StoreKey) -> bool {
        self.model.entry(*key).is_some_and(|entry| entry.purge_at() <= self.clock.now())
    }
}

//! Ids that another system made, or could have made: for stores whose keys are the ids themselves.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rand::RngExt;
use zeroize::Zeroize;

use crate::store::Handover;

use super::{Candidate, IdEnvelope, MalformedId, SessionId, StoreKey, percent};

/// What ids of the other system look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdRules {
    /// What a new id is made of. ASCII; none of it may need encoding in a cookie.
    pub alphabet: &'static [u8],
    /// Characters in a new id.
    pub length: usize,
    /// What an id that is presented may be made of.
    pub accepted: &'static [u8],
    /// How long an id that is presented may be.
    pub lengths: RangeInclusive<usize>,
}

impl IdRules {
    /// Secret bits in a new id.
    pub fn bits(&self) -> f64 {
        f64::from(u32::try_from(self.alphabet.len()).unwrap_or(0)).log2()
            * f64::from(u32::try_from(self.length).unwrap_or(0))
    }
}

/// Ids of another system, and the way back from their digests.
///
/// Everything in this library goes by digests. A store whose keys are the ids themselves asks here for the id that belongs to
/// a [`StoreKey`]: [`resolve`](PlainIds::resolve). It is known for as long as a request holds it, and not a moment longer.
///
/// Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct PlainIds(Arc<Register>);

struct Register {
    rules: IdRules,
    envelope: Option<Arc<dyn IdEnvelope>>,
    held: Mutex<HashMap<StoreKey, Weak<Held>>>,
}

/// An id in plain, held by somebody.
struct Held {
    text: String,
    key: StoreKey,
    register: Arc<Register>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.text.zeroize();
        let mut held = self.register.held.lock();
        // Somebody may have presented the same id again meanwhile.
        if held.get(&self.key).is_some_and(|weak| weak.strong_count() == 0) {
            held.remove(&self.key);
        }
    }
}

/// An id in plain. It is a secret; `Debug` shows a prefix of its digest.
#[derive(Clone)]
pub struct PlainId(Arc<Held>);

impl PlainId {
    /// The id itself. Never log it.
    pub fn expose(&self) -> &str {
        &self.0.text
    }

    /// Its digest.
    pub fn key(&self) -> StoreKey {
        self.0.key
    }

    /// What the client is told. `None` where the envelope cannot be made.
    pub(super) fn told(&self, cookie: &str) -> Option<Cow<'_, str>> {
        self.ids().tell(cookie, self.expose())
    }

    pub(super) fn ids(&self) -> PlainIds {
        PlainIds(Arc::clone(&self.0.register))
    }
}

impl fmt::Debug for PlainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainId({:?})", self.0.key)
    }
}

impl PlainIds {
    /// Ids by these rules, which clients hold as they are.
    pub fn new(rules: IdRules) -> Self {
        PlainIds(Arc::new(Register { rules, envelope: None, held: Mutex::default() }))
    }

    /// Ids by these rules, which clients hold in an envelope.
    pub fn enveloped(rules: IdRules, envelope: Arc<dyn IdEnvelope>) -> Self {
        PlainIds(Arc::new(Register { rules, envelope: Some(envelope), held: Mutex::default() }))
    }

    /// The rules.
    pub fn rules(&self) -> &IdRules {
        &self.0.rules
    }

    /// The id that belongs to a key, if anybody holds it.
    pub fn resolve(&self, key: &StoreKey) -> Option<PlainId> {
        self.0.held.lock().get(key).and_then(Weak::upgrade).map(PlainId)
    }

    /// Holds an id that the store knows from elsewhere: from a list, from what an ended session left behind.
    ///
    /// # Errors
    /// [`MalformedId`]: it is none by the [rules](IdRules).
    pub fn hold(&self, text: &[u8]) -> Result<PlainId, MalformedId> {
        match std::str::from_utf8(text) {
            Ok(text) if self.fits(text.as_bytes()) => Ok(self.intern(text.to_owned())),
            _ => Err(MalformedId),
        }
    }

    fn fits(&self, text: &[u8]) -> bool {
        let rules = self.rules();
        rules.lengths.contains(&text.len()) && text.iter().all(|byte| rules.accepted.contains(byte))
    }

    /// As a client presents it: what PHP encodes in a cookie is decoded, and the envelope opened.
    pub(crate) fn parse(&self, cookie: &str, value: &[u8]) -> Result<Candidate, MalformedId> {
        let value = percent::decode(value).ok_or(MalformedId)?;
        let held = match &self.0.envelope {
            None => self.hold(&value),
            Some(envelope) => {
                let mut text = envelope.open(cookie, &value).ok_or(MalformedId)?;
                let held = self.hold(&text);
                text.zeroize();
                held
            }
        };
        held.map(Candidate::plain)
    }

    /// As a client is told it: the other way round.
    fn tell<'a>(&self, cookie: &str, id: &'a str) -> Option<Cow<'a, str>> {
        match &self.0.envelope {
            None => Some(percent::encode(id)),
            Some(envelope) => Some(Cow::Owned(percent::encode(&envelope.seal(cookie, id)?).into_owned())),
        }
    }

    pub(crate) fn generate(&self) -> SessionId {
        let rules = self.rules();
        let mut random = rand::rng();
        let text = (0..rules.length)
            .filter_map(|_| rules.alphabet.get(random.random_range(0..rules.alphabet.len().max(1))))
            .map(|byte| char::from(*byte))
            .collect();
        SessionId::plain(self.intern(text))
    }

    /// An id of this library's own that these rules do not take for the other system's.
    fn own(&self, make: impl Fn() -> SessionId) -> SessionId {
        // PHP has no `_`, which more than one in three of ours has. Rules that take everything have ids of their own only.
        let mut tries = (0..64).map(|_| make());
        tries.find(|made| !self.fits(made.expose().as_bytes())).unwrap_or_else(|| self.generate())
    }

    fn intern(&self, mut text: String) -> PlainId {
        let key = StoreKey::of_plain(text.as_bytes());
        let mut held = self.0.held.lock();
        if let Some(known) = held.get(&key).and_then(Weak::upgrade) {
            text.zeroize();
            return PlainId(known);
        }
        let new = Arc::new(Held { text, key, register: Arc::clone(&self.0) });
        held.insert(key, Arc::downgrade(&new));
        PlainId(new)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.held.lock().len()
    }
}

impl fmt::Debug for PlainIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PlainIds").field(&self.0.rules).finish()
    }
}

/// How ids are read and made.
#[derive(Clone, Debug, Default)]
pub(crate) enum IdFormat {
    /// This library's own.
    #[default]
    Own,
    /// Another system's, and this library's own as far as sessions have been taken over.
    Plain(PlainIds, Handover),
}

impl IdFormat {
    /// Reads what a client presented; `cookie` is the name under which it holds it.
    pub(crate) fn parse(&self, cookie: &str, value: &[u8]) -> Result<Candidate, MalformedId> {
        match self {
            IdFormat::Own => Candidate::parse(value),
            IdFormat::Plain(ids, handover) => ids.parse(cookie, value).or_else(|malformed| match handover {
                Handover::Shared => Err(malformed),
                // Only what cannot be the other system's is made: see `own`.
                Handover::Prepared | Handover::Done => Candidate::parse(value),
            }),
        }
    }

    /// Reads an id that is known by its digest, of either form. It is in no envelope.
    ///
    /// Neither its length nor the form of the id before it tells: while instances are a stage of a move apart, each makes ids of its own sort for
    /// sessions of the other's, and one of another system's may look like one of ours.
    pub(crate) fn with_key(&self, text: &[u8], key: StoreKey) -> Option<Candidate> {
        let theirs = match self {
            IdFormat::Own => None,
            IdFormat::Plain(ids, _) => ids.hold(text).ok().map(Candidate::plain),
        };
        let is_it = |read: &Candidate| read.store_key() == key;
        theirs.filter(is_it).or_else(|| Candidate::parse(text).ok().filter(is_it))
    }

    pub(crate) fn generate(&self) -> SessionId {
        match self {
            IdFormat::Own => SessionId::generate(),
            IdFormat::Plain(ids, Handover::Done) => ids.own(SessionId::generate),
            IdFormat::Plain(ids, _) => ids.generate(),
        }
    }

    /// A new id for the session of this one.
    pub(crate) fn successor(&self, old: &SessionId) -> SessionId {
        match self {
            IdFormat::Own => old.successor(),
            IdFormat::Plain(ids, Handover::Done) => ids.own(|| old.own_successor()),
            // No tag is inherited: the other system's ids have none. Where their slots differ, the store changes an id in two steps.
            IdFormat::Plain(ids, _) => ids.generate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,-";

    fn ids() -> PlainIds {
        PlainIds::new(IdRules {
            alphabet: b"0123456789abcdef",
            length: 32,
            accepted: ACCEPTED,
            lengths: 22..=256,
        })
    }

    #[test]
    fn a_plain_id_is_known_by_its_digest_for_as_long_as_it_is_held() {
        let ids = ids();
        let made = ids.generate();
        let key = made.store_key();
        assert_eq!(ids.resolve(&key).unwrap().expose(), made.expose());
        let presented = ids.parse("id", made.expose().as_bytes()).unwrap();
        assert_eq!(presented.store_key(), key);
        drop(made);
        assert!(ids.resolve(&key).is_some(), "the candidate holds it");
        drop(presented);
        assert!(ids.resolve(&key).is_none());
        assert_eq!(ids.count(), 0, "nothing is kept of it");
    }

    #[test]
    fn s10_what_is_no_id_of_the_other_system_is_no_candidate() {
        let ids = ids();
        for wrong in ["", "short", &"a".repeat(257), &"a b".repeat(10), &"ä".repeat(20), &"%zz".repeat(10)] {
            assert!(ids.parse("id", wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        let comma = ids.parse("id", b"0123456789%2Cabcdef0123456789").unwrap();
        let comma = SessionId::proven(&comma);
        assert_eq!(comma.expose(), "0123456789,abcdef0123456789");
        assert_eq!(comma.told("id").unwrap(), b"0123456789%2Cabcdef0123456789".as_slice());
    }

    #[test]
    fn s10_ids_of_ours_beside_the_other_systems_are_told_apart_and_read_only_where_there_may_be_some() {
        let format = |handover| IdFormat::Plain(ids(), handover);
        let (shared, prepared, done) =
            (format(Handover::Shared), format(Handover::Prepared), format(Handover::Done));
        let theirs = shared.generate();
        for _ in 0..200 {
            for ours in [done.generate(), done.successor(&theirs), done.successor(&done.generate())] {
                let text = ours.expose().as_bytes();
                assert!(ours.is_own() && shared.parse("id", text).is_err(), "it is none of theirs");
                for reads in [&prepared, &done] {
                    assert_eq!(reads.parse("id", text).unwrap().store_key(), ours.store_key());
                }
            }
        }
        assert_eq!(done.successor(&theirs).store_key().tag(), theirs.store_key().tag());
        assert!(!prepared.generate().is_own() && !prepared.successor(&done.generate()).is_own());
        // Theirs stay theirs, one that could be ours as well included.
        for reads in [&shared, &prepared, &done] {
            let read = reads.parse("id", theirs.expose().as_bytes()).unwrap();
            assert_eq!((theirs.expose().len(), read.store_key()), (32, theirs.store_key()));
        }
    }

    /// The id backwards, behind the cookie's name.
    #[derive(Debug)]
    struct Backwards;

    impl IdEnvelope for Backwards {
        fn open(&self, cookie: &str, presented: &[u8]) -> Option<Vec<u8>> {
            let id = presented.strip_prefix(cookie.as_bytes())?.strip_prefix(b"=")?;
            Some(id.iter().rev().copied().collect())
        }

        fn seal(&self, cookie: &str, id: &str) -> Option<String> {
            (cookie != "none").then(|| format!("{cookie}={}", id.chars().rev().collect::<String>()))
        }
    }

    #[test]
    fn an_id_in_an_envelope_is_read_from_it_and_told_in_it_and_no_other_way() {
        let ids = PlainIds::enveloped(ids().rules().clone(), Arc::new(Backwards));
        let made = ids.generate();
        let told = String::from_utf8(made.told("id").unwrap().into_owned()).unwrap();
        assert!(told.starts_with("id%3D") && !told.contains(made.expose()), "{told}");
        let presented = ids.parse("id", told.as_bytes()).unwrap();
        assert_eq!(presented.store_key(), made.store_key());
        // Not under another name, not without its envelope, and not where what is inside is no id.
        assert!(ids.parse("other", told.as_bytes()).is_err());
        assert!(ids.parse("id", made.expose().as_bytes()).is_err());
        assert!(ids.parse("id", b"id=short").is_err());
        assert_eq!(made.told("none"), None);
        // What the library itself sealed an id in has no envelope: see `engine::seal`.
        let format = IdFormat::Plain(ids, Handover::Shared);
        assert!(format.with_key(made.expose().as_bytes(), made.store_key()).is_some());
    }

    #[test]
    fn no_debug_shows_a_plain_id() {
        let ids = ids();
        let id = ids.generate();
        let candidate = ids.parse("id", id.expose().as_bytes()).unwrap();
        let resolved = ids.resolve(&id.store_key()).unwrap();
        for shown in
            [format!("{id:?}"), format!("{candidate:?}"), format!("{resolved:?}"), format!("{ids:?}")]
        {
            assert!(!shown.contains(id.expose()), "{shown}");
        }
        assert!(ids.rules().bits() > 127.9);
    }
}

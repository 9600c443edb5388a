//! What a store keeps as bytes: written and read it is what it was, and whatever the bytes are, reading them ends with an entry
//! or an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;

use cloakroom::clock::Timestamp;
use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::{Device, RecentOps, Record, Version};
use cloakroom::store::protocol::{Entry, Lease};
use cloakroom::store::wire::{self, MalformedEntry};
use cloakroom::store::{Ending, LeaseOwner, SealedId, Summary};
use cloakroom::{OpId, RecordId, StoreKey, UserId};
use proptest::prelude::*;

fn keys() -> impl Strategy<Value = StoreKey> {
    prop::array::uniform32(any::<u8>()).prop_flat_map(|digest| {
        prop::array::uniform3(any::<u8>()).prop_map(move |tag| {
            let mut bytes = [0; StoreKey::LEN];
            bytes[..3].copy_from_slice(&tag);
            bytes[3..].copy_from_slice(&digest);
            StoreKey::from_bytes(bytes)
        })
    })
}

fn times() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_millis)
}

fn ops() -> impl Strategy<Value = OpId> {
    any::<u64>().prop_map(OpId::from_u64)
}

fn users() -> impl Strategy<Value = Option<UserId>> {
    prop::option::of("\\PC{1,40}".prop_filter_map("too long", |name| UserId::new(&name)))
}

fn devices() -> impl Strategy<Value = Option<Arc<Device>>> {
    let device = (".{0,40}", ".{0,300}").prop_map(|(address, agent)| Arc::new(Device { address, agent }));
    prop::option::of(device)
}

fn data() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    prop::collection::btree_map(".{0,30}", prop::collection::vec(any::<u8>(), 0..100), 0..8)
}

fn payload(data: &BTreeMap<String, Vec<u8>>) -> Payload {
    let mut builder = PayloadBuilder::default();
    for (key, value) in data {
        assert!(builder.push(key, value));
    }
    builder.finish()
}

prop_compose! {
    fn records()(
        id in any::<[u8; 16]>(), counter in any::<u64>(), op in ops(), recent in prop::array::uniform3(ops()),
        epoch in any::<u32>(), times in prop::array::uniform5(times()), user in users(), device in devices(),
        data in data(),
    ) -> Record {
        let [created, last_seen, idle_deadline, absolute_deadline, renew_at] = times;
        Record {
            id: RecordId::from_bytes(id), version: Version { counter, op }, recent: RecentOps::from_ops(recent), epoch,
            created, last_seen, idle_deadline, absolute_deadline, renew_at, user, device, payload: payload(&data),
        }
    }
}

prop_compose! {
    fn leases()(owner in any::<u128>(), hold in any::<u64>(), until in times()) -> Lease {
        Lease { owner: LeaseOwner(owner), hold, until }
    }
}

prop_compose! {
    fn summaries()(
        key in keys(), id in any::<[u8; 16]>(), user in users(), device in devices(),
        times in prop::array::uniform3(times()), size in any::<u32>(),
    ) -> Summary {
        let [created, last_seen, deadline] = times;
        Summary { key, record_id: RecordId::from_bytes(id), user, device, created, last_seen, deadline, size: size as usize }
    }
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![
        Just(Ending::Destroyed),
        Just(Ending::Revoked),
        Just(Ending::Expired),
        (keys(), any::<bool>()).prop_map(|(to, user_changed)| Ending::Moved { to, user_changed }),
    ]
}

fn entries() -> impl Strategy<Value = Entry> {
    prop_oneof![
        (records(), prop::option::of(leases()))
            .prop_map(|(record, lease)| Entry::Live { record: Arc::new(record), lease }),
        (keys(), prop::collection::vec(any::<u8>(), 0..100), times(), ops(), times()).prop_map(
            |(successor, sealed, grace_until, op, until)| {
                Entry::Alias { successor, sealed: SealedId(sealed.into()), grace_until, op, until }
            }
        ),
        (endings(), ops(), times()).prop_map(|(ending, op, until)| Entry::Marker { ending, op, until }),
        (prop::collection::vec(summaries(), 0..4), any::<u32>(), times()).prop_map(|(ended, more, until)| {
            Entry::Receipt { count: ended.len() + more as usize, ended: ended.into(), until }
        }),
    ]
}

/// The bytes with a checksum that fits.
fn summed(key: &StoreKey, body: &[u8]) -> Vec<u8> {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key.as_bytes());
    sum.update(body);
    [body, &sum.finalize().to_le_bytes()].concat()
}

proptest! {
    #[test]
    fn an_entry_is_read_as_it_was_written(key in keys(), entry in entries()) {
        let bytes = wire::encode(&key, &entry);
        prop_assert_eq!(wire::decode(&key, &bytes), Ok(entry));
    }

    #[test]
    fn c9_an_entry_with_a_flipped_bit_or_under_another_key_is_damaged(
        key in keys(), other in keys(), entry in entries(), at in any::<prop::sample::Index>(), bit in 0..8u32,
    ) {
        let mut bytes = wire::encode(&key, &entry);
        prop_assume!(key != other);
        prop_assert_eq!(wire::decode(&other, &bytes), Err(MalformedEntry::Checksum));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert_eq!(wire::decode(&key, &bytes), Err(MalformedEntry::Checksum));
    }

    #[test]
    fn c9_an_entry_that_was_cut_off_is_damaged(
        key in keys(), entry in entries(), at in any::<prop::sample::Index>(),
    ) {
        let bytes = wire::encode(&key, &entry);
        prop_assert!(wire::decode(&key, &bytes[..at.index(bytes.len())]).is_err());
    }

    /// Whatever was read from bytes, if it was, is what these bytes say: nothing is guessed.
    #[test]
    fn c9_any_bytes_are_an_entry_or_an_error(
        key in keys(), kind in 0..6u8, mut body in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let _ = wire::decode(&key, &body);
        body.splice(0..0, [wire::FORMAT, kind]);
        let bytes = summed(&key, &body);
        if let Ok(entry) = wire::decode(&key, &bytes) {
            prop_assert_eq!(wire::encode(&key, &entry), bytes);
        }
    }

    /// Bytes that were an entry before something of it was changed, and whose checksum says that nothing was.
    #[test]
    fn c9_a_changed_entry_is_an_entry_or_an_error(
        key in keys(), entry in entries(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
        more in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut body = wire::encode(&key, &entry);
        body.truncate(body.len() - 4);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        body.extend(more);
        let bytes = summed(&key, &body);
        if let Ok(entry) = wire::decode(&key, &bytes) {
            prop_assert_eq!(wire::encode(&key, &entry), bytes);
        }
    }

    #[test]
    fn a_payload_holds_what_was_put_in(data in data()) {
        let payload = payload(&data);
        let again = Payload::from_bytes(payload.as_bytes()).unwrap();
        prop_assert_eq!(&again, &payload);
        let read: BTreeMap<String, Vec<u8>> =
            again.iter().map(|(key, value)| (key.to_owned(), value.to_vec())).collect();
        prop_assert_eq!(&read, &data);
        for (key, value) in &data {
            prop_assert_eq!(again.get(key), Some(value.as_slice()));
        }
        prop_assert_eq!(again.get("no such key, of this length, among the others"), None);
    }

    #[test]
    fn c9_any_bytes_are_a_payload_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        whole_or_damaged(&bytes)?;
    }

    #[test]
    fn c9_a_changed_payload_is_a_payload_or_an_error(
        data in data(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = payload(&data).as_bytes().to_vec();
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        whole_or_damaged(&bytes)?;
        bytes.truncate(cut.index(bytes.len()));
        whole_or_damaged(&bytes)?;
    }
}

fn whole_or_damaged(bytes: &[u8]) -> Result<(), TestCaseError> {
    match Payload::from_bytes(bytes) {
        Ok(payload) => {
            let mut copy = PayloadBuilder::default();
            for (key, value) in payload.iter() {
                prop_assert!(copy.push(key, value));
                prop_assert!(payload.get(key).is_some());
            }
            let copy = copy.finish();
            prop_assert_eq!(copy.as_bytes(), bytes);
        }
        // What stands before the damage is whole.
        Err(damaged) => {
            prop_assert!(damaged.at < bytes.len());
            prop_assert!(Payload::from_bytes(&bytes[..damaged.at]).is_ok());
        }
    }
    Ok(())
}

use std::sync::Arc;

use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::{Device, RecentOps, Record, Version};
use cloakroom::store::protocol::{Entry, Lease};
use cloakroom::store::{Ending, LeaseOwner, SealedId};
use cloakroom::{OpId, RecordId, UserId};

use super::*;

const KEY: StoreKey = StoreKey::from_bytes([7; StoreKey::LEN]);

fn record(user: Option<&str>, device: Option<Device>) -> Record {
    let mut payload = PayloadBuilder::default();
    payload.push("basket", b"\x93\x01\x02\x03");
    Record {
        id: RecordId::from_bytes([3; 16]),
        version: Version { counter: 9, op: OpId::from_u64(u64::MAX - 4) },
        recent: RecentOps::from_ops([OpId::from_u64(1), OpId::from_u64(2), OpId::default()]),
        epoch: 5,
        created: Timestamp::from_millis(1_000),
        last_seen: Timestamp::from_millis(2_000),
        idle_deadline: Timestamp::from_millis(3_000),
        absolute_deadline: Timestamp::from_millis(4_000),
        renew_at: Timestamp::NEVER,
        user: user.and_then(UserId::new),
        device: device.map(Arc::new),
        payload: payload.finish(),
    }
}

fn entries() -> Vec<Entry> {
    let device = Device { address: "192.0.2.7".into(), agent: "Suite/1".into() };
    let lease =
        Lease { owner: LeaseOwner(u128::MAX - 1), hold: u64::MAX - 2, until: Timestamp::from_millis(5) };
    vec![
        Entry::Live { record: Arc::new(record(None, None)), lease: None },
        Entry::Live { record: Arc::new(record(None, Some(device.clone()))), lease: None },
        Entry::Live { record: Arc::new(record(Some("ann"), None)), lease: Some(lease) },
        Entry::Live {
            record: Arc::new(record(Some(&"\u{e9}".repeat(127)), Some(device))),
            lease: Some(lease),
        },
        Entry::Alias {
            successor: StoreKey::from_bytes([1; StoreKey::LEN]),
            sealed: SealedId([1, 2, 3].into()),
            grace_until: Timestamp::from_millis(1),
            op: OpId::from_u64(4),
            until: Timestamp::from_millis(2),
        },
        Entry::Marker { ending: Ending::Revoked, op: OpId::from_u64(4), until: Timestamp::from_millis(2) },
        Entry::Marker { ending: Ending::Destroyed, op: OpId::from_u64(4), until: Timestamp::from_millis(2) },
        Entry::Marker {
            ending: Ending::Moved { to: StoreKey::from_bytes([1; StoreKey::LEN]), user_changed: true },
            op: OpId::from_u64(4),
            until: Timestamp::from_millis(2),
        },
        Entry::Marker { ending: Ending::Expired, op: OpId::from_u64(4), until: Timestamp::from_millis(2) },
        Entry::Receipt { count: 3, ended: Arc::new([]), until: Timestamp::from_millis(2) },
    ]
}

#[test]
fn what_is_written_is_read_back() {
    for entry in entries() {
        assert_eq!(decode(&KEY, &encode(&KEY, &entry)), Ok(entry));
    }
}

#[test]
fn a_session_is_read_around_a_payload_that_is_known() {
    for entry in entries() {
        let Entry::Live { record, .. } = &entry else { continue };
        let bytes = encode(&KEY, &entry);
        let around = &bytes[..bytes.len() - record.payload.len()];
        assert_eq!(decode_around(around, record.payload.clone()).as_ref(), Ok(&**record));
    }
}

#[test]
fn of_a_session_its_head_is_read_without_its_data_and_what_is_left_of_one_as_it_is() {
    for entry in entries() {
        let bytes = encode(&KEY, &entry);
        let (head, told) = match &entry {
            Entry::Live { record, lease } => {
                let empty = Record { payload: Payload::empty(), ..Record::clone(record) };
                let told = Entry::Live { record: Arc::new(empty), lease: *lease };
                (&bytes[..bytes.len() - record.payload.len()], told)
            }
            other => (&bytes[..], other.clone()),
        };
        assert_eq!(decode_head(&KEY, head), Ok(told));
        for cut in 0..head.len() {
            assert!(decode_head(&KEY, &head[..cut]).is_err(), "cut at {cut}: {entry:?}");
        }
    }
}

#[test]
fn data_under_another_key_and_flipped_data_are_noticed() {
    for entry in entries() {
        let bytes = encode(&KEY, &entry);
        assert!(decode(&StoreKey::from_bytes([8; StoreKey::LEN]), &bytes).is_err(), "{entry:?}");
        if let Entry::Marker { ending: Ending::Revoked | Ending::Destroyed, .. } = entry {
            // Scripts write it, which have no checksum; it holds nobody's data, and nothing comes alive by it.
            continue;
        }
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(decode(&KEY, &flipped).is_err(), "{entry:?}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    for entry in entries() {
        let bytes = encode(&KEY, &entry);
        for cut in 0..bytes.len() {
            assert!(decode(&KEY, &bytes[..cut]).is_err(), "cut at {cut}: {entry:?}");
        }
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut flipped = bytes.clone();
                flipped[at] ^= flip;
                let _ = decode(&KEY, &flipped);
            }
        }
    }
}

#[test]
fn times_beyond_what_a_double_counts_are_never() {
    assert_eq!(millis(Timestamp::NEVER), NEVER);
    assert_eq!(time(NEVER), Timestamp::NEVER);
    assert_eq!(time(millis(Timestamp::from_millis(NEVER - 1))), Timestamp::from_millis(NEVER - 1));
}

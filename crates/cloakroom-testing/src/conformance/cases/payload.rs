//! What is stored comes back byte for byte.

use std::sync::Arc;

use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::Device;
use cloakroom::store::BindUser;

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

/// Stores it by create and by commit, and compares what is loaded.
async fn survives(bed: &Bed, payload: Payload, what: &str) -> Verdict {
    let created = requests::key();
    bed.create(requests::create(created, payload.clone())).await?;
    let (committed, record) = bed.session().await?;
    bed.write(committed, &record, payload.clone()).await?;
    for key in [created, committed] {
        let loaded = bed.live(key).await?.payload.clone();
        // Not `ensure_eq`: nobody wants 64 KiB of bytes in a message.
        ensure!(loaded == payload, "{what}: {} bytes stored, {} loaded", payload.len(), loaded.len());
    }
    Ok(())
}

pub(crate) async fn every_byte_value_survives(bed: Bed) -> Verdict {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let reversed: Vec<u8> = all.iter().rev().copied().collect();
    survives(&bed, requests::data(&[("all", &all), ("reversed", &reversed)]), "every byte value").await
}

pub(crate) async fn empty_data_and_empty_values_survive(bed: Bed) -> Verdict {
    survives(&bed, requests::data(&[]), "no entries").await?;
    survives(&bed, requests::data(&[("empty", b""), ("", b"value of the empty key")]), "empty parts").await
}

pub(crate) async fn awkward_keys_survive(bed: Bed) -> Verdict {
    let awkward =
        ["nul\0inside", "new\nline", "quote'\"`;--", "Grüße, мир, 世界", "0", "-1", "null", "\u{10ffff}"];
    let mut builder = PayloadBuilder::default();
    for key in awkward {
        ensure!(builder.push(key, key.as_bytes()), "the case has a key that is too long");
    }
    survives(&bed, builder.finish(), "awkward keys").await
}

pub(crate) async fn sixty_four_kibibytes_survive(bed: Bed) -> Verdict {
    // Not compressible, so that a store that compresses shows its true size as well.
    let mut x = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = Vec::with_capacity(64 * 1024);
    while noise.len() < 64 * 1024 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        noise.extend_from_slice(&x.to_le_bytes());
    }
    survives(&bed, requests::data(&[("noise", &noise)]), "64 KiB").await
}

pub(crate) async fn many_entries_survive_in_their_order(bed: Bed) -> Verdict {
    let mut builder = PayloadBuilder::default();
    for n in (0..256u32).rev() {
        ensure!(builder.push(&format!("key {n}"), &n.to_le_bytes()), "the case has a key that is too long");
    }
    survives(&bed, builder.finish(), "256 entries").await
}

pub(crate) async fn a_commit_replaces_the_data_as_a_whole(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let big = requests::data(&[("big", &[7; 10_000]), ("more", b"x")]);
    let record = bed.write(key, &record, big).await?;
    let record = bed.write(key, &record, requests::data(&[("small", b"y")])).await?;
    ensure!(
        bed.live(key).await?.payload == requests::data(&[("small", b"y")]),
        "something of the old data is left"
    );
    bed.write(key, &record, requests::data(&[])).await?;
    ensure!(bed.live(key).await?.payload.is_empty(), "something of the old data is left");
    Ok(())
}

pub(crate) async fn names_of_users_and_devices_survive(bed: Bed) -> Verdict {
    let longest = "é".repeat(127);
    for name in ["a", " ", "O'Brien; --", "名前\n\0", "Ann", "ann", longest.as_str()] {
        let user = requests::user(name);
        let device = Device { address: name.to_owned(), agent: "x".repeat(256) };
        let bind = BindUser { user: user.clone(), device: Some(Arc::new(device.clone())), cap: None };
        let key = requests::key();
        bed.create(requests::create_for(key, bind)).await?;
        let record = bed.live(key).await?;
        ensure_eq!(record.user, Some(user.clone()), "the user");
        ensure_eq!(record.device.as_deref(), Some(&device), "the device");
        let listed = bed.store().list_user(user).await?;
        ensure_eq!(listed.iter().map(|s| s.key).collect::<Vec<_>>(), vec![key], "the sessions of {name:?}");
    }
    Ok(())
}

pub(crate) async fn the_epoch_survives(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let mut request = requests::commit(key, record.version, record.payload.clone());
    request.epoch = u32::MAX;
    bed.commit(request).await?;
    let record = bed.live(key).await?;
    ensure_eq!(record.epoch, u32::MAX, "the epoch after a commit");
    let to = requests::successor(key);
    let mut request = requests::rename(key, to, record.version, record.payload.clone());
    request.epoch = 7;
    bed.rename(request).await?;
    ensure_eq!(bed.live(to).await?.epoch, 7, "the epoch after a rename");
    Ok(())
}

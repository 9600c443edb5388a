//! mini's cache in files, in processes that are killed at every call that changes anything.

use cloakroom_php::CacheEntry;

use super::*;

/// What a scenario's name begins with.
pub(super) const IS: &str = "mini: ";
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(super) async fn service(dir: &Path) -> Service {
    Service::with(dir, Layout::mini().user_variable("user_id"), ID).await
}

fn place() -> Place {
    // Until 2100.
    let value = br#"a:2:{s:1:"n";i:1;s:1:"b";s:3:"xxx";}"#.to_vec();
    let entry = CacheEntry { value, expires_at: 4_102_444_800 };
    let entry = String::from_utf8(entry.encode().unwrap()).unwrap();
    Place::of(CacheEntry::file_name(&format!("session.{ID}")), &entry)
}

/// mini's value as mini reads it, and nothing else of it is there.
fn n(file: &str) -> i64 {
    let entry = CacheEntry::decode(file.as_bytes()).expect("mini could not read it");
    let value = String::from_utf8(entry.value).unwrap();
    let n = value.split("\"n\";i:").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert_eq!(value.len() > LONG, n == 2, "half of it");
    n
}

/// The first one who looks may be mini, which knows nothing of what was begun.
#[test]
fn c6_killed_at_any_call_an_entry_of_minis_is_the_one_or_the_other_for_whoever_looks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    for what in ["change", "regenerate", "destroy"] {
        let mut died = 0;
        loop {
            let place = place();
            let (status, told) = place.run(&format!("{IS}{what}"), Some(died + 1));
            let found = place.value().map(|file| n(&file));
            if status.success() {
                assert!(told.contains("all done"), "{told}");
                assert_eq!(found, (what == "change").then_some(2), "{what}");
                break;
            }
            died += 1;
            assert_eq!(status.signal(), Some(9), "{what}: {told}");
            let seen = runtime.block_on(async {
                let service = service(&place.sessions()).await;
                service.visit(async |session| session.get::<i64>("n").unwrap()).await
            });
            assert_eq!(seen, found, "{what}: what mini found before");
            assert_eq!(place.value().map(|file| n(&file)), found, "{what}");
            // A session that nobody was told of is not left behind.
            let others = place.others().len() - place.fresh();
            assert_eq!(others, usize::from(what == "regenerate" && found.is_none()), "{what}");
            assert_eq!(place.leftovers(), Vec::<PathBuf>::new(), "{what}");
        }
        assert!(died >= 5, "{what}: killed at {died} calls only");
    }
}

#[test]
fn c9_a_full_disk_is_what_is_told_of_also_where_what_was_begun_cannot_be_removed() {
    place().runs(&format!("{IS}full and stuck"));
}

pub(super) async fn full_and_stuck(service: &Service) {
    let (full, stuck) = (Switch::on("full-value"), Switch::on("stuck"));
    let handle = service.request();
    let session = handle.open().await.unwrap();
    let error = chain(&session.put("b", "x".repeat(LONG)).await.unwrap_err());
    assert!(error.contains("No space left") && error.contains("make room"), "{error}");
    drop((full, stuck));
    assert_eq!(super::n(service).await, Some(1));
    service.visit(async |session| session.put("n", 2).await.unwrap()).await;
    assert_eq!(super::n(service).await, Some(2));
}

impl Place {
    /// Files that were to take another one's place, which are purged.
    fn fresh(&self) -> usize {
        let names = std::fs::read_dir(self.sessions()).unwrap().map(|file| file.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().starts_with(".cloakroom-new-")).count()
    }
}

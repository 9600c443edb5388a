//! The conformance suite over PHP's files and mini's: whatever PHP's layouts can offer at all.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/terms.rs"]
mod terms;

use std::path::Path;
use std::sync::{Arc, Mutex};

use cloakroom::store::Store;
use cloakroom_file::php::{Layout, PhpFileStore, PhpFiles};
use cloakroom_testing::ManualClock;
use cloakroom_testing::conformance::Subject;
use terms::{InPhpsTerms, Known, USER, conforms};

/// What PHP's files have no way to do besides. It is asked for where the clock can be moved only.
const ALSO: &[(&str, &str)] = &[(
    "random_histories_get_the_answers_of_the_reference_store",
    "what is missing was ended, and a user's sessions are not listed",
)];

/// Each handle is as good as another process: they have nothing in common but the files.
async fn open(dir: &Path, clock: &ManualClock, layout: &Layout, known: &Arc<Mutex<Known>>) -> Arc<dyn Store> {
    let layout = layout.clone().user_variable(USER);
    let files = PhpFiles::builder(dir).clock(clock.clone()).open().await.unwrap();
    Arc::new(InPhpsTerms::new(Arc::new(PhpFileStore::new(files, layout)), known))
}

async fn subject(layout: Layout) -> Subject {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let known = Arc::<Mutex<Known>>::default();
    let clock = ManualClock::new();
    let all = (dir.clone(), clock.clone(), layout.clone(), known.clone());
    let (second, again) = (all.clone(), all);
    Subject::new(open(dir.path(), &clock, &layout, &known).await)
        .clock(clock)
        .second_handle(move || {
            let (dir, clock, layout, known) = second.clone();
            async move { open(dir.path(), &clock, &layout, &known).await }
        })
        .reopen(move |old| {
            let (dir, clock, layout, known) = again.clone();
            async move {
                drop(old);
                open(dir.path(), &clock, &layout, &known).await
            }
        })
        .keep(dir)
}

fn in_format(handler: &str) -> Layout {
    Layout::php_files().serialize_handler(handler).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn phps_files_pass_in_the_php_format() {
    conforms(|| subject(in_format("php")), ALSO, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn phps_files_pass_in_igbinary() {
    conforms(|| subject(in_format("igbinary")), ALSO, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn minis_cache_in_files_passes() {
    conforms(|| subject(Layout::mini()), ALSO, &["awkward_keys_survive"]).await;
}

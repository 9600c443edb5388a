//! The conformance suite on servers of their own: every rule of a store, one test each.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use cloakroom::store::Store;
use cloakroom::{NearCache, StoreKey};
use cloakroom_redis::{RedisBuilder, RedisStore};
use cloakroom_testing::conformance::{Case, Outcome, Subject, run_case};
use cloakroom_testing::{ManualClock, RecallStore};
use support::sentinels::Group;
use support::{Kind, Server};

/// Whether commits come with the record that they replace, as the engine's do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commits {
    WithTheRecord,
    ByVersionAlone,
}
use Commits::{ByVersionAlone, WithTheRecord};

fn build(builder: &RedisBuilder, commits: Commits) -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(builder.clone().build().unwrap());
    if commits == WithTheRecord { Arc::new(RecallStore::new(store)) } else { store }
}

/// Cuts what is stored in the middle of its head.
async fn damage(server: Arc<Server>, key: StoreKey) {
    let script = "redis.call('SET',KEYS[1],string.sub(redis.call('GET',KEYS[1]),1,80),'KEEPTTL')return'cut'";
    let answer = server.raw(&format!("EVAL \"{script}\" 1 {}", support::name_of(&key)));
    assert!(answer.contains("cut"), "{answer}");
}

fn on(server: Server, builder: RedisBuilder, commits: Commits) -> Subject {
    let server = Arc::new(server);
    let store = build(&builder, commits);
    let (second, again) = (builder.clone(), builder.clone());
    let (restarted, damaged) = (server.clone(), server.clone());
    Subject::new(store)
        .second_handle(move || {
            let store = build(&second, commits);
            async move { store }
        })
        .reopen(move |old| {
            // Rude: the server is killed with the store still connected.
            let (server, builder) = (restarted.clone(), again.clone());
            async move {
                server.start_again();
                drop(old);
                build(&builder, commits)
            }
        })
        .damage(move |key| damage(damaged.clone(), key))
        .unavailable(|| async {
            let url = format!("redis://secret-user:s3cret-value@127.0.0.1:{}/0", support::free_port());
            let store: Arc<dyn Store> = Arc::new(RedisStore::new(&url).unwrap());
            store
        })
        .keep(server)
}

mod redis {
    use super::*;

    async fn subject() -> Subject {
        let server = Server::start(Kind::Redis);
        let builder = server.builder();
        on(server, builder, WithTheRecord)
    }

    cloakroom_testing::conformance_tests!(subject);
}

mod redis_by_version_alone {
    use super::*;

    async fn subject() -> Subject {
        let server = Server::start(Kind::Redis);
        let builder = server.builder();
        on(server, builder, ByVersionAlone)
    }

    cloakroom_testing::conformance_tests!(subject);
}

mod valkey {
    use super::*;

    async fn subject() -> Subject {
        let server = Server::start(Kind::Valkey);
        let builder = server.builder();
        on(server, builder, WithTheRecord)
    }

    cloakroom_testing::conformance_tests!(subject);
}

/// By a sentinel that knows the server. It is the same server, also when it was started again: so patient is the sentinel.
fn by_a_sentinel(kind: Kind) -> Subject {
    let mut group = Group::alone(kind);
    let (builder, server) = (group.builder(), group.servers.remove(0));
    on(server, builder, WithTheRecord).keep(group)
}

mod redis_by_a_sentinel {
    use super::*;

    async fn subject() -> Subject {
        by_a_sentinel(Kind::Redis)
    }

    cloakroom_testing::conformance_tests!(subject);
}

mod valkey_by_a_sentinel {
    use super::*;

    async fn subject() -> Subject {
        by_a_sentinel(Kind::Valkey)
    }

    cloakroom_testing::conformance_tests!(subject);
}

/// The store behind a near cache. The second handle is another on the same cache, as in one process: in another, what was written here
/// shows a moment later, and no store may do that.
fn behind_a_cache(kind: Kind) -> Subject {
    let server = Arc::new(Server::start(kind));
    let builder = server.builder();
    let open = move || NearCache::new(builder.clone().build().unwrap());
    let near = open();
    let (restarted, damaged) = (server.clone(), server.clone());
    let as_the_engine = |near: &NearCache<RedisStore>| -> Arc<dyn Store> {
        Arc::new(RecallStore::new(Arc::new(near.clone())))
    };
    Subject::new(as_the_engine(&near))
        .second_handle(move || {
            let near = as_the_engine(&near);
            async move { near }
        })
        .reopen(move |old| {
            let (server, near) = (restarted.clone(), open());
            async move {
                server.start_again();
                drop(old);
                as_the_engine(&near)
            }
        })
        .damage(move |key| damage(damaged.clone(), key))
        .keep(server)
}

mod redis_behind_a_cache {
    use super::*;

    async fn subject() -> Subject {
        behind_a_cache(Kind::Redis)
    }

    cloakroom_testing::conformance_tests!(subject);
}

mod valkey_behind_a_cache {
    use super::*;

    async fn subject() -> Subject {
        behind_a_cache(Kind::Valkey)
    }

    cloakroom_testing::conformance_tests!(subject);
}

/// Where a test gives the time: deadlines to the millisecond, and long histories beside the reference store. Redis removes
/// keys by its own clock, so cases about what is removed have no place here.
async fn by_the_clock(kind: Kind) {
    let names = [
        "an_answer_tells_the_stores_own_time",
        "a_deadline_is_exact",
        "a_clock_that_jumps_back_takes_nothing_back",
        "random_histories_get_the_answers_of_the_reference_store",
        "a_repeated_commit_is_recognised_after_three_others",
        "an_earlier_hold_is_fenced_off_by_a_later_one",
    ];
    for (name, commits) in names.iter().flat_map(|name| [(*name, WithTheRecord), (*name, ByVersionAlone)]) {
        let server = Server::start(kind);
        let clock = ManualClock::new();
        let builder = server.builder().clock(clock.clone());
        let outcome = run_case(Case::named(name).unwrap(), on(server, builder, commits).clock(clock)).await;
        assert!(matches!(outcome, Outcome::Passed), "{name}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_passes_by_a_clock_that_a_test_moves() {
    by_the_clock(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn valkey_passes_by_a_clock_that_a_test_moves() {
    by_the_clock(Kind::Valkey).await;
}

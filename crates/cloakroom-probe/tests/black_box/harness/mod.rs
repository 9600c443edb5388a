//! Starting the probe and talking to it.

#[path = "../../../../cloakroom-redis/tests/support/certificates.rs"]
pub mod certificates;
pub mod client;
pub mod disk;
pub mod dump;
pub mod lent;
pub mod monitor;
pub mod pace;
pub mod phps_layout;
pub mod probe;
pub mod response;
#[path = "../../../../cloakroom-redis/tests/support/mod.rs"]
pub mod servers;
pub mod visitor;

pub use client::{InFlight, Request};
pub use disk::Disk;
pub use pace::{Since, assert_wait, given_time, seconds, takes_less_than, time, until};
pub use probe::{Place, Probe};
pub use response::{Response, SetCookie};
pub use visitor::Visitor;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Makes a test of a case at each of these places.
macro_rules! at {
    ($case:ident, $run:ident: $($test:ident $place:ident)*) => {
        $(#[test]
        fn $test() { $crate::harness::$run(super::$case($crate::harness::Place::$place)) })*
    };
}

/// As `at`, for places in which the sessions are those of a PHP application.
macro_rules! at_phps_layout {
    ($case:ident: $($test:ident $place:ident)*) => {
        $(#[test]
        fn $test() {
            let place = $crate::harness::Place::$place;
            $crate::harness::phps_layout::run_on_phps_layout(stringify!($case), place, super::$case);
        })*
    };
}

/// Makes a test of each case for each store behind each framework.
macro_rules! everywhere {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            use crate::harness::{Place, run};

            $crate::harness::at! { $case, run:
                memory_axum MEMORY_AXUM
                memory_hyper MEMORY_HYPER
                sqlite_axum SQLITE_AXUM
                sqlite_hyper SQLITE_HYPER
                file_axum FILE_AXUM
                file_hyper FILE_HYPER
                redis_axum REDIS_AXUM
                redis_hyper REDIS_HYPER
                valkey_axum VALKEY_AXUM
                valkey_hyper VALKEY_HYPER
            }
            #[test]
            fn redis_cluster() {
                let either = [Place::CLUSTER_AXUM, Place::CLUSTER_HYPER];
                run(super::$case(Place::one_of(either, stringify!($case))))
            }
            #[test]
            fn valkey_cluster() {
                let either = [Place::VALKEY_CLUSTER_HYPER, Place::VALKEY_CLUSTER_AXUM];
                run(super::$case(Place::one_of(either, stringify!($case))))
            }
            $crate::harness::at_phps_layout! { $case:
                php_axum PHP_AXUM
                igbinary_hyper IGBINARY_HYPER
                php_files_axum PHP_FILES_AXUM
                mini_hyper MINI_HYPER
            }
        }
    )* };
}

/// As `everywhere`, and once more behind a near cache and over TLS: for what an outdated read or a call that takes longer would break.
macro_rules! everywhere_and_cached {
    ($($case:ident),* $(,)?) => {
        $crate::harness::everywhere! { $($case),* }
        $crate::harness::cached! { $($case),* }
        $crate::harness::cached_on_a_cluster! { $($case),* }
        $crate::harness::over_tls! { $($case),* }
    };
}

/// As `everywhere_and_cached`, and once more with two processes: for requests that overlap.
macro_rules! everywhere_and_side_by_side {
    ($($case:ident),* $(,)?) => {
        $crate::harness::everywhere_and_cached! { $($case),* }
        $crate::harness::side_by_side! { $($case),* }
    };
}

/// Makes a test of each case over TLS.
macro_rules! over_tls {
    ($($case:ident),* $(,)?) => {
        mod over_tls {
            use crate::harness::{Place, run};

            $(#[test]
            fn $case() {
                let either = [Place::TLS_AXUM, Place::TLS_HYPER];
                run(super::$case(Place::one_of(either, stringify!($case))))
            })*
        }
    };
}

/// Makes a module of each case at one place, two modules below the cases.
macro_rules! module {
    ($name:ident $place:ident: $($case:ident),*) => {
        mod $name {
            use crate::harness::{Place, run};

            $(#[test]
            fn $case() { run(super::super::$case(Place::$place)) })*
        }
    };
}

/// Makes a test of each case for two processes over one store, one behind each framework: requests that overlap are in different ones.
macro_rules! side_by_side {
    ($($case:ident),* $(,)?) => {
        mod side_by_side {
            $crate::harness::module! { redis REDIS_BOTH: $($case),* }
            $crate::harness::module! { valkey VALKEY_BOTH: $($case),* }
            $crate::harness::module! { redis_cluster CLUSTER_BOTH: $($case),* }
        }
    };
}

/// Makes a test of each case behind a near cache, in front of one server.
macro_rules! cached {
    ($($case:ident),* $(,)?) => {
        mod cached {
            $crate::harness::module! { redis NEAR_AXUM: $($case),* }
            $crate::harness::module! { valkey NEAR_VALKEY_HYPER: $($case),* }
        }
    };
}

/// Makes a test of each case behind a near cache, in front of a cluster.
macro_rules! cached_on_a_cluster {
    ($($case:ident),* $(,)?) => {
        mod cached_on_a_cluster {
            use crate::harness::{Place, run};

            $(#[test]
            fn $case() { run(super::$case(Place::NEAR_CLUSTER_AXUM)) })*
        }
    };
}

/// As `everywhere`, for what takes a store that outlives a process and serves several.
macro_rules! across_processes {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            $crate::harness::at! { $case, run:
                sqlite_axum SQLITE_AXUM
                sqlite_hyper SQLITE_HYPER
                file_axum FILE_AXUM
                file_hyper FILE_HYPER
                redis_axum REDIS_AXUM
                redis_hyper REDIS_HYPER
                valkey_axum VALKEY_AXUM
                valkey_hyper VALKEY_HYPER
                tls_axum TLS_AXUM
                near_axum NEAR_AXUM
                near_valkey_hyper NEAR_VALKEY_HYPER
                sentinel_axum SENTINEL_AXUM
                redis_cluster_axum CLUSTER_AXUM
                valkey_cluster_hyper VALKEY_CLUSTER_HYPER
            }
        }
    )* };
}

/// As `across_processes`, for what takes long when `CLOAKROOM_LONG` is set.
macro_rules! across_processes_for_long {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            $crate::harness::at! { $case, run_long:
                sqlite_axum SQLITE_AXUM
                redis_axum REDIS_AXUM
                valkey_hyper VALKEY_HYPER
                redis_cluster_hyper CLUSTER_HYPER
            }
        }
    )* };
}

/// As `everywhere`, for what only a store on the disk can show.
macro_rules! on_disk {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            $crate::harness::at! { $case, run:
                sqlite_axum SQLITE_AXUM
                sqlite_hyper SQLITE_HYPER
                file_axum FILE_AXUM
                file_hyper FILE_HYPER
            }
        }
    )* };
}

/// As `everywhere`, for what only a server can show.
macro_rules! on_redis {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            $crate::harness::at! { $case, run:
                redis_axum REDIS_AXUM
                redis_hyper REDIS_HYPER
                valkey_axum VALKEY_AXUM
                valkey_hyper VALKEY_HYPER
                sentinel_hyper SENTINEL_HYPER
            }
        }
    )* };
}

/// As `on_redis`, for what a cluster can show as well.
macro_rules! on_redis_and_clusters {
    ($($case:ident),* $(,)?) => {
        $crate::harness::on_redis! { $($case),* }

        mod on_a_cluster {
            $crate::harness::module! { redis CLUSTER_HYPER: $($case),* }
            $crate::harness::module! { valkey VALKEY_CLUSTER_AXUM: $($case),* }
        }
    };
}

pub(crate) use {
    across_processes, across_processes_for_long, at, at_phps_layout, cached, cached_on_a_cluster, everywhere,
    everywhere_and_cached, everywhere_and_side_by_side, module, on_disk, on_redis, on_redis_and_clusters,
    over_tls, side_by_side,
};

/// Runs a case; one that hangs is a failure.
pub fn run(case: impl Future<Output = ()>) {
    run_within(Duration::from_secs(300), case);
}

/// As `run`, for cases of many rounds in the long run.
pub fn run_long(case: impl Future<Output = ()>) {
    let long = std::env::var_os("CLOAKROOM_LONG").is_some();
    run_within(Duration::from_secs(if long { 3_600 } else { 300 }), case);
}

fn run_within(limit: Duration, case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(tokio::time::timeout(limit, case).await.is_ok(), "the case took more than {limit:?}");
    });
}

/// Sends a signal to a process, by name: `-STOP`.
pub fn signal(process: u32, name: &str) {
    let sent = std::process::Command::new("kill").args([name, &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

pub async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

tokio::task_local! {
    static TURN: usize;
}

/// Which of the requests in parallel this is; the first where there is one.
pub fn turn() -> usize {
    TURN.try_with(|turn| *turn).unwrap_or_default()
}

/// As one of several requests in parallel, this one.
pub fn as_turn<F: Future>(turn: usize, asked: F) -> impl Future<Output = F::Output> {
    TURN.scope(turn, asked)
}

/// Asks `make(0)`, `make(1)`, … `times` times, at most `at_once` of them at the same time; the answers in no order. Where there are two
/// processes, each is asked every second one.
pub async fn in_parallel<F, T>(times: usize, at_once: usize, make: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let room = Arc::new(Semaphore::new(at_once));
    let mut asked = JoinSet::new();
    for i in 0..times {
        let room = Arc::clone(&room);
        let answer = make(i);
        asked.spawn(as_turn(i, async move {
            let _turn = room.acquire().await.unwrap();
            answer.await
        }));
    }
    asked.join_all().await
}

//! The conformance suite over the layouts: whatever PHP's layout can offer at all.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;
#[path = "php_support/terms.rs"]
mod terms;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom_redis::php::{Layout, PhpServers, PhpStore};
use cloakroom_testing::conformance::Subject;
use support::cluster::Cluster;
use support::{Kind, Server};
use terms::{InPhpsTerms, Known, USER, conforms};

/// `php_serialize` and its like carry any name.
const ANY_NAME: &[&str] = &["awkward_keys_survive"];

/// A layout of the suite's.
type Begin = fn() -> Layout;

/// The servers have different weights.
fn open(servers: &[Server], begin: Begin, known: &Arc<Mutex<Known>>) -> Arc<dyn Store> {
    let layout = begin().user_variable(USER);
    let shares = servers.iter().map(Server::builder).zip(1..);
    let inner = Arc::new(PhpStore::new(PhpServers::new(shares).unwrap(), layout));
    Arc::new(InPhpsTerms::new(inner, known))
}

fn subject(servers: usize, begin: Begin) -> Subject {
    let servers: Arc<Vec<Server>> = Arc::new((0..servers).map(|_| Server::start(Kind::Redis)).collect());
    let known = Arc::<Mutex<Known>>::default();
    let (second, again) = ((servers.clone(), known.clone()), (servers.clone(), known.clone()));
    Subject::new(open(&servers, begin, &known))
        .second_handle(move || {
            let store = open(&second.0, begin, &second.1);
            async move { store }
        })
        .reopen(move |old| {
            let (servers, known) = again.clone();
            async move {
                servers.iter().for_each(Server::start_again);
                drop(old);
                open(&servers, begin, &known)
            }
        })
        // Many layouts at once on a busy machine: twice the usual time for what has to be done before a deadline.
        .tick(Duration::from_millis(800))
        .keep(servers)
}

async fn passes(begin: Begin, offered: &[&str]) {
    passes_on(1, begin, offered).await;
}

async fn passes_on(servers: usize, begin: Begin, offered: &[&str]) {
    let begun =
        move || async move { tokio::task::spawn_blocking(move || subject(servers, begin)).await.unwrap() };
    conforms(begun, &[], offered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_phpredis_passes_in_the_php_format() {
    passes(Layout::phpredis, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_phpredis_passes_in_igbinary() {
    passes(|| Layout::phpredis().serialize_handler("igbinary").unwrap(), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_phpredis_passes_spread_over_two_servers() {
    passes_on(2, Layout::phpredis, &[]).await;
}

/// All cases on one cluster, with a prefix each.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_phpredis_passes_in_a_cluster() {
    let cluster = tokio::task::spawn_blocking(|| Arc::new(Cluster::start(Kind::Redis))).await.unwrap();
    let subject = move || {
        let (builder, known) = (cluster.builder().prefix(cluster.prefix()), Arc::<Mutex<Known>>::default());
        let layout = Layout::phpredis().in_cluster().unwrap().prefix(cluster.prefix()).user_variable(USER);
        let open = move || -> Arc<dyn Store> {
            let inner = PhpStore::new(PhpServers::new([(builder.clone(), 1)]).unwrap(), layout.clone());
            Arc::new(InPhpsTerms::new(Arc::new(inner), &known))
        };
        let first = open();
        let second = move || {
            let store = open();
            async move { store }
        };
        async move { Subject::new(first).second_handle(second).tick(Duration::from_millis(800)) }
    };
    conforms(subject, &[], &[]).await;
}

#[cfg(feature = "php-compression")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_phpredis_passes_compressed() {
    use cloakroom_redis::php::Compression;
    passes(|| Layout::phpredis().compression(Some(Compression::Lz4)).unwrap(), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_1ma_passes() {
    passes(Layout::uma, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_phalcon_passes() {
    passes(Layout::phalcon, ANY_NAME).await;
}

#[cfg(feature = "laravel")]
fn laravel() -> cloakroom_redis::php::LaravelApp {
    use cloakroom_redis::php::{AppKey, Cipher, Encrypter, LaravelApp};
    let key: AppKey = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse().unwrap();
    LaravelApp::new(Encrypter::new(Cipher::Gcm, key, []))
}

#[cfg(feature = "laravel")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_laravel_passes() {
    passes(|| Layout::laravel(laravel()), ANY_NAME).await;
}

#[cfg(feature = "laravel")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_laravel_passes_encrypted() {
    passes(|| Layout::laravel(laravel().encrypt()), ANY_NAME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_amphp_passes() {
    passes(Layout::amp, ANY_NAME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_amphp_passes_under_its_mutex() {
    passes(|| Layout::amp().redis_mutex("").unwrap(), ANY_NAME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_resonance_passes() {
    passes(Layout::resonance, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_symfony_passes() {
    passes(Layout::symfony, ANY_NAME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_layout_of_symfony_passes_in_igbinary() {
    passes(|| Layout::symfony().serialize_handler("igbinary").unwrap(), ANY_NAME).await;
}

//! The conformance suite over the layouts: whatever PHP's layout can offer at all.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;
#[path = "php_support/terms.rs"]
mod terms;

use std::sync::{Arc, Mutex};

use cloakroom::store::Store;
use cloakroom_redis::php::{Layout, PhpServer, PhpStore};
use cloakroom_testing::conformance::Subject;
use support::{Kind, Server};
use terms::{InPhpsTerms, Known, USER, conforms};

/// `php_serialize` and its like carry any name.
const ANY_NAME: &[&str] = &["awkward_keys_survive"];

/// A layout of the suite's.
type Begin = fn() -> Layout;

fn open(server: &Server, begin: Begin, known: &Arc<Mutex<Known>>) -> Arc<dyn Store> {
    let layout = begin().user_variable(USER);
    let inner = Arc::new(PhpStore::new(PhpServer::new(server.builder()).unwrap(), layout));
    Arc::new(InPhpsTerms::new(inner, known))
}

fn subject(begin: Begin) -> Subject {
    let server = Arc::new(Server::start(Kind::Redis));
    let known = Arc::<Mutex<Known>>::default();
    let (second, again) = ((server.clone(), known.clone()), (server.clone(), known.clone()));
    Subject::new(open(&server, begin, &known))
        .second_handle(move || {
            let store = open(&second.0, begin, &second.1);
            async move { store }
        })
        .reopen(move |old| {
            let (server, known) = again.clone();
            async move {
                server.start_again();
                drop(old);
                open(&server, begin, &known)
            }
        })
        .keep(server)
}

async fn passes(begin: Begin, offered: &[&str]) {
    conforms(async || subject(begin), &[], offered).await;
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

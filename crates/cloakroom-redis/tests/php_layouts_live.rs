//! One visitor on both sides, where PHP has a session handler of its application's: their storage, command by command, under PHP-FPM.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod php_support;
mod support;

use std::sync::Arc;

use cloakroom_redis::php::Layout;
use cloakroom_testing::processes::rounds;
use php_support::shop::{self, Setup, Shop};

const HANDLER: &str = include_str!("php/locking_handler.php");

/// 1ma/RedisSessionHandler with this format, under PHP 8 (`session.lazy_write` off, without which it dies there).
fn uma(format: &'static str) -> Arc<Shop> {
    let constants =
        "<?php const PREFIX = 'PHPREDIS_SESSION:', LIFETIME = 1440, LOOKS_BEFORE_WRITING = false;\n";
    let begins = format!("{constants}{}", HANDLER.trim_start_matches("<?php"));
    let settings = handler_settings(format);
    let layout = Layout::uma().serialize_handler(format).unwrap();
    Shop::open(Setup { begins: &begins, settings, ..Setup::new(layout) })
}

/// PhalconSessionRedis.
fn phalcon() -> Arc<Shop> {
    let constants = "<?php const PREFIX = 'SESSIONS:', LIFETIME = 3600, LOOKS_BEFORE_WRITING = true;\n";
    let begins = format!("{constants}{}", HANDLER.trim_start_matches("<?php"));
    let settings = handler_settings("php_serialize");
    Shop::open(Setup { begins: &begins, prefix: "SESSIONS:", settings, ..Setup::new(Layout::phalcon()) })
}

fn handler_settings(format: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![("session.serialize_handler", format), ("session.use_strict_mode", "1"), ("session.lazy_write", "0")]
}

/// A page on these constants, and the storage of an application that does not use PHP's session module.
fn page(constants: &str, storage: &str) -> String {
    let rest = [storage, include_str!("php/storage.php")].map(|part| part.trim_start_matches("<?php"));
    format!("<?php const {constants};\n{}{}", rest[0], rest[1])
}

/// amphp's storage, under its `RedisMutex` or not; Phenix' is the same.
fn amp(layout: Layout, cookie: &str, mutex: bool) -> Arc<Shop> {
    let begins = page(&format!("COOKIE = '{cookie}', MUTEX = {mutex}"), include_str!("php/amp.php"));
    let layout = if mutex { layout.redis_mutex("").unwrap() } else { layout };
    Shop::open(Setup { begins: &begins, prefix: "session:", cookie, ..Setup::new(layout) })
}

fn resonance(igbinary: bool) -> Arc<Shop> {
    let constants = format!("COOKIE = 'dmsession', IGBINARY = {igbinary}");
    let begins = page(&constants, include_str!("php/resonance.php"));
    let format = if igbinary { "igbinary" } else { "php_serialize" };
    let layout = Layout::resonance().serialize_handler(format).unwrap();
    let setup = Setup { begins: &begins, cookie: "dmsession", ..Setup::new(layout) };
    Shop::open(Setup { prefix: "dm:.session", endless: true, called: format, ..setup })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn x02_a_visitor_is_served_by_both_on_amphp_and_phenix() {
    shop::a_visit(&amp(Layout::amp(), "session", false), false).await;
    shop::a_visit(&amp(Layout::amp(), "session", true), false).await;
    shop::a_visit(&amp(Layout::phenix(), "phenix_session", false), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r06_a_visitor_is_served_by_both_on_resonance() {
    for igbinary in [true, false] {
        shop::a_visit(&resonance(igbinary), false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn x04_two_hundred_increments_under_amphps_mutex_are_two_hundred() {
    for _ in 0..rounds(1, 5) {
        shop::two_hundred_increments(&amp(Layout::amp(), "session", true)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_where_php_takes_no_lock_it_loses_its_own_and_nothing_to_us() {
    for shop in [amp(Layout::amp(), "session", false), resonance(true)] {
        let lost = shop::without_a_lock(&shop).await;
        println!("PHP alone lost {lost} of its own 100 increments");
        shop.is_content();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p03_a_visitor_is_served_by_both_under_the_lock_of_1ma() {
    for format in ["php", "php_serialize", "igbinary"] {
        shop::a_visit(&uma(format), false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p03_a_visitor_is_served_by_both_under_the_lock_of_phalcon() {
    shop::a_visit(&phalcon(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p11_two_hundred_increments_on_both_sides_at_once_are_two_hundred() {
    for _ in 0..rounds(1, 5) {
        for shop in [uma("php"), phalcon()] {
            shop::two_hundred_increments(&shop).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p05_a_made_up_id_is_adopted_by_neither() {
    for (shop, prefix) in [(uma("php"), "PHPREDIS_SESSION:"), (phalcon(), "SESSIONS:")] {
        let made_up = "0123456789abcdefghijklmnop";
        let mut by_php = Some(made_up.to_owned());
        shop.php("do=set&key=n&value=1", &mut by_php);
        let mut by_us = Some(made_up.to_owned());
        shop.rust(&mut by_us, async |session| session.set("n", 1).unwrap()).await;
        for id in [by_php, by_us] {
            let id = id.unwrap();
            assert_ne!(id, made_up);
            assert!(shop.exists(&format!("{prefix}{id}")));
        }
        assert!(!shop.exists(&format!("{prefix}{made_up}")));
        shop.is_content();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_of_the_lock() {
    shop::hold_the_lock().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p04_a_killed_holder_leaves_a_lock_with_an_owner_and_an_expiry_and_php_goes_on() {
    shop::a_holder_is_killed(&uma("php"), "uma", "_lock").await;
    shop::a_holder_is_killed(&phalcon(), "phalcon", "_lock").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_of_a_handler_of_its_own_goes_on_when_php_goes() {
    for shop in [uma("igbinary"), phalcon(), resonance(true)] {
        shop::a_move(&shop).await;
    }
    shop::a_move(&amp(Layout::amp(), "session", true)).await;
    shop::a_move(&amp(Layout::phenix(), "phenix_session", false)).await;
}

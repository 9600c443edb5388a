//! One visitor on both sides: Symfony's session storage in PHP-FPM, step by step, and this library, on one Redis.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod php_support;
mod support;

use std::sync::Arc;

use cloakroom_redis::php::Layout;
use cloakroom_testing::processes::rounds;
use php_support::shop::{self, Setup, Shop};

/// Symfony over its own handler, or over what php.ini says.
fn symfony(layout: Layout, format: &'static str, settings: &[(&'static str, &'static str)]) -> Arc<Shop> {
    let own = layout.name() == "symfony";
    let begins = format!(
        "<?php const OWN_HANDLER = {own};\n{}",
        include_str!("php/symfony.php").trim_start_matches("<?php")
    );
    let mut all = vec![("session.serialize_handler", format), ("session.use_strict_mode", "1")];
    all.extend(settings);
    let prefix = if own { "sf_s" } else { "PHPREDIS_SESSION:" };
    let layout = layout.serialize_handler(format).unwrap();
    Shop::open(Setup { begins: &begins, prefix, settings: all, ..Setup::new(layout) })
}

const PHPREDIS: [(&str, &str); 4] = [
    ("session.save_handler", "redis"),
    ("redis.session.locking_enabled", "1"),
    ("redis.session.lock_expire", "20"),
    ("redis.session.lock_retries", "-1"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_symfony_and_rust() {
    for format in ["php", "php_serialize", "igbinary"] {
        shop::a_visit(&symfony(Layout::symfony(), format, &[]), false).await;
        shop::a_visit(&symfony(Layout::symfony_phpredis(), format, &PHPREDIS), false).await;
    }
}

/// The bags of PHP are references that nothing in the session shares, which igbinary says of them; an attribute is taken away and an emptied bag as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn flash_messages_of_symfonys_and_emptied_bags_are_as_symfony_has_them() {
    for format in ["php", "igbinary"] {
        let shop = symfony(Layout::symfony(), format, &[]);
        let mut id = None;
        shop.php("do=set&key=n&value=1&flash=1", &mut id);
        if format == "igbinary" {
            let told = shop.server().raw(&format!(
                "EVAL \"return string.find(redis.call('GET',KEYS[1]),string.char(0x25,0x14),1,true) and 1 or 0\" 1 sf_s{}",
                id.as_deref().unwrap()
            ));
            assert!(told.starts_with(":1"), "an array under a reference: {told}");
        }
        shop.rust(&mut id, async |session| {
            assert_eq!(session.get("n").unwrap(), Some(1));
            assert_eq!(session.keys(), ["n"]);
            session.remove("n").unwrap();
        })
        .await;
        assert_eq!(shop.php("flashes=1", &mut id), r#"{"notice":["Saved."]}"#, "{format}");
        shop.rust(&mut id, async |session| session.set("m", 2).unwrap()).await;
        assert_eq!(shop.php("do=read&key=m", &mut id), "2", "{format}");
        assert_eq!(shop.php("do=read&key=n", &mut id), "null", "{format}");
        shop.is_content();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_two_hundred_increments_under_phpredis_lock_are_two_hundred_in_symfonys_bags_too() {
    for _ in 0..rounds(1, 5) {
        shop::two_hundred_increments(&symfony(Layout::symfony_phpredis(), "igbinary", &PHPREDIS)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_of_symfony_goes_on_when_php_goes() {
    shop::a_move(&symfony(Layout::symfony(), "igbinary", &[])).await;
    shop::a_move(&symfony(Layout::symfony_phpredis(), "php", &PHPREDIS)).await;
}

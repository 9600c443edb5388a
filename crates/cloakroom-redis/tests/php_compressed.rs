//! Sessions that phpredis compresses: with PHP-FPM, and where the test plays PHP.
#![cfg(feature = "php-compression")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod php_support;
mod support;

use std::sync::Arc;

use cloakroom::{ErrorKind, Mode};
use cloakroom_redis::php::{Compression, Layout};
use php_support::service::{Service, opened};
use php_support::shop::{self, Setup, Shop};

const ID: &str = "0123456789abcdefghijklmnop";

/// Text that gets short.
fn long() -> String {
    "abc,".repeat(500)
}

/// phpredis' session handler, which compresses.
fn open(by: Compression, format: &'static str) -> Arc<Shop> {
    let begins = format!(
        "<?php const COMPRESSION = '{by}';\n{}",
        include_str!("php/compressing_handler.php").trim_start_matches("<?php")
    );
    let settings = vec![
        ("redis.session.compression", by.name()),
        ("session.serialize_handler", format),
        ("session.use_strict_mode", "1"),
    ];
    let layout = Layout::phpredis().serialize_handler(format).unwrap().compression(Some(by)).unwrap();
    Shop::open(Setup { begins: &begins, called: by.name(), settings, ..Setup::new(layout) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_both_where_phpredis_compresses() {
    for by in Compression::ALL {
        for format in ["php", "igbinary"] {
            let shop = open(by, format);
            shop::a_visit(&shop, false).await;
            // Whoever wrote last has compressed it.
            let mut id = None;
            shop.php(&format!("do=set&key=text&value=%22{}%22", long()), &mut id);
            let key = format!("PHPREDIS_SESSION:{}", id.as_ref().unwrap());
            let is_short = || {
                let told = shop.server().raw(&format!("STRLEN {key}"));
                let length: usize = told.strip_prefix(':').unwrap().lines().next().unwrap().parse().unwrap();
                assert!((20..300).contains(&length), "{by}: {length}");
            };
            is_short();
            let text: String =
                shop.rust(&mut id, async |session| session.get("text").unwrap().unwrap()).await;
            assert_eq!(text, long(), "{by}");
            shop.rust(&mut id, async |session| session.put("n", 1).await.unwrap()).await;
            is_short();
            assert_eq!(shop.php("do=read&key=text", &mut id), format!("\"{}\"", long()), "{by}");
            shop.is_content();
        }
    }
}

#[tokio::test]
async fn a_session_from_before_the_setting_goes_on_and_is_compressed_with_the_next_write() {
    for by in Compression::ALL {
        let service = Service::on(Layout::phpredis().compression(Some(by)).unwrap(), Mode::Merge);
        service.php_writes(ID, format!("text|s:{}:\"{}\";", long().len(), long()));
        let handle = service.request(ID);
        let session = opened(&handle).await;
        assert_eq!(session.get::<String>("text").unwrap().unwrap(), long(), "{by}");
        session.set("n", 7).unwrap();
        service.close(&handle).await.unwrap();
        let stored = service.bytes(ID);
        assert!(stored.len() < 300, "{by}: {}", stored.len());
        let read = by.decompress(&stored, cloakroom_php::Limits::default()).unwrap();
        assert_eq!(*read, *format!("text|s:{}:\"{}\";n|i:7;", long().len(), long()).as_bytes(), "{by}");
    }
}

/// PHP takes it for a session that is not compressed, and begins another one in its place.
#[tokio::test]
async fn c4_a_value_that_cannot_be_decompressed_is_an_error_and_stays_as_it_is() {
    for (by, stored) in [
        (Compression::Lzf, &b"\x07n|i:1;"[..]),
        (Compression::Lz4, b"\xde\x06\0\0\0\x60n|i:1"),
        (Compression::Zstd, b"\x28\xb5\x2f\xfd\x20\x07\x31\0\0n|i:1;"),
    ] {
        let service = Service::on(Layout::phpredis().compression(Some(by)).unwrap(), Mode::Merge);
        service.php_writes(ID, stored);
        let error = service.request(ID).open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{by}: {error}");
        assert_eq!(service.bytes(ID), stored, "{by}");
    }
}

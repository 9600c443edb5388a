//! PHP's sessions in a Redis Cluster: phpredis' handler `rediscluster` in PHP-FPM, and this library.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod php_support;
mod support;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::{Loaded, Store, StoreErrorKind};
use cloakroom_php::ini::PhpIni;
use cloakroom_redis::php::{Layout, PhpServer, PhpServers, PhpSettings, PhpStore};
use cloakroom_redis::{BuildError, Durability};
use php_support::shop::{self, Setup, Shop};
use support::cluster::Cluster;
use support::{Kind, Server};

fn open(format: &'static str) -> Arc<Shop> {
    let settings = vec![
        ("session.save_handler", "rediscluster"),
        ("session.serialize_handler", format),
        ("session.use_strict_mode", "1"),
        // It takes none there.
        ("redis.session.locking_enabled", "1"),
    ];
    let layout = Layout::phpredis().in_cluster().unwrap().serialize_handler(format).unwrap();
    let prefix = "PHPREDIS_CLUSTER_SESSION:";
    Shop::open(Setup { prefix, weights: &[], called: format, settings, ..Setup::new(layout) })
}

/// Ids are of all slots, so a change of id leads from node to node.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c4_a_visitor_is_served_by_both_in_a_cluster_and_ids_lead_from_slot_to_slot() {
    for format in ["php", "igbinary"] {
        let shop = open(format);
        for _ in 0..4 {
            shop::a_visit(&shop, false).await;
        }
        let mut id = None;
        shop.php("do=set&key=n&value=0", &mut id);
        for n in 1..=10 {
            let old = id.clone().unwrap();
            shop.rust(&mut id, async |session| {
                session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap();
                session.regenerate().await.unwrap();
            })
            .await;
            assert_eq!(shop.php("do=read&key=n", &mut id), n.to_string());
            let gone = format!("EXISTS PHPREDIS_CLUSTER_SESSION:{old}");
            assert!(shop.servers().iter().all(|node| !node.raw(&gone).starts_with(":1")));
        }
        assert!(shop.servers().iter().all(|node| !node.raw("DBSIZE").starts_with(":0")), "one has nothing");
        shop.is_content();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_in_a_cluster_php_loses_its_own_and_nothing_to_us() {
    let shop = open("php");
    shop::without_a_lock(&shop).await;
    shop.is_content();
}

/// The keys of a session go one by one, so that some are here and some are there. PHP does nothing meanwhile: what becomes of that is its own affair.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_nothing_is_lost_while_the_slot_of_a_session_moves() {
    let shop = open("php");
    let mut id = None;
    shop.php("do=set&key=n&value=0", &mut id);
    let key = format!("PHPREDIS_CLUSTER_SESSION:{}", id.as_ref().unwrap());
    let slot = shop.cluster().slot(&key);
    let from = shop.cluster().first_owner(slot);
    let moving = shop.clone();
    let moved = tokio::task::spawn_blocking(move || {
        moving.cluster().move_slot(slot, from, (from + 1) % 3, Duration::from_millis(200));
    });
    let mut made = 0;
    while !moved.is_finished() || made < 20 {
        shop.adds("n", &mut id).await;
        made += 1;
    }
    moved.await.unwrap();
    shop.adds("n", &mut id).await;
    assert_eq!(shop.php("do=read&key=n", &mut id), (made + 1).to_string());
    assert!(shop.servers()[(from + 1) % 3].raw(&format!("EXISTS {key}")).starts_with(":1"));
    shop.is_content();
}

/// phpredis begins a session with a value of no bytes where it is strict, whatever the format. By PHP's own settings.
#[tokio::test]
async fn a_session_that_php_only_began_is_one_without_variables() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Kind::Redis)).await.unwrap();
    for format in ["php", "php_serialize", "php_binary", "igbinary", "msgpack"] {
        let mut ini = PhpIni::default();
        let node = cluster.nodes[1].port();
        let text = format!(
            "session.save_handler = rediscluster\nsession.serialize_handler = {format}\n\
             session.save_path = \"seed[]=127.0.0.1:{node}&prefix=shop:\"\n"
        );
        ini.add("php.ini", text.as_bytes());
        let php = PhpSettings::of(&ini.session()).unwrap();
        let servers = PhpServers::new(php.servers).unwrap();
        let looking = PhpServers::new([(cluster.builder(), 1)]).unwrap();
        let store = PhpStore::new(servers, php.layout);
        let ids = store.conventions().unwrap().ids;
        let id = ids.hold(&[b'a'; 32]).unwrap();
        let key = format!("shop:{}", id.expose());
        let owner = &cluster.nodes[cluster.first_owner(cluster.slot(&key))];
        assert!(owner.raw(&format!("SET {key} \"\" EX 60")).starts_with("+OK"));
        assert_eq!(looking.value(&key).await.unwrap(), Some(Vec::new()));
        match store.load(id.key()).await.unwrap() {
            Loaded::Live(snapshot) => assert!(snapshot.record.payload.is_empty(), "{format}"),
            other => panic!("{format}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_does_not_belong_in_a_cluster_is_refused() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Kind::Redis)).await.unwrap();
    let server = Server::start(Kind::Redis);
    assert_eq!(PhpServer::new(cluster.builder()).unwrap_err(), BuildError::PhpInCluster);
    for several in [[cluster.builder(), server.builder()], [server.builder(), cluster.builder()]] {
        let several = PhpServers::new(several.map(|builder| (builder, 1)));
        assert_eq!(several.unwrap_err(), BuildError::PhpInCluster);
    }
    let waiting = cluster.builder().durability(Durability::replicas(1));
    assert_eq!(PhpServers::new([(waiting, 1)]).unwrap_err(), BuildError::PhpDurabilityInCluster);
    // A layout whose lock would be in another slot.
    let store = PhpStore::new(PhpServers::new([(cluster.builder(), 1)]).unwrap(), Layout::phpredis());
    let ids = store.conventions().unwrap().ids;
    let id = ids.hold(&[b'a'; 32]).unwrap();
    let refused = store.load(id.key()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Refused);
    assert!(refused.to_string().contains("Layout::in_cluster"), "{refused}");
    assert!(Layout::uma().in_cluster().is_err());
}

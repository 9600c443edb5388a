//! A PHP application under PHP-FPM and a service of ours, on one Redis, and what a visitor does with both.

#![allow(unreachable_pub)]

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::{Locking, Session, SessionManager};
use cloakroom_redis::RedisBuilder;
use cloakroom_redis::php::{Layout, MovingStore, PhpServer, PhpServers, PhpStore, Stage};
use cloakroom_testing::processes;
use http::Request;

use super::both::{self, Both};
use super::fpm::Fpm;
use crate::support::cluster::Cluster;
use crate::support::{Kind, Server};

/// How PHP keeps its sessions, and what they are here.
pub struct Setup<'s> {
    pub layout: Layout,
    /// For messages: which of several.
    pub called: &'s str,
    /// What the page begins with: where PHP's own module does not do it.
    pub begins: &'s str,
    /// What keys of sessions begin with.
    pub prefix: &'s str,
    pub cookie: &'s str,
    /// Whether PHP's keys have no expiry.
    pub endless: bool,
    /// One for each server that the sessions are spread over. None: they are in a cluster.
    pub weights: &'s [u32],
    pub settings: Vec<(&'s str, &'s str)>,
}

impl Setup<'_> {
    pub fn new(layout: Layout) -> Self {
        let called = layout.name();
        Setup {
            layout,
            called,
            begins: "",
            prefix: "PHPREDIS_SESSION:",
            cookie: "PHPSESSID",
            endless: false,
            weights: &[1],
            settings: Vec::new(),
        }
    }
}

/// Where the sessions are.
enum Place {
    Servers(Vec<Server>),
    Cluster(Cluster),
}

/// A PHP application and a service of ours, and the servers that both have their sessions in.
pub struct Shop {
    both: Both,
    place: Place,
    weights: Vec<u32>,
    layout: Layout,
    prefix: String,
    endless: bool,
}

impl Deref for Shop {
    type Target = Both;

    fn deref(&self) -> &Both {
        &self.both
    }
}

impl Place {
    fn start(weights: &[u32]) -> Self {
        match weights {
            [] => Place::Cluster(Cluster::start(Kind::Redis)),
            _ => Place::Servers(weights.iter().map(|_| Server::start(Kind::Redis)).collect()),
        }
    }

    /// As PHP is told of it.
    fn save_path(&self, weights: &[u32]) -> String {
        let at = |server: &Server| format!("127.0.0.1:{}", server.port());
        match self {
            Place::Cluster(cluster) => {
                let seeds = cluster.primaries().iter().map(|node| format!("seed[]={}", at(node)));
                seeds.collect::<Vec<_>>().join("&")
            }
            Place::Servers(servers) => match servers.as_slice() {
                [only] => format!("tcp://{}", at(only)),
                several => {
                    let weighed = several.iter().zip(weights);
                    let each =
                        weighed.map(|(server, weight)| format!("tcp://{}?weight={weight}", at(server)));
                    each.collect::<Vec<_>>().join(",")
                }
            },
        }
    }

    /// As we are.
    fn shares(&self, weights: &[u32]) -> Vec<(RedisBuilder, u32)> {
        match self {
            Place::Cluster(cluster) => vec![(cluster.builder(), 1)],
            Place::Servers(servers) => {
                servers.iter().zip(weights).map(|(server, weight)| (server.builder(), *weight)).collect()
            }
        }
    }
}

impl Shop {
    pub fn open(setup: Setup<'_>) -> Arc<Self> {
        let place = Place::start(setup.weights);
        let save_path = place.save_path(setup.weights);
        let mut settings = vec![("session.save_path", save_path.as_str()), ("serialize_precision", "-1")];
        settings.extend(setup.settings);
        let php = Fpm::start(&both::page(setup.begins), setup.cookie, &settings);
        let layout = setup.layout.user_variable("user_id");
        let config = both::patient(layout.session_config(), layout.locking());
        let store = PhpStore::new(PhpServers::new(place.shares(setup.weights)).unwrap(), layout.clone());
        let rust = SessionManager::new(store, config).unwrap();
        let both = Both::new(php, rust, setup.called);
        let (prefix, endless, weights) = (setup.prefix.to_owned(), setup.endless, setup.weights.to_vec());
        Arc::new(Shop { both, place, weights, layout, prefix, endless })
    }

    /// The service at some stage of its way out of PHP's layout.
    fn at(&self, stage: Stage) -> SessionManager {
        let php =
            PhpStore::new(PhpServers::new(self.place.shares(&self.weights)).unwrap(), self.layout.clone());
        let new = Arc::new(self.server().builder().build().unwrap());
        SessionManager::new(MovingStore::new(php, new, stage), self.layout.session_config()).unwrap()
    }

    /// All of them; of a cluster, its primaries.
    pub fn servers(&self) -> &[Server] {
        match &self.place {
            Place::Servers(servers) => servers,
            Place::Cluster(cluster) => cluster.primaries(),
        }
    }

    /// The cluster that they are in.
    pub fn cluster(&self) -> &Cluster {
        match &self.place {
            Place::Cluster(cluster) => cluster,
            Place::Servers(_) => panic!("no cluster"),
        }
    }

    /// The first of them, and most often the only one.
    pub fn server(&self) -> &Server {
        &self.servers()[0]
    }

    pub fn exists(&self, key: &str) -> bool {
        self.server().raw(&format!("EXISTS {key}")).starts_with(":1")
    }

    /// Locks, and what has no expiry (but for what PHP keeps for ever). "lock" as a word: within one a random id may have it.
    pub fn leftovers(&self) -> String {
        let for_ever = if self.endless { self.prefix.as_str() } else { "none" };
        let script = "local all='' for _,key in ipairs(redis.call('KEYS','*')) do \
            local endless=redis.call('PTTL',key)<0 and string.sub(key,1,#ARGV[1])~=ARGV[1] \
            local name=string.lower(key) \
            if string.find(name,'%f[%a]lock') or string.find(name,'lock:') or endless then all=all..key..' ' end end return all";
        let left = |server: &Server| {
            let answer = server.raw(&format!("EVAL \"{script}\" 0 {for_ever}"));
            answer.split_once("\r\n").unwrap().1.split("\r\n").next().unwrap().to_owned()
        };
        self.servers().iter().map(left).collect()
    }

    pub fn is_content(&self) {
        self.php_is_content();
        assert_eq!(self.leftovers(), "", "{}", self.called);
    }
}

/// A visit, and nothing is left over.
pub async fn a_visit(shop: &Shop, plain: bool) {
    both::a_visit(shop, plain).await;
    shop.is_content();
}

/// A visitor of PHP's on the day on which PHP goes.
pub async fn a_move(shop: &Shop) {
    let called = &shop.called;
    let mut id = None;
    shop.php("do=set&key=basket&value=%5B%7B%22sku%22%3A%22A1%22%2C%22qty%22%3A2%7D%5D", &mut id);
    shop.php("do=objects&plain=1", &mut id);
    shop.php("do=login", &mut id);
    let by_php = id.clone();
    // While PHP has routes, both count.
    let add =
        async |session: &Session| session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap();
    let before = shop.at(Stage::Prepare);
    assert_eq!(shop.served(&before, &mut id, add).await, 1, "{called}");
    assert_eq!(shop.php("do=add", &mut id), "null", "{called}");
    assert_eq!(shop.php("do=intact&plain=1", &mut id), "true", "{called}");
    // Then PHP has none.
    let service = shop.at(Stage::Move);
    assert_eq!(shop.served(&service, &mut id, add).await, 3, "{called}");
    let key = format!("{}{}", shop.prefix, by_php.as_deref().unwrap());
    assert!(
        shop.servers().iter().all(|server| server.raw(&format!("EXISTS {key}")).starts_with(":0")),
        "{called}"
    );
    let look = async |session: &Session| {
        let basket: Vec<BTreeMap<String, serde_json::Value>> = session.get("basket").unwrap().unwrap();
        let node: BTreeMap<String, serde_json::Value> = session.get("node").unwrap().unwrap();
        assert_eq!((basket[0]["sku"].as_str(), node["name"].as_str()), (Some("A1"), Some("a")), "{called}");
        session.user().map(|user| user.as_str().to_owned())
    };
    assert_eq!(shop.served(&service, &mut id, look).await.as_deref(), Some("7"), "{called}");
    assert_eq!(id, by_php, "{called}: the id stays");
    // A late request of PHP's finds nothing, and what it writes is not loaded.
    assert_eq!(shop.php("do=read&key=n", &mut id.clone()), "null", "{called}");
    shop.php("do=add", &mut id.clone());
    for stage in [Stage::Prepare, Stage::Move, Stage::Done] {
        assert_eq!(shop.served(&shop.at(stage), &mut id, look).await.as_deref(), Some("7"), "{called}");
    }
    let mut gone = id.clone();
    shop.served(&service, &mut id, async |session| session.destroy().await.unwrap()).await;
    assert!(shop.served(&before, &mut gone, async |session| session.is_empty()).await, "{called}");
    shop.php_is_content();
}

/// 200 increments on both sides, and nothing is left over.
pub async fn two_hundred_increments(shop: &Shop) {
    both::two_hundred_increments(shop).await;
    shop.is_content();
}

/// Where PHP takes no lock: nothing that PHP stored is lost to us, nor anything between requests of ours; answers with how many of its
/// own 100 increments at ten in parallel PHP loses by itself.
pub async fn without_a_lock(shop: &Arc<Shop>) -> u64 {
    let mut id = None;
    shop.php("do=set&key=n&value=0", &mut id);
    // Ours alone, on two keys of one value.
    let visitor = id.clone();
    let ours = |key: &'static str, tasks: usize| {
        let adding = (0..tasks).map(|_| {
            let (shop, mut id) = (shop.clone(), visitor.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    shop.adds(key, &mut id).await;
                }
            })
        });
        adding.collect::<Vec<_>>()
    };
    let all = ours("a", 10).into_iter().chain(ours("b", 10));
    for task in all.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(shop.php("do=read&key=a", &mut id), "100", "{}", shop.called);
    assert_eq!(shop.php("do=read&key=b", &mut id), "100", "{}", shop.called);
    // PHP one request at a time, and ours meanwhile: whatever PHP's loses, it would lose to us.
    let beside = ours("c", 4);
    let (theirs, mut by_php) = (shop.clone(), id.clone());
    let php = tokio::task::spawn_blocking(move || {
        (0..60).for_each(|_| {
            theirs.php("do=add", &mut by_php);
        });
    });
    php.await.unwrap();
    for task in beside {
        task.await.unwrap();
    }
    assert_eq!(shop.php("do=read&key=n", &mut id), "60", "{}", shop.called);
    php_alone(shop, &mut id).await
}

/// How many of its own 100 increments at ten in parallel PHP loses by itself.
pub async fn php_alone(shop: &Shop, id: &mut Option<String>) -> u64 {
    shop.php("do=set&key=n&value=0", id);
    let adding = (0..10).map(|_| {
        let (both, mut id) = (shop.both.clone(), id.clone());
        tokio::task::spawn_blocking(move || {
            (0..10).for_each(|_| {
                both.php("do=add", &mut id);
            });
        })
    });
    for task in adding.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    100 - shop.php("do=read&key=n", id).parse::<u64>().unwrap()
}

/// The process of a holder: a test program, which takes the lock and waits to be killed. Called by a test of the name
/// `a_holder_of_the_lock`, which does nothing where it is not told what to hold.
pub async fn hold_the_lock() {
    let Some((told, socket)) = processes::role() else { return };
    let [name, cookie, id] = <[&str; 3]>::try_from(told.split(' ').collect::<Vec<_>>()).unwrap();
    let layout: Layout = name.parse().unwrap();
    let short = Locking { lease: Duration::from_millis(1500), ..Locking::default() };
    let config = layout.session_config().locking(short);
    let server = cloakroom_redis::RedisStore::builder(&format!("unix://{}", socket.display())).unwrap();
    let sessions =
        SessionManager::new(PhpStore::new(PhpServer::new(server).unwrap(), layout), config).unwrap();
    let request = Request::builder().header("cookie", format!("{cookie}={id}")).body(()).unwrap();
    let session = sessions.open(&request, None).open().await.unwrap();
    let _guard = session.lock().await.unwrap();
    std::future::pending::<()>().await;
}

/// A holder of ours is killed: its lock has an owner and an expiry, and PHP goes on when that is over.
pub async fn a_holder_is_killed(shop: &Shop, layout: &str, lock_suffix: &str) {
    let mut id = None;
    shop.php("do=set&key=n&value=1", &mut id);
    let told = id.clone().unwrap();
    let role = format!("{layout} {} {told}", shop.php.cookie());
    let mut holder =
        processes::command(&[], "a_holder_of_the_lock", &role, &shop.server().socket()).spawn().unwrap();
    let lock = format!("{}{told}{lock_suffix}", shop.prefix);
    let began = Instant::now();
    while !shop.server().raw(&format!("GET {lock}")).contains("cloakroom|rust-") {
        assert!(began.elapsed() < Duration::from_secs(20), "the lock is not taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // As long as it lives: afterwards it may be over by the time that somebody looks.
    let left = shop.server().raw(&format!("PTTL {lock}"));
    let left: i64 = left.strip_prefix(':').unwrap().lines().next().unwrap().parse().unwrap();
    assert!((1..=1500).contains(&left), "{left}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    // PHP waits for it, and nobody else does anything about it.
    shop.php("do=add", &mut id);
    assert_eq!(shop.php("do=read&key=n", &mut id), "2");
    shop.is_content();
}

//! What is written in a URL, and what is refused.

use super::*;

fn read(text: &str) -> Result<RedisUrl, InvalidRedisUrl> {
    text.parse()
}

#[test]
fn urls_say_where_and_as_whom() {
    let plain = read("redis://localhost").unwrap();
    assert_eq!(plain, RedisUrl::at("localhost", 6379));
    let full = read("redis://shop:p%40ss%2Fword@db.example:7000/3").unwrap();
    assert_eq!(full.address, Address::Tcp(HostPort::new("db.example", 7000)));
    assert_eq!(full.user.as_deref(), Some("shop"));
    assert_eq!(full.password.as_ref().map(|p| p.as_str()), Some("p@ss/word"));
    assert_eq!(full.db, 3);
    let only_password = read("redis://:secret@[::1]:1/").unwrap();
    assert_eq!(only_password.address, Address::Tcp(HostPort::new("::1", 1)));
    assert_eq!((only_password.user, only_password.db), (None, 0));
    for socket in
        ["redis+unix:/run/r.sock?db=2&user=u&password=p%20w", "unix:///run/r.sock?db=2&user=u&pass=p%20w"]
    {
        let socket = read(socket).unwrap();
        assert_eq!(socket.address, Address::Unix("/run/r.sock".into()));
        assert_eq!((socket.db, socket.user.as_deref()), (2, Some("u")));
        assert_eq!(socket.password.as_ref().map(|p| p.as_str()), Some("p w"));
    }
    assert_eq!(read("redis+unix:relative.sock").unwrap().address, Address::Unix("relative.sock".into()));
}

#[test]
fn a_url_for_tls_says_which_certificates() {
    let plain = read("rediss://u:p@h:1/2").unwrap();
    assert_eq!((plain.db, plain.tls), (2, Some(TlsFiles::default())));
    let full = read("valkeys://h?ca=%2Fetc/a%20b.pem&certificate=c.pem&key=k.pem").unwrap();
    let files = TlsFiles {
        ca: Some("/etc/a b.pem".into()),
        certificate: Some("c.pem".into()),
        key: Some("k.pem".into()),
    };
    assert_eq!(full.tls, Some(files));
    assert_eq!(full.to_string(), "rediss://h:6379");
    assert_eq!(RedisUrl::at("h", 6379).over_tls(), read("rediss://h").unwrap());
    assert_eq!(read("redis://h").unwrap().tls, None);
}

#[test]
fn a_url_names_sentinels_and_their_service() {
    let full = read("redis-sentinel://shop:p%40ss@a:7,[::1],c/my%20").err();
    assert_eq!(full, Some(InvalidRedisUrl::Service));
    let text =
        "redis-sentinel://shop:p%40ss:w@a:7,[::1],c/sessions/3?sentinel_user=u&sentinel_password=hu%73h";
    let full = read(text).unwrap();
    assert_eq!(full.to_string(), "redis-sentinel://a:7,[::1]:26379,c:26379/sessions/3");
    assert_eq!((full.user.as_deref(), full.db), (Some("shop"), 3));
    assert_eq!(full.password.as_ref().map(|p| p.as_str()), Some("p@ss:w"));
    let Address::Sentinels(group) = &full.address else { panic!("{full:?}") };
    assert_eq!(group.user.as_deref(), Some("u"));
    assert_eq!(group.password.as_ref().map(|p| p.as_str()), Some("hush"));
    let over_tls = read("rediss-sentinel://a/s?ca=x.pem").unwrap();
    assert_eq!(over_tls.to_string(), "rediss-sentinel://a:26379/s");
    assert_eq!(over_tls.tls.and_then(|files| files.ca), Some("x.pem".into()));
    assert_eq!(read("valkey-sentinel://a/s/"), RedisUrl::at_sentinels([("a", 26379)], "s"));
}

#[test]
fn a_url_names_nodes_of_a_cluster() {
    let full = read("redis-cluster://shop:p%40ss:w@a:7,[::1]:8,c,a:7/0").unwrap();
    assert_eq!(full.to_string(), "redis-cluster://a:7,[::1]:8,c:6379");
    assert_eq!((full.user.as_deref(), full.db), (Some("shop"), 0));
    assert_eq!(full.password.as_ref().map(|p| p.as_str()), Some("p@ss:w"));
    let over_tls = read("rediss-cluster://a?ca=x.pem").unwrap();
    assert_eq!(over_tls.to_string(), "rediss-cluster://a:6379");
    assert_eq!(over_tls.tls.and_then(|files| files.ca), Some("x.pem".into()));
    assert_eq!(read("valkey-cluster://a:1"), RedisUrl::at_cluster([("a", 1)]));
    assert_eq!(RedisUrl::at_cluster::<&str>([]), Err(InvalidRedisUrl::Seeds));
}

#[test]
fn what_is_not_a_url_is_refused_with_the_reason() {
    for (text, why) in [
        ("", InvalidRedisUrl::Scheme),
        ("localhost", InvalidRedisUrl::Scheme),
        ("http://localhost", InvalidRedisUrl::Scheme),
        ("redis-cluster:a", InvalidRedisUrl::Seeds),
        ("redis-cluster://", InvalidRedisUrl::Seeds),
        ("redis-cluster://a,", InvalidRedisUrl::Seeds),
        ("redis-cluster://a:0", InvalidRedisUrl::Seeds),
        ("redis-cluster://a:65536", InvalidRedisUrl::Seeds),
        ("redis-cluster://a b", InvalidRedisUrl::Seeds),
        ("redis-cluster://[::1", InvalidRedisUrl::Seeds),
        ("redis-cluster://[::1]x", InvalidRedisUrl::Seeds),
        ("redis-cluster://a/1", InvalidRedisUrl::ClusterDatabase),
        ("redis-cluster://a?ca=/ca.pem", InvalidRedisUrl::Option),
        ("redis-cluster://a#x", InvalidRedisUrl::Option),
        ("redis-sentinel:a/s", InvalidRedisUrl::Sentinels),
        ("redis-sentinel:///s", InvalidRedisUrl::Sentinels),
        ("redis-sentinel://a,b", InvalidRedisUrl::Service),
        ("redis-sentinel://a,b/s/x", InvalidRedisUrl::Database),
        ("redis-sentinel://a/s/0/1", InvalidRedisUrl::Database),
        ("redis-sentinel://a/s?ca=/ca.pem", InvalidRedisUrl::Option),
        ("redis-sentinel://a/s?db=1", InvalidRedisUrl::Option),
        ("redis-sentinel://a/s#x", InvalidRedisUrl::Option),
        ("redis-sentinel://u:%ff@a/s", InvalidRedisUrl::Encoding),
        ("redis:localhost", InvalidRedisUrl::Host),
        ("redis://", InvalidRedisUrl::Host),
        ("redis://host:port", InvalidRedisUrl::Host),
        ("redis://host/one", InvalidRedisUrl::Database),
        ("redis://host/-1", InvalidRedisUrl::Database),
        ("redis://host/99999999999", InvalidRedisUrl::Database),
        ("redis://host?db=1", InvalidRedisUrl::Option),
        ("redis://host?ca=/ca.pem", InvalidRedisUrl::Option),
        ("rediss://host?insecure=1", InvalidRedisUrl::Option),
        ("rediss://host?ca", InvalidRedisUrl::Option),
        ("rediss://host#insecure", InvalidRedisUrl::Option),
        ("redis+unix:", InvalidRedisUrl::Path),
        ("redis+unix:/s?prefix=x", InvalidRedisUrl::Option),
        ("redis://%ff@host", InvalidRedisUrl::Encoding),
    ] {
        assert_eq!(read(text), Err(why), "{text}");
    }
}

#[test]
fn neither_debug_nor_display_show_a_password() {
    for text in [
        "redis://shop:hush@host:1/2",
        "redis+unix:/s?db=2&user=shop&password=hush",
        "redis-cluster://shop:hush@a,b",
        "redis-sentinel://shop:hush@a,b/s/2",
        "redis-sentinel://a/s?sentinel_user=shop&sentinel_password=hush",
    ] {
        let url = read(text).unwrap();
        for shown in [format!("{url:?}"), format!("{url:#?}"), url.to_string()] {
            assert!(!shown.contains("hush") && !shown.contains("shop"), "{shown}");
        }
        let again: RedisUrl = url.to_string().parse().unwrap();
        assert_eq!(again.to_string(), url.to_string());
    }
}

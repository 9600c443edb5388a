//! TLS: who is trusted, who is not, and what is said about it.
#![cfg(feature = "tls")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/certificates.rs"]
mod certificates;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certificates::{Authority, Identity};
use cloakroom::store::{Created, Loaded, Store, StoreErrorKind};
use cloakroom_redis::{BuildError, RedisBuilder, RedisStore, TlsError};
use cloakroom_testing::conformance::Subject;
use cloakroom_testing::requests;
use support::sentinels::{SERVICE, Sentinel};
use support::{Kind, Server};

const HUSH: &str = "hush-hush";

fn serving(authority: &Authority, identity: &Identity, ask: &str) -> Server {
    Server::start_with_tls(Kind::Redis, &identity.options(&authority.file(), ask))
}

fn at(host: &str, server: &Server) -> RedisBuilder {
    RedisStore::builder(&format!("rediss://{host}:{}", server.tls_port())).unwrap()
}

async fn works(store: &RedisStore) {
    let key = requests::key();
    let created = store.create(requests::create(key, requests::data(&[("a", b"1")]))).await.unwrap();
    assert!(matches!(created, Created::Created { .. }));
    assert!(matches!(store.load(key).await.unwrap(), Loaded::Live(_)));
}

/// What is said when it does not work.
async fn refused(builder: RedisBuilder) -> String {
    let shown = format!("{builder:?}");
    let store = builder.build().unwrap();
    let error = store.load(requests::key()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    let told = format!("{error} {error:?} {store:?} {shown}");
    assert!(!told.contains("hush"), "{told}");
    error.to_string()
}

/// Everything that the store can do, with a certificate on either side and a password.
mod conformance {
    use super::*;

    async fn subject() -> Subject {
        let authority = Authority::new();
        let identity = authority.server(&["localhost", "127.0.0.1"]);
        let ca = authority.file();
        let mut options = identity.options(&ca, "yes").to_vec();
        options.extend(["--requirepass", HUSH]);
        let server = Arc::new(Server::start_with_tls(Kind::Redis, &options));
        let client = authority.client();
        let builder =
            at("127.0.0.1", &server).password(HUSH).ca(ca).client_certificate(client.certificate, client.key);
        let build = move || builder.clone().build().unwrap();
        let (second, again, restarted) = (build.clone(), build.clone(), server.clone());
        Subject::new(Arc::new(build()))
            .second_handle(move || {
                let store: Arc<dyn Store> = Arc::new(second());
                async move { store }
            })
            .reopen(move |old| {
                let (server, build) = (restarted.clone(), again.clone());
                async move {
                    server.start_again();
                    drop(old);
                    let (store, began) = (build(), Instant::now());
                    // To whoever has not logged in, it does not say that it is still loading its data.
                    while let Err(error) = store.ping().await {
                        assert!(began.elapsed() < Duration::from_secs(20), "{error}");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Arc::new(store) as Arc<dyn Store>
                }
            })
            .keep((server, authority))
    }

    cloakroom_testing::conformance_tests!(subject);
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_called_by_a_name_of_its_certificate() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = serving(&authority, &authority.server(&["localhost"]), "no");
    works(&at("localhost", &server).ca(authority.file()).build().unwrap()).await;
    let url = format!("rediss://localhost:{}?ca={}", server.tls_port(), authority.file().display());
    works(&RedisStore::new(&url).unwrap()).await;

    let told = refused(at("localhost", &server).ca(other.file()).password(HUSH)).await;
    assert!(told.contains("authority that is not trusted here") && told.contains("(ca)"), "{told}");
    // By its address, which is not in the certificate.
    let told = refused(at("127.0.0.1", &server).ca(authority.file())).await;
    assert!(told.contains("certificate for another name"), "{told}");
    // The operating system knows nothing of it.
    match at("localhost", &server).build() {
        Ok(_) => {
            let told = refused(at("localhost", &server)).await;
            assert!(told.contains("authority that is not trusted here"), "{told}");
        }
        Err(error) => assert_eq!(error, BuildError::Tls(TlsError::NoAuthorities)),
    }
    // Whoever is refused is asked nothing.
    server.forget_calls();
    refused(at("localhost", &server).ca(other.file()).password(HUSH)).await;
    assert_eq!(server.calls("hello"), 0);
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let server = serving(&authority, &authority.expired_server(&["localhost"]), "no");
    let told = refused(at("localhost", &server).ca(authority.file())).await;
    assert!(told.contains("has expired"), "{told}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_the_one_given() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = serving(&authority, &authority.server(&["localhost"]), "yes");
    let with = |client: Identity| {
        at("localhost", &server).ca(authority.file()).client_certificate(client.certificate, client.key)
    };
    works(&with(authority.client()).build().unwrap()).await;
    let told = refused(at("localhost", &server).ca(authority.file())).await;
    assert!(told.contains("client certificate") && told.contains("(certificate, key)"), "{told}");
    let told = refused(with(other.client())).await;
    assert!(told.contains("client certificate") && told.contains("(certificate, key)"), "{told}");
}

#[tokio::test]
async fn s66_a_password_over_tls_is_never_shown() {
    let authority = Authority::new();
    let identity = authority.server(&["localhost"]);
    let ca = authority.file();
    let mut options = identity.options(&ca, "no").to_vec();
    options.extend(["--requirepass", HUSH]);
    let server = Server::start_with_tls(Kind::Redis, &options);
    works(&at("localhost", &server).ca(&ca).password(HUSH).build().unwrap()).await;
    let told = refused(at("localhost", &server).ca(&ca).password("hush-wrong")).await;
    assert!(told.contains("does not accept the user and password"), "{told}");
    let told = refused(at("localhost", &server).ca(&ca)).await;
    assert!(told.contains("asks for a password"), "{told}");
}

/// A server without TLS gets a handshake that it cannot read, and nothing else.
#[tokio::test]
async fn nothing_is_sent_in_the_clear_instead() {
    let authority = Authority::new();
    let server = Server::start(Kind::Redis);
    let url = format!("rediss://127.0.0.1:{}", server.port());
    server.forget_calls();
    let builder = RedisStore::builder(&url).unwrap().ca(authority.file()).password(HUSH);
    let told = refused(builder).await;
    assert!(told.contains("does it speak TLS on that port?"), "{told}");
    assert_eq!(server.calls("hello") + server.calls("auth"), 0);

    // The other way round: a plain client is told what may be the matter.
    let server = serving(&authority, &authority.server(&["localhost"]), "no");
    let told =
        refused(RedisStore::builder(&format!("redis://localhost:{}", server.tls_port())).unwrap()).await;
    assert!(told.contains("does it expect TLS"), "{told}");
}

#[test]
fn a_file_that_does_not_fit_is_named_and_not_shown() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (client, stranger) = (authority.client(), other.client());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let key = std::fs::read_to_string(&client.key).unwrap();
    let damaged = write("damaged.pem", &key.replacen("-----END", "hush*-----END", 1));
    let (nothing, missing) = (write("nothing.pem", "hush"), folder.path().join("missing.pem"));
    let der = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    let no_certificate = write("certificate.pem", der);

    let builder = || RedisStore::builder("rediss://localhost").unwrap().ca(authority.file());
    let certified = |certificate: &Path, key: &Path| builder().client_certificate(certificate, key);
    for (builder, file, why) in [
        (builder().ca(&missing), &missing, "cannot be read: No such file"),
        (builder().ca(folder.path()), &folder.path().to_owned(), "cannot be read"),
        (builder().ca(&nothing), &nothing, "holds no certificate"),
        (builder().ca(&client.key), &client.key, "holds no certificate"),
        (builder().ca(&no_certificate), &no_certificate, "holds a certificate that cannot be read"),
        (certified(&missing, &client.key), &missing, "cannot be read"),
        (certified(&client.certificate, &missing), &missing, "cannot be read"),
        (certified(&client.certificate, &client.certificate), &client.certificate, "holds no private key"),
        (certified(&client.certificate, &damaged), &damaged, "is no PEM file, or a damaged one"),
        (
            certified(&client.certificate, &stranger.key),
            &stranger.key,
            "has no key that belongs to the certificate",
        ),
    ] {
        let error = builder.build().unwrap_err();
        assert!(matches!(&error, BuildError::Tls(TlsError::File { path, .. }) if path == file), "{error:?}");
        let told = error.to_string();
        assert!(told.contains(why) && told.contains(&*file.to_string_lossy()), "{told}");
        assert!(!told.contains("hush") && !told.contains(key.lines().nth(1).unwrap()), "{told}");
    }
    let half = RedisStore::new(&format!("rediss://h?certificate={}", client.certificate.display()));
    assert_eq!(half.unwrap_err(), BuildError::Tls(TlsError::HalfAnIdentity));
    let plain = RedisStore::builder("redis://localhost").unwrap().ca(authority.file()).build();
    assert_eq!(plain.unwrap_err(), BuildError::CertificatesWithoutTls);
}

/// Both speak TLS, and each must be who it is called: the sentinel as the URL calls it, the primary as the sentinel does.
#[tokio::test]
async fn sentinels_and_their_primary_are_verified() {
    let authority = Authority::new();
    let start = |for_sentinel: &[&str], for_primary: &[&str]| {
        let options = |names: &[&str]| {
            let (identity, ca) = (authority.server(names), authority.file());
            identity.options(&ca, "no").iter().map(|option| (*option).to_owned()).collect::<Vec<String>>()
        };
        let words = options(for_primary);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let server = Server::start_with_tls(Kind::Redis, &words);
        let sentinel = Sentinel::over_tls(&server, &options(for_sentinel));
        let url = format!("rediss-sentinel://localhost:{}/{SERVICE}", sentinel.port);
        (server, sentinel, RedisStore::builder(&url).unwrap().ca(authority.file()))
    };
    let (_server, _sentinel, builder) = start(&["localhost"], &["127.0.0.1"]);
    works(&builder.build().unwrap()).await;
    let (_server, _sentinel, builder) = start(&["elsewhere"], &["127.0.0.1"]);
    let told = refused(builder).await;
    assert!(
        told.contains("no sentinel that answers: localhost") && told.contains("for another name"),
        "{told}"
    );
    let (_server, _sentinel, builder) = start(&["localhost"], &["localhost"]);
    let told = refused(builder).await;
    assert!(told.contains("its primary at 127.0.0.1") && told.contains("for another name"), "{told}");
    let (_server, sentinel, _) = start(&["localhost"], &["127.0.0.1"]);
    let plain = format!("redis-sentinel://localhost:{}/{SERVICE}", sentinel.port);
    let told = refused(RedisStore::builder(&plain).unwrap()).await;
    assert!(told.contains("does it expect TLS"), "{told}");
}

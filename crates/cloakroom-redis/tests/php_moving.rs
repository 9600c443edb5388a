//! Live sessions on their way from PHP's layouts to the store's own, beside a Redis in which this test plays PHP.
#![cfg(feature = "laravel")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "php_support/moving/mod.rs"]
mod moving;
mod support;

use std::sync::Arc;

use cloakroom::store::Store;
use cloakroom_php::{Amp, Format, Laravel, Session};
use cloakroom_redis::php::{
    AppKey, Cipher, Encrypter, LaravelApp, Layout, MovingStore, PhpServer, PhpStore, Stage,
};
use moving::late::{Calls, Late};
use moving::{Application, moving_suite};
use support::{Kind, Server};

/// An application that keeps its sessions in Redis.
struct InRedis {
    server: Server,
    layout: Layout,
}

fn encrypter() -> Encrypter {
    let key = data_encoding::BASE64.encode(&[7; 32]);
    Encrypter::new(Cipher::Cbc, format!("base64:{key}").parse::<AppKey>().unwrap(), [])
}

/// One of each layout that is in Redis.
fn all() -> impl Iterator<Item = InRedis> {
    let named = Layout::names().filter(|name| !["php-files", "mini"].contains(name));
    let layouts = named.map(|name| name.parse().unwrap());
    let layouts = layouts.chain([Layout::laravel(LaravelApp::new(encrypter()))]);
    layouts.map(|layout: Layout| InRedis {
        server: Server::start(Kind::Redis),
        layout: layout.user_variable("user_id"),
    })
}

impl InRedis {
    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.layout.data_prefix())
    }

    /// The variables as this application has them.
    fn value(&self, variables: &str) -> Vec<u8> {
        let read = |text: &str| Session::decode(Format::PhpSerialize, text.as_bytes()).unwrap();
        match self.layout.name() {
            "amp" | "phenix" => Amp.encode(&read(variables)).unwrap(),
            "laravel" => Laravel::new().encode(&read(variables)).unwrap(),
            "resonance" => read(variables).encode_as(Format::Igbinary).unwrap(),
            "phalcon" => variables.as_bytes().to_vec(),
            "symfony" | "symfony-phpredis" => {
                // One array more is around them, which counts as well.
                let attributes = variables.replace("R:3;", "R:4;");
                let meta = r#"s:9:"_sf2_meta";a:3:{s:1:"u";i:5;s:1:"c";i:4;s:1:"l";i:0;}"#;
                let bags = format!(r#"a:2:{{s:15:"_sf2_attributes";{attributes}{meta}}}"#);
                read(&bags).encode_as(Format::Php).unwrap()
            }
            _ => read(variables).encode_as(Format::Php).unwrap(),
        }
    }

    fn lock(&self, id: &str) -> Option<String> {
        let php = PhpStore::new(PhpServer::new(self.server.builder()).unwrap(), self.layout.clone());
        let id = php.conventions().unwrap().ids.hold(id.as_bytes()).unwrap();
        self.layout.lock_name(&id)
    }
}

impl Application for InRedis {
    fn layout(&self) -> Layout {
        self.layout.clone()
    }

    async fn moving_with(&self, stage: Stage, new: Arc<dyn Store>, calls: Calls) -> Arc<dyn Store> {
        let server = PhpServer::new(self.server.builder()).unwrap();
        Arc::new(MovingStore::new(PhpStore::new(Late::new(server, calls), self.layout.clone()), new, stage))
    }

    async fn place(&self) -> Arc<dyn Store> {
        Arc::new(self.server.builder().build().unwrap())
    }

    fn writes(&self, id: &str, variables: &str) {
        let value: String = self.value(variables).iter().map(|byte| format!("\\x{byte:02x}")).collect();
        let answer = self.server.raw(&format!("SETEX {} 1440 \"{value}\"", self.key(id)));
        assert!(answer.starts_with("+OK"), "{answer}");
    }

    fn ends(&self, id: &str) {
        self.server.raw(&format!("DEL {}", self.key(id)));
    }

    fn has(&self, id: &str) -> bool {
        self.server.raw(&format!("EXISTS {}", self.key(id))).starts_with(":1")
    }

    fn locks(&self, id: &str) -> bool {
        let Some(lock) = self.lock(id) else { return false };
        self.server.raw(&format!("SET {lock} web-1|4711 NX PX 60000")).starts_with("+OK")
    }

    fn unlocks(&self, id: &str) {
        self.server.raw(&format!("DEL {}", self.lock(id).unwrap()));
    }

    fn cookie(&self, id: &str) -> String {
        match self.layout.name() {
            "laravel" => {
                let sealed = encrypter().seal_cookie("laravel_session", id).unwrap();
                let sealed = sealed.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F");
                format!("laravel_session={sealed}")
            }
            "amp" => format!("session={id}"),
            "phenix" => format!("phenix_session={id}"),
            "resonance" => format!("dmsession={id}"),
            _ => format!("PHPSESSID={id}"),
        }
    }
}

moving_suite!(all());

//! The example runs, and its visitors have sessions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The example as `cargo run` starts it; killed when this is dropped.
struct Server {
    address: String,
    _process: Child,
}

impl Server {
    async fn start() -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_own-adapter"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut told = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut told).await.unwrap();
        let address = told.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Server { address, _process: process }
    }

    /// The whole response to a request with this cookie.
    async fn get(&self, path: &str, cookie: &str) -> String {
        let mut connection = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: shop.test\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).await.unwrap();
        response
    }
}

fn cookie_of(response: &str) -> &str {
    let line = response.lines().find(|line| line.starts_with("set-cookie: ")).unwrap();
    line["set-cookie: ".len()..].split(';').next().unwrap()
}

#[tokio::test]
async fn the_counter_counts_each_visitors_visits_until_the_logout() {
    let server = Server::start().await;
    let first = server.get("/", "").await;
    assert!(first.ends_with("visit 1\n"), "{first}");
    let cookie = cookie_of(&first);
    let second = server.get("/", cookie).await;
    assert!(second.ends_with("visit 2\n") && !second.contains("set-cookie"), "{second}");
    assert!(second.contains("cache-control: ") && second.contains("vary: "), "{second}");
    assert!(server.get("/", "").await.ends_with("visit 1\n"), "another visitor");
    let goodbye = server.get("/logout", cookie).await;
    assert!(goodbye.ends_with("goodbye\n") && cookie_of(&goodbye).ends_with('='), "{goodbye}");
    assert!(server.get("/", cookie).await.ends_with("visit 1\n"), "the session is over");
    let elsewhere = server.get("/elsewhere", "").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404") && !elsewhere.contains("set-cookie"), "{elsewhere}");
}

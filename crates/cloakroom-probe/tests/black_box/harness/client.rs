//! HTTP/1.1 by hand over a socket of its own, so that what is sent is what the test says, and hanging up is hanging up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Response;

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    host: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    keep_alive: bool,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    pub fn new(method: &str, path: &str) -> Self {
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            host: None,
            headers: Vec::new(),
            keep_alive: false,
        }
    }

    /// Adds a header field, whatever is in it.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// As a visitor of this site, not of the loopback address.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Sends it over a connection of its own.
    pub async fn send(self, to: SocketAddr) -> InFlight {
        self.try_send(to).await.expect("the probe takes no connections")
    }

    /// As `send`; nothing when nobody is there.
    pub async fn try_send(self, to: SocketAddr) -> Option<InFlight> {
        let mut stream = TcpStream::connect(to).await.ok()?;
        stream.set_nodelay(true).ok()?;
        // A server may answer and close before it has read all of a request that is too long.
        let _ = stream.write_all(&self.bytes(to)).await;
        Some(InFlight {
            stream,
            received: Vec::new(),
            head_only: self.method == "HEAD",
            pauses_at: Vec::new(),
        })
    }

    fn bytes(&self, to: SocketAddr) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        let host = self.host.clone().unwrap_or_else(|| to.to_string());
        text.extend_from_slice(format!("host: {host}\r\n").as_bytes());
        if !self.keep_alive {
            text.extend_from_slice(b"connection: close\r\n");
        }
        if self.method == "POST" {
            text.extend_from_slice(b"content-length: 0\r\n");
        }
        for (name, value) in &self.headers {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        text
    }
}

/// A request that was sent. Dropping it is a client that hangs up.
pub struct InFlight {
    stream: TcpStream,
    received: Vec<u8>,
    head_only: bool,
    /// Processes in one of which it pauses until it is woken.
    pauses_at: Vec<SocketAddr>,
}

impl InFlight {
    /// Waits until something of the response has been there for so long that it is more than a head whose body is still to come.
    pub async fn has_long_been_answered(&self) {
        let _ = self.stream.peek(&mut [0]).await;
        super::sleep_ms(2_000).await;
    }

    /// It pauses until its response is asked for.
    pub fn pausing_at(self, processes: Vec<SocketAddr>) -> Self {
        InFlight { pauses_at: processes, ..self }
    }

    /// The response, whole or as far as it came.
    pub async fn response(mut self) -> Response {
        let pauses_at = std::mem::take(&mut self.pauses_at);
        let began = Instant::now();
        let read = tokio::select! {
            read = self.stream.read_to_end(&mut self.received) => read,
            () = keep_awake(&pauses_at) => unreachable!("it goes on"),
        };
        assert!(!self.received.is_empty(), "no response within {:?}: {read:?}", began.elapsed());
        // Reset by the server in the middle of a body: what came before counts.
        Response::parse(&self.received, self.head_only)
    }

    /// The response; nothing when it did not come whole.
    pub async fn try_response(mut self) -> Option<Response> {
        self.stream.read_to_end(&mut self.received).await.ok()?;
        Response::parse_if_whole(&self.received)
    }

    /// Waits until some of the response has come, and tells it.
    pub async fn until_received(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&self.received).contains(text) {
            let read = tokio::time::timeout(Duration::from_secs(30), self.stream.read(&mut buffer));
            let n = read.await.expect("the response did not come").unwrap();
            assert!(n > 0, "the connection ended before {text:?} came");
            self.received.extend_from_slice(&buffer[..n]);
        }
    }

    /// The client is gone.
    pub fn hang_up(self) {}
}

/// Ends each pause in these processes, over and over.
async fn keep_awake(processes: &[SocketAddr]) {
    loop {
        for process in processes {
            Box::pin(Request::get("/wake").send(*process).await.response()).await.ok();
        }
        super::sleep_ms(20).await;
    }
}

/// Asks the same many times over one connection.
pub async fn ask_again_and_again(to: SocketAddr, path: &str, times: usize) -> Vec<Response> {
    let mut request = Request::get(path);
    request.keep_alive = true;
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut received = Vec::new();
    let mut responses = Vec::with_capacity(times);
    for _ in 0..times {
        stream.write_all(&request.bytes(to)).await.unwrap();
        received.clear();
        loop {
            if let Some(response) = Response::parse_if_whole(&received) {
                responses.push(response);
                break;
            }
            assert!(stream.read_buf(&mut received).await.unwrap() > 0, "the connection ended");
        }
    }
    responses
}

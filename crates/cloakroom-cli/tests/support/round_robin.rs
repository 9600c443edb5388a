//! One address in front of several instances: requests go to them in turn.
//!
//! What a load balancer does, and no more: each request on a connection of its own, to the next instance; one that cannot be
//! reached is passed over.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// A proxy in threads of its own; its address is closed when it is dropped.
pub(crate) struct RoundRobin {
    address: String,
    turns: Arc<Turns>,
}

struct Turns {
    instances: Vec<String>,
    next: AtomicUsize,
    over: AtomicBool,
}

impl RoundRobin {
    /// In front of these addresses, `HOST:PORT` each.
    pub(crate) fn over(instances: &[&str]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let instances = instances.iter().map(|&instance| instance.to_owned()).collect();
        let turns = Arc::new(Turns { instances, next: AtomicUsize::new(0), over: AtomicBool::new(false) });
        let accepting = turns.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.over.load(Ordering::SeqCst) {
                    return;
                }
                let turns = accepting.clone();
                thread::spawn(move || turns.serve(client));
            }
        });
        RoundRobin { address, turns }
    }

    /// `HOST:PORT`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for RoundRobin {
    fn drop(&mut self) {
        self.turns.over.store(true, Ordering::SeqCst);
        // So that it looks up from waiting for the next connection.
        let _ = TcpStream::connect(&self.address);
    }
}

impl Turns {
    /// One request, and whatever is sent after its head; then its answer.
    fn serve(&self, client: TcpStream) {
        // A browser opens connections ahead of need: an instance's turn comes with a request.
        let Some(head) = head_of_one_request(&client) else { return };
        let Some(mut instance) = self.connect() else { return };
        if instance.write_all(&head).is_err() {
            return;
        }
        let (Ok(mut from), Ok(mut to)) = (client.try_clone(), instance.try_clone()) else { return };
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
        });
        let mut client = client;
        let _ = std::io::copy(&mut instance, &mut client);
        let _ = client.shutdown(Shutdown::Both);
        let _ = instance.shutdown(Shutdown::Both);
    }

    fn connect(&self) -> Option<TcpStream> {
        (0..self.instances.len()).find_map(|_| {
            let turn = self.next.fetch_add(1, Ordering::SeqCst) % self.instances.len();
            TcpStream::connect(&self.instances[turn]).ok()
        })
    }
}

/// The head of a request, and what came with it, told to be the connection's last: the next one is another's turn.
fn head_of_one_request(mut client: &TcpStream) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        match client.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(n) => read.extend_from_slice(&buffer[..n]),
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut request: Vec<u8> = kept.flat_map(|line| [line, "\r\n"]).collect::<String>().into_bytes();
    request.extend_from_slice(b"connection: close\r\n");
    request.extend_from_slice(&read[end + 2..]);
    Some(request)
}

//! A wire between a client and a server that can be cut without either of them noticing.
//!
//! What a network does when it loses packets for a while: connections stay, nothing arrives, and what is sent meanwhile comes
//! through once it works again. New connections are accepted, and get no further.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// Forwards a port of its own to a server's, in threads of its own. Connections through it end with it.
pub struct Proxy {
    port: u16,
    wire: Arc<Wire>,
}

struct Wire {
    state: Mutex<State>,
    changed: Condvar,
    /// What is told in place of what the server says.
    tells: fn(&[u8]) -> Vec<u8>,
}

#[derive(Default)]
struct State {
    /// Nothing gets to the server.
    calls_held: bool,
    /// Nothing gets back from it.
    answers_held: bool,
    over: bool,
    /// So many connections were made.
    accepted: usize,
    /// Connections before this one end behind what is told next.
    ending: usize,
    /// Connections before this one are forgotten: nothing passes over them any more.
    forgotten: usize,
    /// Both ends of each connection, until it is over.
    ends: HashMap<usize, [TcpStream; 2]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Proxy {
    /// In front of the server on this port of the machine.
    pub fn to(server: u16) -> Self {
        Self::disguised(server, <[u8]>::to_vec)
    }

    /// In front of a server that is to pass for another one: `tells` is what is told in place of what arrives from it.
    pub fn disguised(server: u16, tells: fn(&[u8]) -> Vec<u8>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Arc::new(Wire { state: Mutex::default(), changed: Condvar::new(), tells });
        std::thread::spawn({
            let wire = wire.clone();
            move || wire.accept(&listener, server)
        });
        Proxy { port, wire }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// How many connections were made so far.
    pub fn accepted(&self) -> usize {
        self.wire.state.lock().unwrap().accepted
    }

    /// How many connections are not over.
    pub fn open(&self) -> usize {
        self.wire.state.lock().unwrap().ends.len()
    }

    /// Nothing comes through any more, in either direction, and no connection is closed.
    pub fn cut(&self) {
        self.wire.set(|state| (state.calls_held, state.answers_held) = (true, true));
    }

    /// Calls reach the server, and what it says does not come back.
    pub fn hold_answers(&self) {
        self.wire.set(|state| state.answers_held = true);
    }

    /// Connections that there are stay, and nothing passes over them ever again; new ones are as ever. What a firewall does that has
    /// forgotten them.
    pub fn forget(&self) {
        self.wire.set(|state| state.forgotten = state.accepted);
    }

    /// Connections that there are end as soon as something has come back on them; new ones are as ever.
    pub fn end_behind_the_next_answer(&self) {
        self.wire.set(|state| state.ending = state.accepted);
    }

    /// Everything flows again, what was held first.
    pub fn mend(&self) {
        self.wire.set(|state| (state.calls_held, state.answers_held) = (false, false));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wire.set(|state| {
            state.over = true;
            for (_, ends) in state.ends.drain() {
                close(&ends);
            }
        });
        // So that it looks up from waiting for the next connection.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
}

impl Wire {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn accept(self: Arc<Self>, listener: &TcpListener, server: u16) {
        for (number, client) in listener.incoming().enumerate() {
            let Ok(client) = client else { return };
            // A server that is away closes the connection to its client, as the real one would refuse it.
            let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { continue };
            for end in [&client, &far] {
                let _ = end.set_nodelay(true);
            }
            let mut state = self.state.lock().unwrap();
            if state.over {
                return;
            }
            state.accepted = number + 1;
            state.ends.insert(number, [client.try_clone().unwrap(), far.try_clone().unwrap()]);
            drop(state);
            self.forward(number, Way::There, &client, &far);
            self.forward(number, Way::Back, &far, &client);
        }
    }

    fn forward(self: &Arc<Self>, number: usize, way: Way, from: &TcpStream, to: &TcpStream) {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let wire = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            loop {
                let read = from.read(&mut buffer).unwrap_or(0);
                let passes = match way {
                    Way::There => buffer[..read].to_vec(),
                    Way::Back => (wire.tells)(&buffer[..read]),
                };
                // An end of the connection does not get through either.
                if !wire.wait(number, way)
                    || read == 0
                    || to.write_all(&passes).is_err()
                    || (way == Way::Back && wire.ends_now(number))
                {
                    let _ = to.shutdown(Shutdown::Both);
                    let _ = from.shutdown(Shutdown::Both);
                    wire.state.lock().unwrap().ends.remove(&number);
                    return;
                }
            }
        });
    }

    fn ends_now(&self, number: usize) -> bool {
        number < self.state.lock().unwrap().ending
    }

    /// Waits until something may pass this way; false once it is over.
    fn wait(&self, number: usize, way: Way) -> bool {
        let held = |state: &mut State| {
            let held = match way {
                Way::There => state.calls_held,
                Way::Back => state.answers_held,
            };
            !state.over && (held || number < state.forgotten)
        };
        !self.changed.wait_while(self.state.lock().unwrap(), held).unwrap().over
    }
}

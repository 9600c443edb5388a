//! The yardstick: `rusqlite` itself, a transaction with a commit for each write, prepared statements, WAL,
//! `synchronous=FULL`. In the two ways that people set it up: one connection that the writers take turns with, and a
//! connection for each writer. The faster one counts.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, params};

use super::{BYTES, SESSIONS, Subject, turn};

const WRITE: &str = "UPDATE sessions SET version = version + 1, data = ?2 WHERE id = ?1";

/// One connection behind a mutex.
pub struct Shared(Mutex<Connection>);

impl Shared {
    /// A new table in a new file.
    pub fn open(path: &Path) -> Self {
        Shared(Mutex::new(create(path)))
    }
}

impl Subject for Shared {
    fn name(&self) -> &'static str {
        "rusqlite, one connection"
    }

    fn write(&mut self, writers: usize, length: Duration) -> u64 {
        let connection = &self.0;
        threads(writers, length, |_| {
            Box::new(move |session| write(&connection.lock().expect("no panic"), session))
        })
    }

    fn check(&mut self, acknowledged: u64) {
        assert_eq!(versions(self.0.get_mut().expect("no panic")), acknowledged);
    }
}

/// A connection for each writer, which waits for the database's write lock.
pub struct Each(Vec<Mutex<Connection>>);

impl Each {
    /// A new table in a new file.
    pub fn open(path: &Path, most: usize) -> Self {
        let mut connections = vec![Mutex::new(create(path))];
        connections.resize_with(most, || Mutex::new(connect(path)));
        Each(connections)
    }
}

impl Subject for Each {
    fn name(&self) -> &'static str {
        "rusqlite, one each"
    }

    fn write(&mut self, writers: usize, length: Duration) -> u64 {
        let connections = &self.0;
        threads(writers, length, |writer| {
            let connection = connections[writer].lock().expect("no panic");
            Box::new(move |session| write(&connection, session))
        })
    }

    fn check(&mut self, acknowledged: u64) {
        assert_eq!(versions(self.0[0].get_mut().expect("no panic")), acknowledged);
    }
}

type Writer<'w> = Box<dyn FnMut(usize) + 'w>;

/// Lets threads write until the time is up.
fn threads<'w>(writers: usize, length: Duration, writer: impl Fn(usize) -> Writer<'w> + Sync) -> u64 {
    let (done, written) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..writers {
            let (done, written, writer) = (&done, &written, &writer);
            scope.spawn(move || {
                let mut write = writer(number);
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    write(turn(number, writers, count));
                    count += 1;
                }
                written.fetch_add(count, Ordering::Relaxed);
            });
        }
        std::thread::sleep(length);
        done.store(true, Ordering::Relaxed);
    });
    written.into_inner()
}

fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("opened");
    connection.busy_timeout(Duration::from_secs(60)).expect("set");
    connection.pragma_update(None, "journal_mode", "WAL").expect("set");
    connection.pragma_update(None, "synchronous", "FULL").expect("set");
    connection
}

fn create(path: &Path) -> Connection {
    let mut connection = connect(path);
    connection
        .execute_batch(
            "CREATE TABLE sessions (id BLOB PRIMARY KEY, version INTEGER NOT NULL, data BLOB NOT NULL) WITHOUT ROWID",
        )
        .expect("created");
    let all = connection.transaction().expect("begun");
    for session in 0..SESSIONS {
        all.execute("INSERT INTO sessions VALUES (?1, 0, ?2)", params![id(session), [1_u8; BYTES]])
            .expect("inserted");
    }
    all.commit().expect("committed");
    connection
}

fn write(connection: &Connection, session: usize) {
    // A statement of its own is a transaction of its own.
    let mut statement = connection.prepare_cached(WRITE).expect("prepared");
    assert_eq!(statement.execute(params![id(session), [2_u8; BYTES]]).expect("written"), 1);
}

/// As long as Cloakroom's keys.
fn id(session: usize) -> [u8; 35] {
    let mut id = [0; 35];
    // Spread over the table as digests are.
    let spread = (session as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    id[..8].copy_from_slice(&spread.to_be_bytes());
    id[8..16].copy_from_slice(&(session as u64).to_be_bytes());
    id
}

fn versions(connection: &Connection) -> u64 {
    let sum = connection.query_row("SELECT sum(version) FROM sessions", [], |row| row.get::<_, i64>(0));
    sum.expect("read").unsigned_abs()
}

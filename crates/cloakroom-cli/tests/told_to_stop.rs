//! The program hears whoever tells it to stop from when it says that it is there.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use support::{end_of, program, terminate};

#[test]
fn told_while_it_still_says_what_to_open_it_ends_in_good_order() {
    // There is no room for what it says, so that it stands still where it says it.
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    while (&theirs).write(&[b'.'; 1024]).is_ok() {}
    theirs.set_nonblocking(false).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path()).stdout(OwnedFd::from(theirs));
    let mut child = command.spawn().unwrap();
    drop(command);

    let began = Instant::now();
    while !hears_sigterm(child.id()) && began.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(2));
    }
    terminate(&child);
    let reader = thread::spawn(move || {
        let mut said = String::new();
        ours.read_to_string(&mut said).map(|_| said)
    });
    let status = end_of(&mut child);
    assert!(status.success(), "{status}");
    assert!(reader.join().unwrap().unwrap().contains("listening on http://"));
}

/// Whether it has said what is to be done at this signal: otherwise it is killed by it.
fn hears_sigterm(process: u32) -> bool {
    const SIGTERM: u32 = 15;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() >> (SIGTERM - 1) & 1 == 1
}

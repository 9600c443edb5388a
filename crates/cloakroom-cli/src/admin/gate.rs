//! How often an address may guess the token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Guesses of an address within a window.
const GUESSES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond that all others share one allowance, so that memory stays bounded and guessing
/// from many addresses stays slow.
const ADDRESSES: usize = 1024;

/// Counts guesses by address.
#[derive(Default)]
pub(super) struct Gate(Mutex<Guesses>);

#[derive(Default)]
struct Guesses {
    by_address: HashMap<IpAddr, Window>,
    others: Option<Window>,
}

struct Window {
    began: Instant,
    guesses: u32,
}

impl Gate {
    /// Counts a guess before it is looked at, so that parallel ones all count; tells how long to wait where there were too
    /// many.
    pub(super) fn guess(&self, address: IpAddr) -> Result<(), Duration> {
        self.guess_at(address, Instant::now())
    }

    fn guess_at(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if guesses.by_address.len() >= ADDRESSES && !guesses.by_address.contains_key(&address) {
            guesses.by_address.retain(|_, window| window.left(now).is_some());
        }
        let fresh = Window { began: now, guesses: 0 };
        let window = if guesses.by_address.len() < ADDRESSES || guesses.by_address.contains_key(&address) {
            guesses.by_address.entry(address).or_insert(fresh)
        } else {
            guesses.others.get_or_insert(fresh)
        };
        match window.left(now) {
            None => *window = Window { began: now, guesses: 1 },
            Some(left) if window.guesses >= GUESSES => return Err(left),
            Some(_) => window.guesses += 1,
        }
        Ok(())
    }

    /// The guess was right: it was none.
    pub(super) fn right(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).by_address.remove(&address);
    }
}

impl Window {
    fn left(&self, now: Instant) -> Option<Duration> {
        WINDOW.checked_sub(now.saturating_duration_since(self.began)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn ten_guesses_a_minute_and_a_right_one_starts_anew() {
        let gate = Gate::default();
        let start = Instant::now();
        for _ in 0..GUESSES {
            gate.guess_at(address(1), start).unwrap();
        }
        assert_eq!(gate.guess_at(address(1), start + Duration::from_secs(20)), Err(Duration::from_secs(40)));
        gate.guess_at(address(2), start).unwrap();
        gate.guess_at(address(1), start + WINDOW).unwrap();
        gate.right(address(1));
        for _ in 0..GUESSES {
            gate.guess_at(address(1), start + WINDOW).unwrap();
        }
        assert!(gate.guess_at(address(1), start + WINDOW).is_err());
    }

    #[test]
    fn many_addresses_take_no_more_memory_than_some_and_share_what_is_left() {
        let gate = Gate::default();
        let start = Instant::now();
        for n in 0..5000 {
            let _ = gate.guess_at(address(n), start);
        }
        assert_eq!(gate.0.lock().unwrap().by_address.len(), ADDRESSES);
        assert!(gate.guess_at(address(9999), start).is_err());
        // Once their minute is over, there is room again.
        gate.guess_at(address(9999), start + WINDOW).unwrap();
        assert_eq!(gate.0.lock().unwrap().by_address.len(), 1);
    }
}

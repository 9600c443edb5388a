//! When what happened to which node, for whoever has to find out what a session suffered from.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub struct Chronicle {
    began: Instant,
    troubles: Mutex<Vec<Trouble>>,
}

#[derive(Clone)]
pub struct Trouble {
    what: &'static str,
    /// To whom, where it is not everybody.
    whom: Vec<String>,
    began: Duration,
    over: Option<Duration>,
}

impl Chronicle {
    pub fn new() -> Self {
        Chronicle { began: Instant::now(), troubles: Mutex::default() }
    }

    /// Since the run began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn begins(&self, what: &'static str) {
        let trouble = Trouble { what, whom: Vec::new(), began: self.now(), over: None };
        self.troubles.lock().unwrap().push(trouble);
    }

    /// The one that began last happens to this one.
    pub fn hits(&self, whom: String) {
        let at = self.now().as_secs_f64();
        if let Some(trouble) = self.troubles.lock().unwrap().last_mut() {
            trouble.whom.push(format!("{whom} at {at:.3}"));
        }
    }

    pub fn is_over(&self) {
        let now = self.now();
        if let Some(trouble) = self.troubles.lock().unwrap().last_mut() {
            trouble.over = Some(now);
        }
    }

    /// What happened from then on, or was not over by then.
    pub fn since(&self, then: Duration) -> Vec<Trouble> {
        let troubles = self.troubles.lock().unwrap();
        troubles.iter().filter(|trouble| trouble.over.is_none_or(|over| over >= then)).cloned().collect()
    }
}

impl Trouble {
    pub fn began(&self) -> Duration {
        self.began
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3} s  ", self.began.as_secs_f64())?;
        match self.over {
            Some(over) => write!(f, "until {:.3}", over.as_secs_f64())?,
            None => f.write_str("and not over")?,
        }
        write!(f, "  *** {}: {}", self.what, self.whom.join(", "))
    }
}

#[test]
fn what_was_over_before_a_life_began_is_no_part_of_its_story() {
    let chronicle = Chronicle::new();
    chronicle.begins("a node stopped");
    chronicle.hits("node 3".to_owned());
    let during = chronicle.now();
    chronicle.is_over();
    std::thread::sleep(Duration::from_millis(1));
    let after = chronicle.now();
    chronicle.begins("scripts forgotten");
    let told = |then| chronicle.since(then).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(during).len(), 2);
    assert!(told(during)[0].contains("a node stopped: node 3 at 0.0"), "{:?}", told(during));
    assert!(told(after).len() == 1 && told(after)[0].contains("not over"), "{:?}", told(after));
}

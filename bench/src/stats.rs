//! Medians and quartiles.

use serde::Serialize;

/// The middle of many rounds, and how far the middle half of them spreads.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// A quarter of the rounds was below.
    pub low: f64,
    /// Half of the rounds was below.
    pub median: f64,
    /// Three quarters of the rounds were below.
    pub high: f64,
}

impl Spread {
    /// Of these values; at least one.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| values[((values.len() - 1) as f64 * part).round() as usize];
        Spread { low: at(0.25), median: at(0.5), high: at(0.75) }
    }
}

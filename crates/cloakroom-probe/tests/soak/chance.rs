//! Choices that a seed repeats, as far as the machine lets them be repeated.

use cloakroom_testing::Rng;

/// The choices of one of many, in a run.
pub struct Chance(Rng);

impl Chance {
    pub fn of(seed: u64, who: u64) -> Self {
        let mut rng = Rng::new(seed ^ who.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Seeds of neighbours are alike.
        rng.number();
        Chance(rng)
    }

    /// A number below this one.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }
}

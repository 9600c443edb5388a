//! Choices that a seed repeats, as far as the machine lets them be repeated.

/// splitmix64: small, and good enough to choose what is done next.
pub struct Chance(u64);

impl Chance {
    /// The choices of one of many, in a run.
    pub fn of(seed: u64, who: u64) -> Self {
        let mut chance = Chance(seed ^ who.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

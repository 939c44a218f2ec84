//! Random numbers that a seed repeats, and what the environment says of the length of a run.

use std::str::FromStr;

/// A source of random numbers (splitmix64).
pub struct Chance(u64);

impl Chance {
    /// One for a test. The seed is printed, which the test harness shows if the test fails.
    pub fn seeded(test: &str) -> Self {
        let now = jiff::Timestamp::now().as_nanosecond() as u64;
        let seed = from_environment("SCIMLITE_SURVIVAL_SEED", now);
        eprintln!("{test}: SCIMLITE_SURVIVAL_SEED={seed}");
        Self(seed)
    }

    /// Another, whose numbers follow from this one.
    pub fn part(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of `items`.
    pub fn one<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// A number from the environment, or else `otherwise`.
pub fn from_environment<T: FromStr>(name: &str, otherwise: T) -> T {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => otherwise,
    }
}

//! Chance that can be repeated: the same seed rolls the same numbers.

/// SplitMix64 (Steele, Lea, Flood 2014): a dozen lines are cheaper than a dependency.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that roll the same numbers whenever the seed is the same.
    pub fn seeded(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number from 0 to `sides` - 1; `sides` is not 0.
    pub fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // The remainder of 64 bits by 32: its bias is below one in four billion.
        (z % u64::from(sides)) as u32
    }
}

/// A seed that differs from run to run. Not for secrets.
pub fn any_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

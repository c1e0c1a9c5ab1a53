//! Numbers that look random and come from a seed: the only source of chance in tests and simulations.
//!
//! Always holds: a seed gives the same numbers on every machine and with every version of every library,
//! so that a failing seed can be committed and will fail again. Not for anything secret.

/// A stream of numbers. `Seed(n)` is where it stands.
#[derive(Clone, Debug)]
pub struct Seed(pub u64);

impl Seed {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from zero up to, but without, `end`; zero when there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % end).unwrap_or(0)
    }

    /// True once in `times` on average; never for zero.
    pub fn once_in(&mut self, times: u32) -> bool {
        times > 0 && self.below(times as usize) == 0
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// A stream of its own, so that one user's draws don't shift another's.
    #[must_use]
    pub fn branch(&mut self) -> Self {
        Self(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut seed = Seed(7);
        let numbers = [seed.number(), seed.number(), seed.number()];
        let mut again = Seed(7);
        assert_eq!(numbers, [again.number(), again.number(), again.number()]);
        assert_eq!(Seed(0).number(), 0xe220_a839_7b1d_cdaf, "a committed seed must go on failing");
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut items: Vec<u32> = (0..50).collect();
        Seed(3).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}

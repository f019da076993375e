//! Distributions over integers, drawn without floating point: the same on every machine and in every build.

use rand_chacha::rand_core::RngCore;
use serde::Serialize;
use sta_core::model::rng::Rng;

/// A distribution of a quantity: nanoseconds, or bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "dist", rename_all = "kebab-case")]
pub enum Dist {
    /// Always the same.
    Const {
        /// The quantity.
        value: u64,
    },
    /// Each of `min..=max` as likely as another.
    Uniform {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Exponential: a memoryless wait. Cut off at `max`.
    Exp {
        /// The mean before the cut.
        mean: u64,
        /// The most.
        max: u64,
    },
    /// Log-normal, by its median and its 99th percentile. Cut off at ten times `p99`.
    Lognormal {
        /// Half are below.
        median: u64,
        /// 99 of 100 are below; not less than `median`.
        p99: u64,
    },
    /// `slow` with this chance, else `fast`.
    Bimodal {
        /// The usual.
        fast: u64,
        /// The other.
        slow: u64,
        /// Parts per million.
        chance: u32,
    },
}

/// The 99th percentile of the standard normal distribution, 2.326348, in parts of 2^32.
const Z_P99: i128 = 9_991_590_000;
/// One, in parts of 2^32.
const ONE: u64 = 1 << 32;
/// ln 2 in parts of 2^32.
const LN_2: u128 = 2_977_044_472;

impl Dist {
    /// Always zero.
    pub const ZERO: Self = Self::Const { value: 0 };

    /// The next quantity.
    pub fn draw(&self, rng: &mut Rng) -> u64 {
        match *self {
            Self::Const { value } => value,
            Self::Uniform { min, max } => {
                let span = u128::from(max.saturating_sub(min)) + 1;
                min + ((u128::from(rng.next_u64()) * span) >> 64) as u64
            }
            Self::Exp { mean, max } => {
                // -ln(u) = -log2(u) * ln 2, for u in (0, 1] in parts of 2^32.
                let u = (rng.next_u64() >> 32) + 1;
                let minus_log2 = 32 * u128::from(ONE) - u128::from(log2(u));
                let minus_ln = (minus_log2 * LN_2) >> 32;
                ((u128::from(mean) * minus_ln) >> 32).min(u128::from(max)) as u64
            }
            Self::Lognormal { median, p99 } => {
                let ratio = (u128::from(p99) << 32) / u128::from(median.max(1));
                let ratio = u64::try_from(ratio).unwrap_or(u64::MAX).max(ONE);
                let log_ratio = i128::from(log2(ratio)) - i128::from(32 * ONE);
                let exponent = log_ratio * normal(rng) / Z_P99;
                scale_by_power_of_two(median, exponent).min(p99.saturating_mul(10))
            }
            Self::Bimodal { fast, slow, chance } => {
                if below_million(rng) < chance {
                    slow
                } else {
                    fast
                }
            }
        }
    }

    /// The largest quantity that can be drawn.
    #[must_use]
    pub const fn max(&self) -> u64 {
        match *self {
            Self::Const { value } => value,
            Self::Uniform { max, .. } | Self::Exp { max, .. } => max,
            Self::Lognormal { p99, .. } => p99.saturating_mul(10),
            Self::Bimodal { fast, slow, .. } => {
                if fast > slow {
                    fast
                } else {
                    slow
                }
            }
        }
    }

    /// The same quantity every time, if it is.
    #[must_use]
    pub const fn constant(&self) -> Option<u64> {
        match *self {
            Self::Const { value } => Some(value),
            _ => None,
        }
    }
}

/// A number below a million, each as likely as another: compare it with parts per million.
pub fn below_million(rng: &mut Rng) -> u32 {
    ((u128::from(rng.next_u64()) * 1_000_000) >> 64) as u32
}

/// A number below `n`, each as likely as another; 0 if `n` is 0.
pub fn below(n: usize, rng: &mut Rng) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// Binary logarithm of `x` (not 0) in parts of 2^32, by squaring the mantissa once per digit.
fn log2(x: u64) -> u64 {
    let whole = u64::from(x.ilog2());
    let mut mantissa = u128::from(x) << (63 - whole);
    let mut digits = 0;
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 63;
        digits <<= 1;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            digits |= 1;
        }
    }
    whole * ONE + digits
}

/// `x * 2^(exponent / 2^32)`, saturating. Each binary digit of the exponent is a square root of two.
fn scale_by_power_of_two(x: u64, exponent: i128) -> u64 {
    let whole = exponent.div_euclid(i128::from(ONE));
    let digits = exponent.rem_euclid(i128::from(ONE)) as u64;
    // The factor 2^(digits / 2^32), between 1 and 2, in parts of 2^62.
    let (mut factor, mut root) = (1u128 << 62, 1u128 << 63);
    for digit in (0..32).rev() {
        root = (root << 62).isqrt();
        if digits >> digit & 1 == 1 {
            factor = (factor * root) >> 62;
        }
    }
    let scaled = u128::from(x) * factor;
    let shift = 62 - whole;
    match u32::try_from(shift) {
        Ok(right) => u64::try_from(scaled.checked_shr(right).unwrap_or(0)).unwrap_or(u64::MAX),
        Err(_) => u64::MAX,
    }
}

/// Standard normal in parts of 2^32: twelve uniform numbers less six (Irwin-Hall), which ends at six deviations.
fn normal(rng: &mut Rng) -> i128 {
    let sum: u128 = (0..12).map(|_| u128::from(rng.next_u64() >> 32)).sum();
    sum as i128 - i128::from(6 * ONE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sta_core::model::rng::Seed;

    use super::{Dist, ONE, below, log2, scale_by_power_of_two};

    fn sorted(dist: Dist) -> Vec<u64> {
        let mut rng = Seed(7).stream("dist");
        let mut drawn: Vec<u64> = (0..20_000).map(|_| dist.draw(&mut rng)).collect();
        drawn.sort_unstable();
        drawn
    }

    /// Within 5 % of what it should be.
    fn near(got: u64, expected: u64) -> bool {
        got.abs_diff(expected) * 20 <= expected
    }

    #[test]
    fn draws_have_the_moments_they_are_named_by() {
        let exp = sorted(Dist::Exp { mean: 1_000_000, max: u64::MAX });
        assert!(near(exp.iter().sum::<u64>() / 20_000, 1_000_000), "mean");
        assert!(near(exp[10_000], 693_147), "an exponential's median is ln 2 of its mean");
        let lognormal = sorted(Dist::Lognormal { median: 30_000, p99: 180_000 });
        assert!(near(lognormal[10_000], 30_000), "median {}", lognormal[10_000]);
        assert!(near(lognormal[19_800], 180_000), "99th percentile {}", lognormal[19_800]);
        let uniform = sorted(Dist::Uniform { min: 5, max: 7 });
        assert_eq!((uniform[0], uniform[10_000], uniform[19_999]), (5, 6, 7));
        let bimodal = sorted(Dist::Bimodal { fast: 1, slow: 9, chance: 100_000 });
        assert!(near(bimodal.iter().filter(|&&x| x == 9).count() as u64, 2_000));
    }

    #[test]
    fn the_edges_of_integers_are_met() {
        let mut rng = Seed(1).stream("edges");
        for _ in 0..1_000 {
            Dist::Uniform { min: 0, max: u64::MAX }.draw(&mut rng);
            assert!(Dist::Exp { mean: u64::MAX, max: 10 }.draw(&mut rng) <= 10);
            Dist::Lognormal { median: u64::MAX, p99: u64::MAX }.draw(&mut rng);
            assert_eq!(Dist::Lognormal { median: 0, p99: 0 }.draw(&mut rng), 0);
            assert_eq!(below(0, &mut rng), 0);
            assert_eq!(below(1, &mut rng), 0);
        }
    }

    proptest! {
        #[test]
        fn powers_undo_logarithms(x in 1u64..1 << 40) {
            let back = scale_by_power_of_two(1 << 20, i128::from(log2(x)) - i128::from(20 * ONE));
            prop_assert!(back.abs_diff(x) <= 1 + x / 1_000_000, "{x} came back as {back}");
        }

        #[test]
        fn nothing_exceeds_its_maximum(a in any::<u64>(), b in any::<u64>(), seed in any::<u64>()) {
            let (low, high) = (a.min(b), a.max(b));
            let mut rng = Seed(seed).stream("max");
            for dist in [
                Dist::Uniform { min: low, max: high },
                Dist::Exp { mean: high, max: low },
                Dist::Lognormal { median: low, p99: high },
                Dist::Bimodal { fast: a, slow: b, chance: 500_000 },
            ] {
                prop_assert!(dist.draw(&mut rng) <= dist.max(), "{dist:?}");
            }
        }
    }
}

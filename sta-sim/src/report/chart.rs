//! What all charts share: the scale of time, its axis, and numbers as a reader likes them.

use maud::{Markup, html};
use sta_core::model::time::Time;

pub mod bands;
pub mod bound;
pub mod lanes;
pub mod matrix;
pub mod pieces;
pub mod rates;
pub mod tracker;

/// Width of every chart over time, labels included, in the units of its picture.
pub const WIDTH: f64 = 1120.0;
/// Where time begins: names stand to the left.
pub const LEFT: f64 = 150.0;
/// Where time ends: figures stand to the right.
pub const RIGHT: f64 = 990.0;
/// Height of an axis of time.
pub const AXIS: f64 = 24.0;

/// Letters of a name that fit to the left of time.
pub const NAME_MAX: usize = 20;

/// From moments to places.
#[derive(Clone, Copy)]
pub struct Scale {
    end: f64,
}

impl Scale {
    /// From 0 to `end` over the width of a chart.
    #[must_use]
    pub fn new(end: Time) -> Self {
        Self { end: end.as_secs_f64().max(1e-9) }
    }

    /// Where a moment is.
    #[must_use]
    pub fn x(&self, at: Time) -> f64 {
        self.x_secs(at.as_secs_f64())
    }

    fn x_secs(&self, secs: f64) -> f64 {
        LEFT + (secs / self.end).min(1.0) * (RIGHT - LEFT)
    }

    /// Where a column of `columns` begins.
    #[must_use]
    pub fn column(&self, column: usize, columns: usize) -> f64 {
        LEFT + column as f64 / columns as f64 * (RIGHT - LEFT)
    }

    /// The axis of time, with lines up through the chart above it.
    #[must_use]
    pub fn axis(&self, top: f64, bottom: f64) -> Markup {
        html! {
            g.axis {
                @for secs in ticks(self.end, 9) {
                    @let x = self.x_secs(secs);
                    line x1=(px(x)) x2=(px(x)) y1=(px(top)) y2=(px(bottom)) {}
                    text x=(px(x)) y=(px(bottom + 16.0)) text-anchor="middle" { (seconds(secs)) }
                }
            }
        }
    }
}

/// Round numbers from 0 up to `end`, at most `most` and one.
#[must_use]
pub fn ticks(end: f64, most: u32) -> Vec<f64> {
    let rough = end / f64::from(most);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough);
    let step = step.unwrap_or(end).max(f64::MIN_POSITIVE);
    (0..=most).map(|i| f64::from(i) * step).take_while(|at| *at <= end * 1.0001).collect()
}

/// A name of at most [`NAME_MAX`] letters: of a longer one both ends, for its index stands at its end.
#[must_use]
pub fn short(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let Some(left_out) = letters.len().checked_sub(NAME_MAX).filter(|&more| more > 0) else {
        return name.to_owned();
    };
    let head = NAME_MAX / 2 - 1;
    let (start, end) = (&letters[..head], &letters[head + left_out + 1..]);
    start.iter().chain(&['…']).chain(end).collect()
}

/// A coordinate, to a tenth.
#[must_use]
pub fn px(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// `0.25 s`, `12 s`.
#[must_use]
pub fn seconds(secs: f64) -> String {
    let digits = if secs < 1.0 {
        3
    } else if secs < 100.0 {
        2
    } else {
        0
    };
    let text = format!("{secs:.digits$}");
    let short =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short} s")
}

/// `1.5 MiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// `8 Mbit/s`, of bytes per second.
#[must_use]
pub fn rate(bytes_per_second: f64) -> String {
    scaled(bytes_per_second * 8.0, 1000.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

fn scaled(mut value: f64, factor: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= factor && unit + 1 < units.len() {
        value /= factor;
        unit += 1;
    }
    let text = if value < 10.0 && unit > 0 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), units[unit])
}

#[cfg(test)]
mod tests {
    use super::{NAME_MAX, bytes, px, rate, seconds, short, ticks};

    #[test]
    fn a_long_name_keeps_both_ends() {
        let exact = "a".repeat(NAME_MAX);
        assert_eq!((short("leech[3]"), short(&exact)), ("leech[3]".to_owned(), exact));
        let long = short("workstations-of-the-second-floor[12]");
        assert_eq!(long, "workstati…-floor[12]");
        assert_eq!(long.chars().count(), NAME_MAX);
    }

    #[test]
    fn ticks_are_round_and_not_too_many() {
        assert_eq!(ticks(10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        for end in [0.001, 0.9, 3.3, 17.0, 99.0, 1e6] {
            let ticks = ticks(end, 9);
            assert!((4..=10).contains(&ticks.len()), "{end}: {ticks:?}");
            assert!(ticks.iter().all(|at| *at <= end * 1.001), "{end}: {ticks:?}");
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!((px(12.0), px(0.25)), ("12".into(), "0.2".into()));
        assert_eq!(
            (seconds(0.25), seconds(12.0), seconds(250.0)),
            ("0.25 s".into(), "12 s".into(), "250 s".into())
        );
        assert_eq!(
            (bytes(1536), bytes(64 << 20), bytes(7)),
            ("1.5 KiB".into(), "64 MiB".into(), "7 B".into())
        );
        assert_eq!((rate(1e6), rate(12.5e6)), ("8 Mbit/s".into(), "100 Mbit/s".into()));
    }
}

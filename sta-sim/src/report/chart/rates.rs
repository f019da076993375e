//! How fast a host sends and receives, as its link carries it.
//!
//! What a host has sent it has handed to its connections, and a block counts as received once its last byte is there. So
//! bytes that are more than the link carries in a column left in later ones, or came in earlier ones. Invariant: no rate is
//! above the link's.

use crate::report::series::{COLUMNS, HostSeries};
use crate::scenario::plan::HostPlan;

/// Blocks that the link carries in the window over which a rate is counted: one more or less is not seen.
const BLOCKS: f64 = 16.0;
/// Bytes of a usual block.
const BLOCK: f64 = 16_384.0;
/// Least columns of a window.
const WINDOW_MIN: usize = 3;
/// Most columns of a window: a curve that is flatter tells nothing.
const WINDOW_MAX: usize = COLUMNS / 8;

/// Bytes per second, by column.
pub struct Rates {
    /// Received.
    pub down: Vec<f64>,
    /// Sent.
    pub up: Vec<f64>,
    /// What a chart's full height is: the faster direction of the link, or where that has no limit the fastest seen.
    pub full: f64,
}

impl Rates {
    /// The rates of a host whose columns last so many `nanos`.
    #[must_use]
    pub fn of(host: &HostPlan, seen: &HostSeries, nanos: u64) -> Self {
        let secs = nanos as f64 / 1e9;
        let carried = |columns: Vec<f64>, link: Option<u64>| match link {
            Some(link) => later(&columns, link as f64 * secs),
            None => columns,
        };
        let floats = |columns: &[u64]| columns.iter().map(|&bytes| bytes as f64).collect();
        let backwards = |mut columns: Vec<f64>| {
            columns.reverse();
            columns
        };
        let rate = |columns: &[f64], link: Option<u64>| -> Vec<f64> {
            smoothed(columns, window(link, secs)).into_iter().map(|bytes| bytes / secs).collect()
        };
        let earlier = backwards(carried(backwards(floats(&seen.down)), host.down));
        let (down, up) =
            (rate(&earlier, host.down), rate(&carried(floats(&seen.up), host.up), host.up));
        let most = |rates: &[f64], link: Option<u64>| {
            link.map_or_else(|| rates.iter().copied().fold(0.0, f64::max), |link| link as f64)
        };
        let full = most(&down, host.down).max(most(&up, host.up)).max(1.0);
        Self { down, up, full }
    }
}

/// What is more than `most` in a column is carried in the next ones.
fn later(columns: &[f64], most: f64) -> Vec<f64> {
    let mut waiting = 0.0;
    let carry = |bytes: &f64| {
        waiting += bytes;
        let carried = f64::min(waiting, most);
        waiting -= carried;
        carried
    };
    columns.iter().map(carry).collect()
}

/// Columns of a window of a link that lasts so many seconds each.
fn window(link: Option<u64>, secs: f64) -> usize {
    let long = link.map_or(0.0, |link| BLOCKS * BLOCK / (link as f64).max(1.0) / secs);
    (long.ceil() as usize).clamp(WINDOW_MIN, WINDOW_MAX)
}

/// The mean of the columns around each.
fn smoothed(columns: &[f64], window: usize) -> Vec<f64> {
    let mean = |column: usize| {
        let from = column.saturating_sub(window / 2);
        let around = &columns[from..(column + window / 2 + 1).min(columns.len())];
        around.iter().sum::<f64>() / around.len() as f64
    };
    (0..columns.len()).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::{Rates, window};
    use crate::checks::story;
    use crate::report::series::{COLUMNS, HostSeries};
    use crate::scenario::plan::HostPlan;

    const BURST: u64 = 1_000_000;
    /// Nanoseconds of a column.
    const NANOS: u64 = 100_000_000;

    fn leech(down: Option<u64>, up: Option<u64>) -> HostPlan {
        HostPlan { down, up, ..story::plan(1).hosts[3].clone() }
    }

    /// A burst of bytes in column 100, either way.
    fn burst(host: &HostPlan) -> Rates {
        let mut seen =
            HostSeries { down: vec![0; COLUMNS], up: vec![0; COLUMNS], ..HostSeries::default() };
        (seen.down[100], seen.up[100]) = (BURST, BURST);
        Rates::of(host, &seen, NANOS)
    }

    #[test]
    fn no_rate_is_above_the_link_and_no_byte_is_lost() {
        let rates = burst(&leech(Some(1_000_000), Some(500_000)));
        let most = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
        assert!(most(&rates.down) <= 1_000_000.0 && most(&rates.up) <= 500_000.0);
        for columns in [&rates.down, &rates.up] {
            let bytes: f64 = columns.iter().map(|rate| rate * NANOS as f64 / 1e9).sum();
            assert!((bytes - BURST as f64).abs() < 1.0, "{bytes}");
        }
        let seen = |rates: &[f64]| {
            let some = |rate: &f64| *rate > 0.0;
            (rates.iter().position(some), rates.iter().rposition(some))
        };
        let (first, last) = seen(&rates.down);
        assert!(first < Some(92) && last <= Some(102), "it came before: {first:?} {last:?}");
        let (first, last) = seen(&rates.up);
        assert!(first >= Some(97) && last > Some(118), "it leaves after: {first:?} {last:?}");
    }

    #[test]
    fn full_height_is_the_link_or_the_fastest_seen() {
        let full = |down, up| burst(&leech(down, up)).full;
        assert_eq!(full(Some(1_000_000), Some(125_000)), 1_000_000.0);
        let seen = BURST as f64 / (3.0 * NANOS as f64 / 1e9);
        assert!((full(None, Some(125_000)) - seen).abs() < 1.0);
    }

    #[test]
    fn a_window_is_long_enough_for_many_blocks() {
        assert_eq!(window(Some(125_000_000), 0.1), 3);
        assert_eq!(window(Some(125_000), 0.5), 5);
        assert_eq!(window(Some(1), 0.1), COLUMNS / 8);
        assert_eq!(window(None, 0.1), 3);
    }
}

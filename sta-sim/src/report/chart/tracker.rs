//! What trackers had to do: messages received, and leases kept, over time.

use maud::{Markup, html};

use super::{AXIS, LEFT, RIGHT, Scale, WIDTH, px};
use crate::report::series::{COLUMNS, Series};

const HEIGHT: f64 = 90.0;

/// The chart.
#[must_use]
pub fn tracker(series: &Series) -> Markup {
    let scale = Scale::new(series.end);
    let per_second = |count: u64| count as f64 / series.column_nanos() as f64 * 1e9;
    let most = series.tracker.iter().copied().max().unwrap_or(0).max(1);
    let leases = series.leases.iter().copied().max().unwrap_or(0).max(1);
    let points: Vec<String> = series
        .leases
        .iter()
        .enumerate()
        .map(|(column, count)| {
            let y = HEIGHT - *count as f64 / leases as f64 * (HEIGHT - 6.0);
            format!("{},{}", px(scale.column(column, COLUMNS)), px(y))
        })
        .collect();
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + AXIS)) role="img" {
            title { "Messages to trackers, and leases, over time" }
            rect.ground x=(px(LEFT)) y="0" width=(px(RIGHT - LEFT)) height=(px(HEIGHT)) {}
            (scale.axis(0.0, HEIGHT))
            text.name x=(px(LEFT - 8.0)) y="11" text-anchor="end" { (format!("{:.0}", per_second(most))) "/s" }
            text.name x=(px(LEFT - 8.0)) y=(px(HEIGHT)) text-anchor="end" { "0" }
            @for (column, count) in series.tracker.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = *count as f64 / most as f64 * (HEIGHT - 6.0);
                rect.messages x=(px(scale.column(column, COLUMNS))) y=(px(HEIGHT - height))
                    width=(px((RIGHT - LEFT) / COLUMNS as f64 - 0.5)) height=(px(height)) {}
            }
            polyline.leases points=(points.join(" ")) {}
            text.figure x=(px(RIGHT + 8.0)) y="11" { (leases) " leases" }
        }
        p.key { span.k-messages { "messages received" } span.k-leases { "leases kept" } }
    }
}

//! What trackers had to do: messages received, and leases kept, over time.

use maud::{Markup, html};
use sta_core::model::time::Time;

use super::{AXIS, LEFT, RIGHT, Scale, WIDTH, px};
use crate::report::series::{COLUMNS, Series};

const HEIGHT: f64 = 90.0;

/// The chart.
#[must_use]
pub fn tracker(series: &Series) -> Markup {
    let scale = Scale::new(series.end);
    let most = series.heard.iter().copied().max().unwrap_or(0).max(1);
    let (bars, per_bar) = bars(&series.heard);
    let second = |number: usize| scale.x(Time::from_nanos(number as u64 * 1_000_000_000));
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
            text.name x=(px(LEFT - 8.0)) y="11" text-anchor="end" { (most) " in a second" }
            text.name x=(px(LEFT - 8.0)) y=(px(HEIGHT)) text-anchor="end" { "0" }
            @for (bar, count) in bars.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = *count as f64 / most as f64 * (HEIGHT - 6.0);
                @let (from, to) = (second(bar * per_bar), second((bar + 1) * per_bar));
                rect.messages x=(px(from)) y=(px(HEIGHT - height)) width=(px((to - from - 0.5).max(0.5))) height=(px(height)) {
                    title { (count) " messages in the second from " (bar * per_bar) " s on"
                        @if per_bar > 1 { ", or in one of the next" } }
                }
            }
            polyline.leases points=(points.join(" ")) {}
            text.figure x=(px(RIGHT + 8.0)) y="11" { (leases) " leases" }
        }
        p.key { span.k-messages { "messages received, by the second" @if per_bar > 1 { " (the fullest of each " (per_bar) ")" } } span.k-leases { "leases kept" } }
    }
}

/// Messages in the fullest second of each bar, and how many seconds a bar is: one, unless there are more than columns.
fn bars(heard: &[u64]) -> (Vec<u64>, usize) {
    let per_bar = heard.len().div_ceil(COLUMNS).max(1);
    let fullest = |seconds: &[u64]| seconds.iter().copied().max().unwrap_or(0);
    (heard.chunks(per_bar).map(fullest).collect(), per_bar)
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, bars};

    #[test]
    fn no_bar_is_more_than_a_second_had() {
        assert_eq!(bars(&[3, 0, 32]), (vec![3, 0, 32], 1));
        let mut long = vec![1; 2 * COLUMNS + 1];
        long[4] = 32;
        let (bars, per_bar) = bars(&long);
        assert_eq!((per_bar, bars[1], bars.iter().max()), (3, 32, Some(&32)));
    }
}

//! How many copies of each piece there were over time, on hosts that ran.

use maud::{Markup, html};

use super::{AXIS, LEFT, RIGHT, Scale, WIDTH, px};
use crate::report::series::{COLUMNS, ContentSeries, Series};
use crate::scenario::plan::Plan;

/// Shades between one copy and a copy everywhere.
const SHADES: u32 = 6;

/// One chart per content.
#[must_use]
pub fn pieces(plan: &Plan, series: &Series) -> Markup {
    html! {
        @for (content, seen) in plan.contents.iter().zip(&series.contents) {
            @let takers = plan.hosts.iter().filter(|host| !host.takes.is_empty()).count() as u32;
            @let pieces = content.layout.pieces();
            h3 { (content.name) " " small { (pieces) " pieces" } }
            @if pieces == 0 {
                p { "It is empty: there is nothing to copy." }
            } @else {
                (chart(series, seen, pieces, takers))
            }
        }
        p.key {
            span.k-c0 { "no copy is running" }
            span.k-c1 { "one" }
            span.k-c4 { "more" }
            span.k-c7 { "everywhere" }
        }
    }
}

fn chart(series: &Series, seen: &ContentSeries, pieces: u32, takers: u32) -> Markup {
    let rows = seen.copies.first().map_or(0, Vec::len);
    let row_height = (180.0 / rows.max(1) as f64).clamp(3.0, 14.0);
    let bottom = rows as f64 * row_height;
    let scale = Scale::new(series.end);
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", bottom + AXIS)) role="img" {
            title { "Copies of each piece over time" }
            text.name x=(px(LEFT - 8.0)) y="11" text-anchor="end" { "piece 0" }
            @if bottom > 24.0 {
                text.name x=(px(LEFT - 8.0)) y=(px(bottom - 2.0)) text-anchor="end" { "piece " (pieces - 1) }
            }
            rect.ground x=(px(LEFT)) y="0" width=(px(RIGHT - LEFT)) height=(px(bottom)) {}
            @for shade in 0..=SHADES + 1 {
                path class=(format!("c{shade}")) d=(path(seen, row_height, scale, takers, shade)) {}
            }
            (scale.axis(bottom, bottom))
            text.figure x=(px(RIGHT + 8.0)) y="11" { "rarest: " (rarest(seen)) }
        }
    }
}

/// All cells of one shade, as one path of runs from left to right.
fn path(seen: &ContentSeries, height: f64, scale: Scale, takers: u32, wanted: u32) -> String {
    let mut path = String::new();
    let rows = seen.copies.first().map_or(0, Vec::len);
    for row in 0..rows {
        let is = |column: usize| {
            seen.copies.get(column).is_some_and(|copies| shade(copies[row], takers) == wanted)
        };
        let mut column = 0;
        while column < COLUMNS {
            let from = column;
            while column < COLUMNS && is(column) {
                column += 1;
            }
            if column > from {
                let (left, right) = (scale.column(from, COLUMNS), scale.column(column, COLUMNS));
                let top = row as f64 * height;
                path += &format!(
                    "M{} {}H{}v{}H{}z",
                    px(left),
                    px(top),
                    px(right),
                    px(height),
                    px(left)
                );
            }
            column += 1;
        }
    }
    path
}

/// 0: none; 1: one; up to `SHADES`: more, by powers; `SHADES + 1`: on every host that takes part.
fn shade(copies: u32, takers: u32) -> u32 {
    match copies {
        0 | 1 => copies,
        all if all >= takers => SHADES + 1,
        some => {
            let (part, whole) = (f64::from(some).log2(), f64::from(takers.max(3)).log2());
            2 + ((part / whole) * f64::from(SHADES - 1)) as u32
        }
    }
    .min(SHADES + 1)
}

/// The least copies of any piece at the end.
fn rarest(seen: &ContentSeries) -> u32 {
    seen.copies.last().and_then(|rows| rows.iter().min().copied()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{SHADES, shade};

    #[test]
    fn shades_grow_with_copies() {
        for takers in [1, 2, 3, 9, 1000] {
            let shades: Vec<u32> = (0..=takers).map(|copies| shade(copies, takers)).collect();
            assert!(shades.is_sorted(), "{takers}: {shades:?}");
            assert_eq!(shades[0], 0);
        }
        assert_eq!((shade(1, 9), shade(9, 9)), (1, SHADES + 1));
        assert!(shade(8, 9) <= SHADES);
    }
}

//! Who got how much from whom.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{LEFT, bytes, px, short};
use crate::report::series::Series;
use crate::scenario::plan::{HostIx, Plan, Role};

/// Most hosts that are drawn one by one; more are drawn as groups.
const HOSTS_MAX: usize = 48;
/// Least width of a cell.
const SIZE_MIN: f64 = 13.0;
/// Least width of a cell whose name is slanted.
const SLANTED_MIN: f64 = 20.0;
/// Width of a letter.
const LETTER: f64 = 6.8;

/// The chart: a row for each receiver, a column for each sender, and the sums of each.
#[must_use]
pub fn matrix(plan: &Plan, series: &Series) -> Markup {
    let (names, cells) = cells(plan, series);
    let n = names.len();
    let most = cells.values().copied().max().unwrap_or(0).max(1);
    let size = (620.0 / n.max(1) as f64).clamp(SIZE_MIN, 34.0);
    let names: Vec<(String, String)> = names.into_iter().map(|name| (short(&name), name)).collect();
    let longest = names.iter().map(|(short, _)| short.chars().count()).max().unwrap_or(0) as f64;
    // Upright where slanted ones would touch.
    let slant: f64 = if size < SLANTED_MIN { 90.0 } else { 55.0 };
    let (left, top) = (LEFT, 20.0 + longest * LETTER * slant.to_radians().sin());
    let (width, height) = (left + size * n as f64 + 90.0, top + size * n as f64 + 26.0);
    let sum = |of: &dyn Fn(usize, usize) -> bool| -> u64 {
        cells.iter().filter(|((to, from), _)| of(*to, *from)).map(|(_, bytes)| bytes).sum()
    };
    html! {
        svg.matrix viewBox=(format!("0 0 {} {}", px(width), px(height))) style=(format!("max-width:{}px", px(width))) role="img" {
            title { "Bytes received, by receiver (row) and sender (column)" }
            @for (ix, (short, name)) in names.iter().enumerate() {
                @let middle = (ix as f64 + 0.5) * size;
                text.name x=(px(left - 8.0)) y=(px(top + middle + 4.0)) text-anchor="end" { (short) title { (name) } }
                text.name transform=(format!("translate({} {}) rotate(-{slant})", px(left + middle + 4.0), px(top - 8.0))) { (short) title { (name) } }
                text.figure x=(px(left + size * n as f64 + 8.0)) y=(px(top + middle + 4.0)) {
                    (bytes(sum(&|to, _| to == ix)))
                }
                rect.ground x=(px(left)) y=(px(top + ix as f64 * size)) width=(px(size * n as f64)) height=(px(size - 1.0)) {}
            }
            @for ((to, from), got) in &cells {
                @let share = (*got as f64 / most as f64).sqrt();
                rect.given x=(px(left + *from as f64 * size)) y=(px(top + *to as f64 * size))
                    width=(px(size - 1.0)) height=(px(size - 1.0)) fill-opacity=(format!("{share:.2}")) {
                    title { (names[*to].1) " got " (bytes(*got)) " from " (names[*from].1) }
                }
            }
            text.figure x=(px(left + size * n as f64 + 8.0)) y=(px(top - 8.0)) { "received" }
        }
        p.key { span.k-given { "darkest: " (bytes(most)) } span.more { "a row is who received, a column is who sent" } }
    }
}

/// Names, and bytes by (receiver, sender), as indices of the names.
fn cells(plan: &Plan, series: &Series) -> (Vec<String>, BTreeMap<(usize, usize), u64>) {
    let nodes: Vec<HostIx> =
        (0..plan.hosts.len()).filter(|&ix| plan.hosts[ix].role == Role::Node).collect();
    let by_group = nodes.len() > HOSTS_MAX;
    let name = |host: HostIx| {
        let host = &plan.hosts[host];
        if by_group { host.group.clone() } else { host.name.clone() }
    };
    let mut names: Vec<String> = nodes.iter().map(|&host| name(host)).collect();
    names.dedup();
    let place = |host: HostIx| names.iter().position(|known| *known == name(host));
    let mut cells = BTreeMap::new();
    for ((to, from), bytes) in &series.given {
        if let (Some(to), Some(from)) = (place(*to), place(*from)) {
            *cells.entry((to, from)).or_default() += bytes;
        }
    }
    (names, cells)
}

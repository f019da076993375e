//! `sta-node status`: asks a tracker which node has how much of what.

use std::collections::BTreeMap;

use serde::Serialize;
use sta_core::model::address::Address;
use sta_core::model::ids::InfoHash;
use sta_core::run::status::status;
use sta_core::wire::tracker::StatusRow;
use sta_net_tcp::TcpTransport;

use super::args::Status;
use super::context::Context;
use super::torrents;
use crate::exit::{Exit, Failure};
use crate::output::{Output, table};
use crate::units;

/// What `status --json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    tracker: String,
    rows: Vec<StatusRow>,
}

/// Runs the command.
///
/// # Errors
/// If the tracker cannot be reached or does not answer.
pub(super) async fn run(args: &Status, ctx: &mut Context) -> Result<Exit, Failure> {
    let torrent = args.torrent.as_deref().map(torrents::read).transpose()?;
    let info_hash = torrent.as_ref().map(|torrent| torrent.info_hash());
    let trackers = match (&args.tracker, &torrent) {
        (Some(tracker), _) => vec![tracker.clone()],
        (None, Some(torrent)) if !torrent.trackers().is_empty() => torrent.trackers().to_vec(),
        (None, _) => vec![ctx.settings.tracker_address()?],
    };
    let (tracker, rows) = tokio::select! {
        biased;
        () = ctx.interrupt.asked() => return Err(Failure::interrupted()),
        answered = first_to_answer(&trackers, info_hash, &ctx.output) => answered?,
    };
    let rows = once_each(rows);
    if ctx.output.json() {
        ctx.output.json_line(&Answer { tracker: tracker.tracker_url(), rows });
    } else if rows.is_empty() {
        ctx.output.result(format_args!("tracker {tracker}: no node has registered anything"));
    } else {
        let name = torrent.as_ref().map(|torrent| torrent.name());
        ctx.output.result(text(&rows, name));
    }
    Ok(Exit::Done)
}

/// The first of `trackers`, in their order, that answers, and what it says.
async fn first_to_answer(
    trackers: &[Address],
    torrent: Option<InfoHash>,
    output: &Output,
) -> Result<(Address, Vec<StatusRow>), Failure> {
    let transport = TcpTransport::new();
    let mut failed = None;
    for tracker in trackers {
        match status(&transport, tracker, torrent).await {
            Ok(rows) => {
                if let Some(failure) = failed {
                    output.note(failure);
                }
                return Ok((tracker.clone(), rows));
            }
            Err(error) => failed = Some(failed.unwrap_or_else(|| Failure::of(error))),
        }
    }
    Err(failed.unwrap_or_else(|| Failure::start("no tracker", "none is named")))
}

/// Each node once: one whose torrent calls the tracker by several names has registered by each.
fn once_each(rows: Vec<StatusRow>) -> Vec<StatusRow> {
    let mut places = BTreeMap::new();
    let mut kept: Vec<StatusRow> = Vec::new();
    for row in rows {
        let place =
            places.entry((row.torrent, row.node.clone(), row.addr.clone())).or_insert(kept.len());
        match kept.get_mut(*place) {
            None => kept.push(row),
            // What came by one name may be older than what came by another.
            Some(known) if (row.online, row.have) > (known.online, known.have) => *known = row,
            Some(_) => {}
        }
    }
    kept
}

/// A table per torrent; the tracker knows torrents by their hash alone.
fn text(rows: &[StatusRow], name: Option<&str>) -> String {
    let mut by_torrent: BTreeMap<InfoHash, Vec<&StatusRow>> = BTreeMap::new();
    for row in rows {
        by_torrent.entry(row.torrent).or_default().push(row);
    }
    let one = |(torrent, rows): (&InfoHash, &Vec<&StatusRow>)| {
        let complete = rows.iter().filter(|row| row.have == row.pieces).count();
        let called = name.map_or_else(|| torrent.to_string(), |name| format!("{name} ({torrent})"));
        let cells = rows.iter().map(|row| cells(row));
        let columns = ["node", "address", ">has", ">of it", ">received", ">sent", "state"];
        let nodes = if rows.len() == 1 { "node" } else { "nodes" };
        let head = format!("{called}: {} {nodes}, {complete} complete", rows.len());
        format!("{head}\n{}", table(&columns, cells))
    };
    by_torrent.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

fn cells(row: &StatusRow) -> Vec<String> {
    let state = match (row.online, row.have == row.pieces) {
        (false, _) => "away",
        (true, true) => "complete",
        (true, false) => "online",
    };
    vec![
        row.node.to_string(),
        row.addr.to_string(),
        format!("{} of {}", row.have, row.pieces),
        format!("{} %", units::percent(row.have.into(), row.pieces.into())),
        units::bytes(row.down),
        units::bytes(row.up),
        state.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use sta_core::wire::tracker::StatusRow;

    use super::{once_each, text};

    fn row(torrent: char, node: &str, have: u32, online: bool) -> StatusRow {
        StatusRow {
            torrent: torrent.to_string().repeat(40).parse().expect("an info-hash"),
            node: node.parse().expect("an id"),
            addr: "10.0.0.1:7".parse().expect("an address"),
            have,
            pieces: 8,
            up: 0,
            down: 1 << 20,
            online,
            event: None,
        }
    }

    /// Its torrent named the tracker by a number and by a name, and it was two nodes.
    #[test]
    fn a_node_that_knows_the_tracker_by_two_names_is_one() {
        let elsewhere = StatusRow {
            addr: "10.0.0.2:7".parse().expect("an address"),
            ..row('a', "n1", 2, true)
        };
        let rows = [row('a', "n1", 7, true), row('b', "n1", 0, true), row('a', "n2", 1, true)];
        let again = [row('a', "n1", 8, true), row('a', "n2", 8, false), elsewhere];
        let shown = once_each(rows.into_iter().chain(again).collect());
        let shown: Vec<_> = shown.iter().map(|row| (row.node.as_str(), row.have)).collect();
        assert_eq!(shown, [("n1", 8), ("n1", 0), ("n2", 1), ("n1", 2)]);
    }

    #[test]
    fn a_table_per_torrent() {
        let shown = text(
            &[row('a', "n1", 8, true), row('b', "n1", 0, true), row('a', "n2", 7, false)],
            None,
        );
        let (first, second) = shown.split_once("\n\n").expect("two tables");
        assert!(
            first.starts_with(&format!("{}: 2 nodes, 1 complete\n", "a".repeat(40))),
            "{shown}"
        );
        let n2 = first.lines().last().expect("a row");
        assert!(
            n2.starts_with(" n2")
                && n2.contains("7 of 8")
                && n2.contains("87 %")
                && n2.ends_with("away"),
            "{shown}"
        );
        assert_eq!(second.lines().count(), 3, "{shown}");
    }
}

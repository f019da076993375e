//! `sta-node verify`: compares data with its torrent, and says which files are not right.

use serde::Serialize;
use sta_core::model::bitfield::PieceRange;
use sta_core::model::metainfo::Metainfo;

use super::args::Verify;
use super::context::Context;
use super::{place, report, torrents};
use crate::exit::{Exit, Failure};
use crate::torrent::folder_of;
use crate::torrent::verify::{BadFile, Verified};
use crate::units;

/// Files named on the screen; JSON names them all.
const FILES_SHOWN: usize = 20;

/// What `verify --json` prints.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    torrent: &'a str,
    info_hash: String,
    pieces: u32,
    good: u32,
    /// The pieces that are missing or wrong, as ranges.
    bad: Vec<PieceRange>,
    /// The files that are not whole and right.
    files: Vec<BadFile<'a>>,
    complete: bool,
}

/// Runs the command.
///
/// # Errors
/// If the torrent or the data cannot be read.
pub(super) async fn run(args: &Verify, ctx: &mut Context) -> Result<Exit, Failure> {
    let torrent = torrents::read(&args.torrent)?;
    let dir = args.data.as_deref().unwrap_or_else(|| folder_of(&args.torrent));
    // Without a folder everything would be missing, whatever was misspelt.
    std::fs::read_dir(dir).map_err(|reason| {
        Failure::start(dir.display(), reason)
            .advise("name the folder where the data is with --data")
    })?;
    let verified = place::verify(&torrent, dir, ctx).await?;
    let complete = verified.is_complete();
    let bad = verified.bad_files(&torrent);
    if ctx.output.json() {
        ctx.output.json_line(&answer(&torrent, &verified, bad));
    } else {
        print(&torrent, &verified, &bad, ctx);
    }
    Ok(if complete { Exit::Done } else { Exit::Unmet })
}

fn answer<'a>(torrent: &'a Metainfo, verified: &Verified, files: Vec<BadFile<'a>>) -> Answer<'a> {
    let missing = (0..verified.good.len()).filter(|&piece| !verified.good.contains(piece));
    Answer {
        torrent: torrent.name(),
        info_hash: torrent.info_hash().to_string(),
        pieces: verified.good.len(),
        good: verified.good.count(),
        bad: sta_core::model::bitfield::collect_ranges(missing),
        files,
        complete: verified.is_complete(),
    }
}

fn print(torrent: &Metainfo, verified: &Verified, bad: &[BadFile<'_>], ctx: &Context) {
    let (name, good) = (torrent.name(), &verified.good);
    if verified.is_complete() {
        let total = units::bytes(torrent.layout().total());
        let by = report::verification(torrent);
        ctx.output.result(format_args!("{name}: complete and right, {total}, {by}"));
        return;
    }
    let wrong = good.len() - good.count();
    let summary = if wrong > 0 {
        format!("{wrong} of {} pieces are missing or wrong", good.len())
    } else {
        // A file may be too long, or be empty and missing, and a link lead elsewhere: no piece knows of it.
        let files = torrent.files().as_slice().iter().filter(|file| !file.is_padding()).count();
        let links = torrent.files().links().len();
        let things = if links > 0 { "files and links" } else { "files" };
        let are = if bad.len() == 1 { "is" } else { "are" };
        format!("every piece is right, but {} of {} {things} {are} not", bad.len(), files + links)
    };
    let mut lines = vec![format!("{name}: {summary}")];
    lines.extend(bad.iter().take(FILES_SHOWN).map(|file| format!("  {}: {}", file.path, file.why)));
    if bad.len() > FILES_SHOWN {
        lines.push(format!("  and {} more files; --json names them all", bad.len() - FILES_SHOWN));
    }
    ctx.output.result(lines.join("\n"));
}

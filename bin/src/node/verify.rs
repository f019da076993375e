//! `sta-node verify`: compares data with its torrent, and says which files are not right.

use serde::Serialize;
use sta_core::model::bitfield::PieceRange;
use sta_core::model::metainfo::Metainfo;

use super::args::Verify;
use super::context::Context;
use super::{place, report, torrents};
use crate::exit::{Exit, Failure};
use crate::torrent::verify::{FileState, Verified};
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

/// A file that is not whole and right.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct BadFile<'a> {
    path: &'a str,
    why: String,
}

/// Runs the command.
///
/// # Errors
/// If the torrent or the data cannot be read.
pub(super) async fn run(args: &Verify, ctx: &mut Context) -> Result<Exit, Failure> {
    let torrent = torrents::read(&args.torrent)?;
    let dir = args.data.as_deref().unwrap_or_else(|| place::folder_of(&args.torrent));
    let verified = place::verify(&torrent, dir, ctx).await?;
    let complete = verified.is_complete();
    let bad = bad_files(&torrent, &verified);
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
    let mut lines = vec![format!("{name}: {wrong} of {} pieces are missing or wrong", good.len())];
    lines.extend(bad.iter().take(FILES_SHOWN).map(|file| format!("  {}: {}", file.path, file.why)));
    if bad.len() > FILES_SHOWN {
        lines.push(format!("  and {} more files; --json names them all", bad.len() - FILES_SHOWN));
    }
    ctx.output.result(lines.join("\n"));
}

/// The files that are not whole and right, and why.
fn bad_files<'a>(torrent: &'a Metainfo, verified: &Verified) -> Vec<BadFile<'a>> {
    let layout = torrent.layout();
    let files = torrent.files().as_slice().iter().zip(&verified.files);
    let bad = files.filter_map(|(file, state)| {
        let pieces = if file.len == 0 {
            0..0
        } else {
            let piece = |byte: u64| (byte / u64::from(layout.piece_bytes())) as u32;
            piece(file.offset)..piece(file.offset + file.len - 1) + 1
        };
        let all = pieces.len();
        let bad = pieces.filter(|&piece| !verified.good.contains(piece)).count();
        let of_pieces = || format!("{bad} of its {all} pieces are missing or wrong");
        let why = match *state {
            FileState::Padding => return None,
            FileState::Whole if bad == 0 => return None,
            FileState::Whole => of_pieces(),
            FileState::Part => format!("incomplete, {}", of_pieces()),
            FileState::Missing => "missing".to_owned(),
            FileState::Short(len) => format!("too short: {len} bytes of {}", file.len),
            FileState::Long(len) => format!("too long: {len} bytes, it should have {}", file.len),
            FileState::NotAFile => "not a file".to_owned(),
        };
        Some(BadFile { path: &file.path, why })
    });
    bad.collect()
}

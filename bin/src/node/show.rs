//! `sta-node show`: what is in a `.torrent` file.

use super::args::Show;
use super::context::Context;
use super::torrents;
use crate::exit::{Exit, Failure};
use crate::torrent::show::TorrentView;

/// Runs the command.
///
/// # Errors
/// If the file cannot be read or is not a torrent.
pub(super) fn run(args: &Show, ctx: &Context) -> Result<Exit, Failure> {
    let view = TorrentView::new(&*torrents::read(&args.torrent)?);
    if ctx.output.json() {
        ctx.output.json_line(&view);
    } else {
        ctx.output.result(view);
    }
    Ok(Exit::Done)
}

//! From what was typed to torrents: files are read, links are fetched, doubles are dropped.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use sta_core::model::ids::InfoHash;
use sta_core::model::metainfo::Metainfo;

use super::context::Context;
use super::fetch;
use super::link::Link;
use crate::exit::Failure;
use crate::torrent::{self, TorrentError};

/// Reads a `.torrent` file.
///
/// # Errors
/// If it cannot be read or is not a torrent, naming it.
pub(super) fn read(path: &Path) -> Result<Arc<Metainfo>, Failure> {
    torrent::load(path).map(Arc::new).map_err(|error| {
        let failure = |error: TorrentError| Failure::of(error).about(path.display());
        let broken = matches!(error, TorrentError::Broken { .. });
        if path.is_dir() || broken && !torrent::begins_like_a_torrent(path) {
            return failure(error).advise(
                "if it is what you want to share: `sta-node share` shares it at once, and `sta-node maketorrent` \
                 makes the .torrent file of it",
            );
        }
        failure(error)
    })
}

/// Reads a `.torrent` file, or fetches what a link names.
///
/// # Errors
/// As [`read`], or if the tracker of the link has not got it.
pub(super) async fn read_or_fetch(
    typed: impl AsRef<OsStr>,
    ctx: &mut Context,
) -> Result<Arc<Metainfo>, Failure> {
    // A link is plain text; a path need not be.
    let Some(text) = typed.as_ref().to_str() else { return read(Path::new(&typed)) };
    if !Link::is_meant(text) {
        let path = Path::new(text);
        if !path.exists() && (text.contains("://") || text.starts_with("magnet:")) {
            return Err(Failure::start(
                text,
                "neither a .torrent file that is here nor a link of STA",
            )
            .advise(
                "fetch the .torrent file first, or write the link that `sta-node share` printed",
            ));
        }
        return read(path);
    }
    let link: Link = text.parse().map_err(|reason: String| {
        Failure::start(text, reason).advise("copy the whole line that `sta-node share` printed")
    })?;
    fetch::metainfo(&link, ctx).await
}

/// The torrents without doubles.
///
/// # Errors
/// If two of them would lie in the same place.
pub(super) fn distinct(torrents: Vec<Arc<Metainfo>>) -> Result<Vec<Arc<Metainfo>>, Failure> {
    let mut by_name: BTreeMap<String, InfoHash> = BTreeMap::new();
    let mut kept = Vec::new();
    for torrent in torrents {
        let name = torrent.name().to_owned();
        match by_name.insert(name, torrent.info_hash()) {
            None => kept.push(torrent),
            Some(other) if other == torrent.info_hash() => {}
            Some(_) => {
                return Err(Failure::start(torrent.name(), "two of the torrents have this name")
                    .advise("download them one after the other, into different folders"));
            }
        }
    }
    Ok(kept)
}

//! `sta-node maketorrent`: describes a file or a folder in a `.torrent` file.

use std::path::{Path, PathBuf};

use sta_core::model::address::Address;
use sta_core::model::metainfo::{About, Metainfo};

use super::args::Maketorrent;
use super::context::Context;
use super::progress;
use crate::exit::{Exit, Failure};
use crate::torrent::make::{self, MakeError, MakeOptions};
use crate::torrent::{self, TorrentError, show::TorrentView};

/// Runs the command.
///
/// # Errors
/// If the files cannot be read, or the torrent not written.
pub(super) async fn run(args: &Maketorrent, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut trackers = args.trackers.list.clone();
    if trackers.is_empty() && ctx.settings.names_a_tracker() {
        trackers.push(ctx.settings.tracker_address()?);
    }
    let to = args.output.clone().unwrap_or_else(|| torrent_path(&args.path));
    let torrent = make_file(&args.path, &to, args.piece_size, trackers, ctx).await?;
    if ctx.output.json() {
        ctx.output.json_line(&TorrentView::new(&torrent));
    } else {
        ctx.output.result(format_args!("{}", to.display()));
        ctx.output.note(format_args!("info-hash {}", torrent.info_hash()));
    }
    Ok(Exit::Done)
}

/// Where the torrent of `path` is written if nobody says: beside it, as `NAME.torrent`.
#[must_use]
pub(super) fn torrent_path(path: &Path) -> PathBuf {
    // "." and "dir/.." have no name of their own until they are resolved.
    let path = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
    };
    // Without the slashes at its end.
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(".torrent");
    name.into()
}

/// Makes the torrent of `path` and writes it to `to`.
///
/// # Errors
/// As for [`make`], and if it cannot be written.
pub(super) async fn make_file(
    path: &Path,
    to: &Path,
    piece_bytes: Option<u32>,
    trackers: Vec<Address>,
    ctx: &mut Context,
) -> Result<Metainfo, Failure> {
    let unwritable = |error: TorrentError| Failure::of(error).about(to.display());
    // What is not there is named as that, and not the torrent that would lie beside it.
    if path.exists() {
        torrent::check_beside(path, to).map_err(unwritable)?;
    }
    let torrent = make(path, piece_bytes, trackers, ctx).await?;
    let before = torrent::load(to).ok().filter(|before| before.bytes() != torrent.bytes());
    torrent::save(&torrent, to).map_err(unwritable)?;
    if let Some(before) = before {
        let what = if before.info_hash() == torrent.info_hash() {
            "one of the same content that says other things of it".to_owned()
        } else {
            format!("that of {}, info-hash {}", before.name(), before.info_hash())
        };
        ctx.output.note(format_args!("{}: replaces {what}", to.display()));
    }
    Ok(torrent)
}

/// Makes the torrent of `path`, under a bar.
///
/// # Errors
/// If the files cannot be read or described.
pub(super) async fn make(
    path: &Path,
    piece_bytes: Option<u32>,
    trackers: Vec<Address>,
    ctx: &mut Context,
) -> Result<Metainfo, Failure> {
    let piece_bytes = piece_bytes.or_else(|| ctx.settings.piece_bytes());
    let mut distinct: Vec<Address> = Vec::new();
    for tracker in trackers {
        if !distinct.contains(&tracker) {
            distinct.push(tracker);
        }
    }
    let trackers = distinct;
    let created_by = Some(concat!("STA ", env!("CARGO_PKG_VERSION")).to_owned());
    let options =
        MakeOptions { piece_bytes, trackers, about: About { created_by, ..About::default() } };
    let bar = ctx.output.screen().add(progress::bar(&format!("hashing {}", path.display()), 0));
    let (path, shown) = (path.to_owned(), bar.clone());
    let made = ctx.off_thread(move || {
        let there = make::survey(&path)?;
        shown.set_position(0);
        shown.set_length(there.bytes);
        let torrent = make::make(&path, &options, &|bytes| shown.inc(bytes))?;
        Ok((torrent, there.empty_folders))
    });
    let made = made.await;
    bar.finish_and_clear();
    ctx.output.screen().remove(&bar);
    let (torrent, empty_folders) = made?.map_err(|error: MakeError| {
        let at = error.path().map(|path| path.display().to_string());
        at.into_iter().fold(Failure::of(error), Failure::about)
    })?;
    if let Some(first) = empty_folders.first() {
        let count = empty_folders.len();
        ctx.output.note(format_args!(
            "{}: left out, as a torrent carries no empty folders; there {} {count} such",
            first.display(),
            if count == 1 { "is" } else { "are" },
        ));
    }
    Ok(torrent)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::torrent_path;

    #[test]
    fn the_torrent_lies_beside_what_it_describes() {
        for (path, want) in [
            ("a.txt", "a.txt.torrent"),
            ("dir/a b", "dir/a b.torrent"),
            ("dir/sub/", "dir/sub.torrent"),
            ("/x//", "/x.torrent"),
            ("/", "/.torrent"),
        ] {
            assert_eq!(torrent_path(Path::new(path)), Path::new(want), "{path}");
        }
        let here = torrent_path(Path::new("."));
        assert!(here.is_absolute() && here.file_stem().is_some_and(|stem| stem != "."), "{here:?}");
    }
}

//! Where a torrent's content lies on this machine, and how much of it is there: opened, locked and verified.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::StatVfs;
use sta_core::io::file_store::{Allocation, FileStore, SyncPolicy};
use sta_core::io::store::PieceStore as _;
use sta_core::io::store::StoreError;
use sta_core::model::address::Address;
use sta_core::model::bitfield::Bitfield;
use sta_core::model::files::part_of;
use sta_core::model::metainfo::Metainfo;
use sta_core::run::node::TorrentSpec;

use super::args::Contacts;
use super::context::Context;
use super::progress;
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::torrent::folder_of;
use crate::torrent::verify::{self, BadFile, Verified};
use crate::units;

/// A torrent with its content, verified.
#[derive(Clone)]
pub(super) struct Place {
    /// What it should be.
    pub(super) torrent: Arc<Metainfo>,
    /// Where it is, or will be once it is complete.
    pub(super) path: PathBuf,
    /// The pieces that are there.
    pub(super) have: Bitfield,
    /// The files that are not whole and right, and why.
    pub(super) wrong: Vec<String>,
    store: Arc<FileStore>,
    fetch: bool,
}

impl Place {
    /// The content in `dir` to be served: `NAME`, or else what there is of it in `NAME.part`.
    ///
    /// # Errors
    /// If there is nothing, it cannot be read, or no piece is right.
    pub(super) async fn for_seeding(
        torrent: Arc<Metainfo>,
        dir: &Path,
        ctx: &mut Context,
    ) -> Result<Self, Failure> {
        let path = dir.join(torrent.name());
        let part = part_of(&path);
        let store = if !is_there(&path) && is_there(&part) {
            FileStore::seed_part(Arc::clone(&torrent), dir).map_err(failure)?
        } else {
            FileStore::seed(Arc::clone(&torrent), dir).map_err(|e| match is_there(&path) {
                true => failure(e),
                false => failure(e).advise("name the folder where the data is with --data"),
            })?
        };
        let place = Self::checked(torrent, dir, store, false, ctx).await?;
        if place.have.is_empty() && !place.have.is_full() {
            let reason = format!("no piece of it is that of {}", place.torrent.info_hash());
            let at = if place.is_left_over() { place.part() } else { place.path };
            return Err(Failure::start(at.display(), reason)
                .advise("name the folder where the right data is with --data"));
        }
        Ok(place)
    }

    /// Where to download to in `dir`. A complete `NAME` is as good as downloaded; a `NAME.part` is gone on with.
    ///
    /// # Errors
    /// If `NAME` is something else, or the folder cannot be written.
    pub(super) async fn for_download(
        torrent: Arc<Metainfo>,
        dir: &Path,
        ctx: &mut Context,
    ) -> Result<Self, Failure> {
        let path = dir.join(torrent.name());
        // An empty folder is in nobody's way, and only an empty one can be removed so.
        let made_room = torrent.files().is_folder() && fs::remove_dir(&path).is_ok();
        if !made_room && is_there(&path) {
            return Self::existing(torrent, path, dir, ctx).await;
        }
        let store = open_part(&torrent, dir)?;
        Self::checked(torrent, dir, store, true, ctx).await
    }

    /// Whether everything is there, under its final name.
    #[must_use]
    pub(super) fn is_complete(&self) -> bool {
        !self.fetch && self.have.is_full()
    }

    /// Whether a node is to fetch what is missing.
    #[must_use]
    pub(super) fn is_fetching(&self) -> bool {
        self.fetch
    }

    /// Whether it is served as a download left it that did not end.
    #[must_use]
    pub(super) fn is_left_over(&self) -> bool {
        !self.fetch && !self.have.is_full() && !is_there(&self.path)
    }

    /// Makes what is complete durable, wherever it came from: waits for the disk.
    pub(super) fn settle(&self) -> impl FnOnce() -> Result<(), StoreError> + Send + use<> {
        let store = Arc::clone(&self.store);
        move || store.finish()
    }

    /// Whether what is complete now can be found where it was to be.
    ///
    /// # Errors
    /// If its folder is not there any more.
    pub(super) fn check_found(&self) -> Result<(), Failure> {
        if self.store.is_at_its_path() {
            return Ok(());
        }
        let reason =
            "it is not the folder any more that was downloaded into: that was moved or unmounted";
        Err(Failure::unmet(folder_of(&self.path).display(), reason)
            .advise(format!("{} is complete in it, wherever it is now", self.torrent.name())))
    }

    /// Where the content lies until it is complete.
    #[must_use]
    pub(super) fn part(&self) -> PathBuf {
        part_of(&self.path)
    }

    /// What a node needs to take part.
    ///
    /// # Errors
    /// If the torrent names no tracker and that of the configuration is not an address.
    pub(super) fn spec(
        &self,
        contacts: &Contacts,
        settings: &Settings,
    ) -> Result<TorrentSpec, Failure> {
        let mut trackers: Vec<Address> = self.torrent.trackers().to_vec();
        for tracker in &contacts.trackers.list {
            if !trackers.contains(tracker) {
                trackers.push(tracker.clone());
            }
        }
        if trackers.is_empty() && contacts.peers.is_empty() {
            if self.torrent.about().private {
                return Err(Failure::start(
                    self.torrent.name(),
                    "it is private, and none of its own trackers speaks STA",
                )
                .advise(
                    "name a tracker with --tracker or a peer with --peer, if its owner agrees",
                ));
            }
            trackers.push(settings.tracker_address()?);
        }
        Ok(TorrentSpec {
            info_hash: self.torrent.info_hash(),
            trackers,
            peers: contacts.peers.clone(),
            fetch: self.fetch,
            store: Arc::clone(&self.store) as _,
            have: self.have.clone(),
        })
    }

    /// `NAME` is there before a download: right, or in the way.
    async fn existing(
        torrent: Arc<Metainfo>,
        path: PathBuf,
        dir: &Path,
        ctx: &mut Context,
    ) -> Result<Self, Failure> {
        let store = FileStore::seed(Arc::clone(&torrent), dir);
        let verified = verify(&torrent, dir, ctx).await;
        let store = match store {
            Ok(store) => store,
            Err(e) => {
                // What the store would have a person do is another thing than what is to be done here.
                let reason = e.reason.split("; ").next().unwrap_or_default();
                let reason = format!("is there already and is not this torrent's: {reason}");
                return Err(match verified {
                    Ok(verified) if can_be_mended(&torrent, &path, &verified) => {
                        to_be_mended(&path, pieces_wrong(&verified.good))
                    }
                    Err(failure) if failure.exit == Exit::Interrupted => failure,
                    _ => in_the_way(&path, reason),
                });
            }
        };
        let verified = verified?;
        let (mendable, good) = (can_be_mended(&torrent, &path, &verified), verified.good.clone());
        let place = Self::of(torrent, dir, store, false, verified)?;
        let wrong = match place.wrong.as_slice() {
            _ if !good.is_full() => pieces_wrong(&good),
            [file, ..] => file.clone(),
            [] => return Ok(place),
        };
        Err(if mendable {
            to_be_mended(&path, wrong)
        } else {
            in_the_way(&path, format!("{DIFFERS}: {wrong}"))
        })
    }

    async fn checked(
        torrent: Arc<Metainfo>,
        dir: &Path,
        store: FileStore,
        fetch: bool,
        ctx: &mut Context,
    ) -> Result<Self, Failure> {
        let verified = verify(&torrent, dir, ctx).await?;
        Self::of(torrent, dir, store, fetch, verified)
    }

    fn of(
        torrent: Arc<Metainfo>,
        dir: &Path,
        store: FileStore,
        fetch: bool,
        verified: Verified,
    ) -> Result<Self, Failure> {
        let path = dir.join(torrent.name());
        if fetch && let Some(BadFile { path: inside, why }) = verified.in_the_way(&torrent) {
            let mut at = part_of(&path);
            if torrent.files().is_folder() {
                at.push(inside);
            }
            return Err(in_the_way(&at, format!("no download of this torrent left it: {why}")));
        }
        for (piece, leaves) in &verified.leaves {
            store.keep_leaf_hashes(*piece, leaves);
        }
        let bad = verified.bad_files(&torrent).into_iter();
        let wrong = bad.map(|file| format!("{}: {}", file.path, file.why)).collect();
        let have = if fetch { verified.good } else { verified.servable(&torrent) };
        Ok(Self { torrent, path, have, wrong, store: Arc::new(store), fetch })
    }

    /// Bytes that are still to be written, beyond the room that is set aside.
    fn missing_bytes(&self) -> u64 {
        let layout = self.torrent.layout();
        let here: u64 = self.have.iter().map(|piece| u64::from(layout.piece_len(piece))).sum();
        layout.total().saturating_sub(here.max(self.store.set_aside()))
    }

    /// What is left of a download that is given up, and what goes on with it: `command`, `when`. Whether something `came` says its member.
    #[must_use]
    pub(super) fn left_over(&self, came: bool, when: &str, command: &str) -> String {
        let at = self.part();
        let part = at.display();
        if self.leave_no_trace(came) {
            format!("nothing of it is kept; {when}, {command} begins again")
        } else if is_there(&at) {
            format!(
                "what is verified of it is kept in {part}; {when}, {command} goes on from there"
            )
        } else {
            format!("{part} is not there any more; {when}, {command} begins again")
        }
    }

    /// Takes away what a download has begun with, if nothing `came` that was verified, nor was here before; says whether it did.
    pub(super) fn leave_no_trace(&self, came: bool) -> bool {
        self.store.leave_no_trace(!came && self.have.is_empty())
    }
}

/// Better to say now that the disk of `dir` is too small for all of `places` than at 90 %.
///
/// # Errors
/// If it is.
pub(super) fn check_space(places: &[Place], dir: &Path) -> Result<(), Failure> {
    let fetching = || places.iter().filter(|place| place.is_fetching());
    let missing: u64 = fetching().map(Place::missing_bytes).sum();
    match free_bytes(dir) {
        Some(free) if free < missing => {
            for place in fetching() {
                place.leave_no_trace(false);
            }
            let (missing, free) = (units::bytes(missing), units::bytes(free));
            let reason = format!("no space: {missing} to come, {free} free");
            Err(Failure::start(dir.display(), reason)
                .advise("free some space, or download into another folder with -o"))
        }
        _ => Ok(()),
    }
}

/// Verifies what lies in `dir`, under a bar.
///
/// # Errors
/// If what is there cannot be read, or the program is asked to leave.
pub(super) async fn verify(
    torrent: &Arc<Metainfo>,
    dir: &Path,
    ctx: &mut Context,
) -> Result<Verified, Failure> {
    let bar = progress::bar(&format!("verifying {}", torrent.name()), torrent.layout().total());
    let bar = ctx.output.screen().add(bar);
    let (torrent, dir, shown) = (Arc::clone(torrent), dir.to_owned(), bar.clone());
    let work = move || verify::verify(&torrent, &dir, &|bytes| shown.inc(bytes));
    let verified = ctx.off_thread(work).await;
    bar.finish_and_clear();
    ctx.output.screen().remove(&bar);
    verified?.map_err(|error| {
        let at = error.path.display().to_string();
        Failure::of(error).about(at)
    })
}

/// Bytes that may still be written below `dir`; `None` where the system does not say.
#[must_use]
pub(super) fn free_bytes(dir: &Path) -> Option<u64> {
    free_of(&rustix::fs::statvfs(dir).ok()?)
}

/// Some file systems, those in memory without a limit among them, tell no size at all.
fn free_of(stat: &StatVfs) -> Option<u64> {
    (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn open_part(torrent: &Arc<Metainfo>, dir: &Path) -> Result<FileStore, Failure> {
    FileStore::download(Arc::clone(torrent), dir, Allocation::Full, SyncPolicy::Complete)
        .map_err(failure)
}

/// Whether something bears that name, be it a link that leads nowhere.
pub(super) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    shlex::try_quote(&path).map(Into::into).unwrap_or(path)
}

/// What `NAME` is if it is not right.
const DIFFERS: &str = "is there already and does not match";

fn pieces_wrong(have: &Bitfield) -> String {
    format!("{} of {} pieces are wrong or missing", have.len() - have.count(), have.len())
}

/// Whether `path` would be gone on with, if it were called as what is incomplete.
fn can_be_mended(torrent: &Metainfo, path: &Path, verified: &Verified) -> bool {
    !verified.good.is_empty()
        && verified.in_the_way(torrent).is_none()
        && !path.is_symlink()
        && !is_there(&part_of(path))
}

fn to_be_mended(path: &Path, wrong: impl Display) -> Failure {
    Failure::start(path.display(), format_args!("{DIFFERS}: {wrong}")).advise(format!(
        "it is left alone: to keep it as it is, download into another folder with -o; to fetch only what is wrong, into it, run\n    \
         mv {} {}\n  and then the same command again",
        quoted(path),
        quoted(&part_of(path))
    ))
}

fn in_the_way(path: &Path, reason: String) -> Failure {
    Failure::start(path.display(), reason)
        .advise("it is left alone: move it away, or download into another folder with -o")
}

fn failure(error: StoreError) -> Failure {
    Failure::start(error.path, error.reason)
}

#[cfg(test)]
mod tests {
    use super::free_of;

    /// No download was taken there: nothing was free of nothing.
    #[test]
    fn a_file_system_that_tells_no_size_is_not_full() {
        let mut stat = rustix::fs::statvfs("/").expect("it is there");
        (stat.f_blocks, stat.f_bavail, stat.f_frsize) = (10, 3, 4096);
        assert_eq!(free_of(&stat), Some(3 * 4096));
        (stat.f_blocks, stat.f_bavail) = (0, 0);
        assert_eq!(free_of(&stat), None);
    }
}

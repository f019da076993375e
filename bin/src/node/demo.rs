//! `sta-node demo`: a swarm on this machine, over real TCP. A tracker, three nodes that each hold a third of a file, and a
//! fourth that fetches it from all three at once.
//!
//! Everything runs through what the other commands run through; only the content is computed. Leaves nothing behind.

use std::fs::{File, create_dir};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use indicatif::ProgressBar;
use sta_core::io::hash::PieceHasher;
use sta_core::model::address::Address;
use sta_core::model::files::{FileKind, Files};
use sta_core::model::layout::Layout;
use sta_core::model::metainfo::{About, Builder, Metainfo};
use tempfile::TempDir;

use super::args::Contacts;
use super::context::Context;
use super::download::Fetching;
use super::member::Member;
use super::place::{Place, check_space, free_bytes};
use super::progress::{self, Progress};
use super::watch::Watch;
use super::{seed, tracker};
use crate::exit::{Exit, Failure, unnamed};
use crate::units;

/// Bytes of the file: long enough that rates can be told, short enough for any machine.
const FILE_BYTES: u64 = 256 << 20;
const FILE_NAME: &str = "demo.bin";
/// Who holds a third each.
const HOLDERS: [&str; 3] = ["node-a", "node-b", "node-c"];
/// Who fetches.
const FETCHER: &str = "node-d";
/// How often a line is written where there is no terminal: the whole takes a second or a few.
const LINE_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes of the file that are on disk at most: the thirds, and the copy; and a little room.
const DISK_BYTES: u64 = 2 * FILE_BYTES + (64 << 20);

/// Runs the command.
///
/// # Errors
/// If there is no room, or a node or the tracker cannot start.
pub(super) async fn run(ctx: &mut Context) -> Result<Exit, Failure> {
    let dir = tempfile::Builder::new().prefix("sta-demo-").tempdir();
    let dir = dir.map_err(|reason| {
        Failure::start(std::env::temp_dir().display(), unnamed(&reason))
            .advise("name a folder that is there, and that can be written, with TMPDIR")
    })?;
    check_room(&dir)?;
    ctx.settings.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let tracker = tracker::start(ctx.settings.listen, &ctx.output).await?;
    let made = make_content(dir.path(), tracker.local_addr().into(), ctx).await?;
    let mut holders = Vec::new();
    for name in HOLDERS {
        let torrent = Arc::clone(&made.torrent);
        let place = Place::for_seeding(torrent, &dir.path().join(name), ctx).await?;
        let member = start(name, &place, ctx).await?;
        seed::announce(&place, &member, ctx);
        holders.push(member);
    }
    let exit = fetch(&made, &dir.path().join(FETCHER), ctx).await;
    for holder in &holders {
        holder.handle.stop().await;
    }
    tracker.stop().await;
    drop(holders);
    dir.close().map_err(|reason| Failure::unmet("the demo's folder", reason))?;
    exit
}

/// The fourth node fetches the file; what it has fetched is compared with what was made.
async fn fetch(made: &Made, dir: &Path, ctx: &mut Context) -> Result<Exit, Failure> {
    let place = Place::for_download(Arc::clone(&made.torrent), dir, ctx).await?;
    check_space(std::slice::from_ref(&place), dir)?;
    let path = place.path.clone();
    let member = start(FETCHER, &place, ctx).await?;
    let places = [place];
    let progress = Progress::new(&ctx.output, &places, member.now());
    let mut watch =
        Watch::with_progress(&member, progress.with_sources(LINE_INTERVAL, member.now()), ctx);
    let exit = Fetching::new(&member, &places).for_a_moment().run(&mut watch, ctx).await;
    drop(watch);
    member.handle.stop().await;
    match exit? {
        Exit::Done => {}
        Exit::Interrupted => return Err(Failure::interrupted()),
        other => return Ok(other),
    }
    let hash = ctx.off_thread(move || hash_of(&path)).await?;
    let hash = hash.map_err(|reason| Failure::unmet(FILE_NAME, reason))?;
    if hash != made.hash {
        return Err(Failure::unmet(FILE_NAME, "the copy is not what was made"));
    }
    ctx.output.result(format_args!("the copy's BLAKE3 is that of the original: {hash}"));
    Ok(Exit::Done)
}

async fn start(name: &str, place: &Place, ctx: &Context) -> Result<Member, Failure> {
    let id = name.parse().expect("letters and a dash");
    let member = Member::start_as(id, &ctx.settings, &ctx.output).await?;
    member.handle.add(place.spec(&Contacts::default(), &ctx.settings)?);
    Ok(member)
}

fn check_room(dir: &TempDir) -> Result<(), Failure> {
    match free_bytes(dir.path()) {
        Some(free) if free < DISK_BYTES => Err(Failure::start(
            dir.path().display(),
            format!("no space: {} needed, {} free", units::bytes(DISK_BYTES), units::bytes(free)),
        )
        .advise("name another folder with TMPDIR=DIR")),
        _ => Ok(()),
    }
}

/// What was made.
struct Made {
    torrent: Arc<Metainfo>,
    /// BLAKE3 of the whole file.
    hash: blake3::Hash,
}

async fn make_content(dir: &Path, tracker: Address, ctx: &mut Context) -> Result<Made, Failure> {
    let bar = ctx.output.screen().add(progress::bar("making the file", FILE_BYTES));
    let shown = bar.clone();
    let at = dir.display().to_string();
    let dir = dir.to_owned();
    let made = ctx.off_thread(move || compute(&dir, tracker, &shown)).await;
    bar.finish_and_clear();
    ctx.output.screen().remove(&bar);
    made?.map_err(|reason| Failure::start(at, reason))
}

/// Computes the content, hashes it, and writes each third into the folder of its holder: nobody has the whole.
fn compute(dir: &Path, tracker: Address, bar: &ProgressBar) -> io::Result<Made> {
    let open = |name: &str| {
        create_dir(dir.join(name))?;
        let file = File::create(dir.join(name).join(FILE_NAME))?;
        file.set_len(FILE_BYTES)?;
        Ok(file)
    };
    let holders = HOLDERS.map(open).into_iter().collect::<io::Result<Vec<File>>>()?;
    let piece_bytes = Layout::default_piece_bytes(FILE_BYTES);
    let layout = Layout::new(FILE_BYTES, piece_bytes).expect("the default suits every size");
    let mut content = blake3::Hasher::new_derive_key("STA demo content").finalize_xof();
    let (mut whole, mut hasher) = (blake3::Hasher::new(), PieceHasher::default());
    let (mut sha1, mut blake3) = (Vec::new(), Vec::new());
    let mut piece = vec![0; piece_bytes as usize];
    for index in 0..layout.pieces() {
        content.fill(&mut piece);
        whole.update(&piece);
        hasher.update(&piece);
        let hash = hasher.finish();
        sha1.extend_from_slice(&hash.sha1);
        blake3.extend_from_slice(&hash.blake3);
        let third = index as usize * HOLDERS.len() / layout.pieces() as usize;
        holders[third].write_all_at(&piece, layout.piece_offset(index))?;
        bar.inc(piece.len() as u64);
    }
    let builder = Builder {
        files: Files::single(FILE_NAME.to_owned(), FILE_BYTES, FileKind::Plain)
            .expect("the name is ours"),
        piece_bytes,
        sha1: Bytes::from(sha1),
        blake3: Some(Bytes::from(blake3)),
        trackers: vec![tracker],
        about: About::default(),
    };
    let torrent = Arc::new(builder.build().expect("as many hashes as pieces"));
    Ok(Made { torrent, hash: whole.finalize() })
}

fn hash_of(path: &PathBuf) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize())
}

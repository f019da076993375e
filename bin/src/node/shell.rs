//! The interactive node: `sta-node --node-id ID`. A local repository, and the seed document's commands.
//!
//! The repository is the files directory of the configuration: torrents lie there beside their data, and those that have
//! data are verified and registered at the start. What is downloaded goes there too, with its torrent.
//!
//! Typed at a terminal, EXIT leaves at once. Read from a pipe, EXIT and the end of the input wait for the downloads that run, and
//! the exit code says whether all went well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sta_core::io::store::StoreError;
use sta_core::model::files::part_of;
use sta_core::model::ids::InfoHash;
use sta_core::model::metainfo::Metainfo;
use sta_core::model::status::NodeStatus;
use sta_core::model::time::Time;
use tokio::task::JoinSet;

use self::command::{COMMANDS, ShellCommand};
use self::input::{End, Line, Terminal};
use super::args::Contacts;
use super::context::Context;
use super::member::Member;
use super::place::{Place, check_space, is_there, quoted};
use super::{make, report, torrents};
use crate::exit::{Exit, Failure};
use crate::torrent::{self, folder_of};

mod command;
mod input;
mod views;

/// How a torrent's file ends.
const TORRENT_SUFFIX: &str = "torrent";

/// Runs the interactive node until it is told to leave.
///
/// # Errors
/// If the node cannot start.
pub(super) async fn run(torrent: Option<&str>, ctx: &mut Context) -> Result<Exit, Failure> {
    let files = ctx.settings.directories.files.clone();
    std::fs::create_dir_all(&files).map_err(|reason| {
        Failure::start(files.display(), reason)
            .advise("choose another files directory: --set directories.files=DIR")
    })?;
    let member = Member::start(&ctx.settings, &ctx.output).await?;
    ctx.output.note(format_args!(
        "node {} at {}, files in {}",
        member.id,
        member.handle.local_addr(),
        files.display()
    ));
    let mut shell = Shell {
        member,
        files,
        script: !input::is_terminal(),
        known: BTreeMap::new(),
        downloads: JoinSet::new(),
        failed: false,
        cut_short: false,
    };
    shell.open_repository(ctx).await;
    if let Some(torrent) = torrent {
        shell.obey(ShellCommand::Download(torrent.to_owned()), ctx).await;
    }
    let terminal = Terminal::remember();
    let exit = shell.obey_all(ctx).await;
    drop(terminal);
    shell.member.handle.stop().await;
    for (torrent, known) in &shell.known {
        known.place.leave_no_trace(shell.member.came(*torrent));
    }
    Ok(exit)
}

struct Shell {
    member: Member,
    /// The local repository.
    files: PathBuf,
    /// Whether a script types, not a person.
    script: bool,
    /// The torrents that the node takes part in.
    known: BTreeMap<InfoHash, Known>,
    downloads: JoinSet<(InfoHash, Result<(), StoreError>)>,
    /// Whether something that was asked did not work.
    failed: bool,
    /// Whether a command was cut short: the node was told to stop.
    cut_short: bool,
}

/// A torrent that the node takes part in.
struct Known {
    place: Place,
    since: Time,
}

impl Shell {
    /// Takes part in every torrent of the repository that has data.
    async fn open_repository(&mut self, ctx: &mut Context) {
        let entries = std::fs::read_dir(&self.files).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension() == Some(TORRENT_SUFFIX.as_ref())) {
            match torrents::read(path) {
                Ok(torrent) if has_data(&self.files, &torrent) => {
                    if let Err(failure) = self.seed(torrent, path, ctx).await {
                        ctx.output.complaint(&failure);
                    }
                    if ctx.interrupt.was_asked() {
                        return;
                    }
                }
                Ok(torrent) => tracing::info!(name = torrent.name(), "no data here"),
                Err(failure) => ctx.output.complaint(&failure),
            }
        }
    }

    /// Reads commands and obeys them until it is time to leave.
    async fn obey_all(&mut self, ctx: &mut Context) -> Exit {
        let mut lines = input::start(&ctx.output);
        loop {
            tokio::select! {
                biased;
                () = ctx.interrupt.asked() => return self.interrupted(),
                Some(ended) = self.downloads.join_next() => {
                    let (torrent, result) = ended.expect("waiting does not panic");
                    self.one_ended(torrent, result, ctx).await;
                }
                line = lines.recv() => match line.unwrap_or(Err(End::EndOfInput)) {
                    Ok(Line { text, go_on }) => {
                        let leave = self.obey_line(&text, ctx).await;
                        // Whoever reads may have ended.
                        let _ = go_on.send(!leave);
                        if leave {
                            // It keeps the history before it ends.
                            while lines.recv().await.is_some() {}
                            return self.leave(ctx).await;
                        }
                    }
                    Err(End::EndOfInput) => return self.leave(ctx).await,
                    Err(End::Interrupted) => return self.interrupted(),
                },
            }
        }
    }

    /// Obeys a line; true if it says to leave.
    async fn obey_line(&mut self, text: &str, ctx: &mut Context) -> bool {
        match command::parse(text) {
            Ok(None) => false,
            Ok(Some(ShellCommand::Exit)) => true,
            Ok(Some(command)) => {
                self.obey(command, ctx).await;
                false
            }
            Err(reason) => {
                self.fail(Failure::of(reason), ctx);
                false
            }
        }
    }

    async fn obey(&mut self, command: ShellCommand, ctx: &mut Context) {
        let result = match command {
            ShellCommand::Seeding(torrent) => self.seeding(&torrent, ctx).await,
            ShellCommand::Download(torrent) => self.download(&torrent, ctx).await,
            ShellCommand::Maketorrent(path) => self.maketorrent(&path, ctx).await,
            ShellCommand::Status => self.show(views::torrents, ctx).await,
            ShellCommand::Peers => self.show(views::peers, ctx).await,
            ShellCommand::Help => {
                let row = |(name, wants, what): (&str, &str, &str)| {
                    format!("{name:<12} {wants:<8} {what}")
                };
                ctx.output.result(COMMANDS.map(row).join("\n"));
                Ok(())
            }
            ShellCommand::Exit => Ok(()),
        };
        if let Err(failure) = result {
            self.cut_short |= failure.exit == Exit::Interrupted;
            self.fail(failure, ctx);
        }
    }

    /// A command did not work: a script ends otherwise for it, a person goes on.
    fn fail(&mut self, failure: Failure, ctx: &Context) {
        self.failed = true;
        if self.script && failure.exit != Exit::Interrupted {
            ctx.output.failure(&Failure { exit: Exit::Unmet, ..failure });
        } else {
            ctx.output.complaint(&failure);
        }
    }

    async fn maketorrent(&mut self, path: &str, ctx: &mut Context) -> Result<(), Failure> {
        let path = self.find(path);
        // The seed document's torrents always name the tracker of the configuration.
        let trackers = vec![ctx.settings.tracker_address()?];
        let to = make::torrent_path(&path);
        let torrent = make::make_file(&path, &to, None, trackers, ctx).await?;
        ctx.output.result(format_args!("made {}, info-hash {}", to.display(), torrent.info_hash()));
        Ok(())
    }

    async fn seeding(&mut self, path: &str, ctx: &mut Context) -> Result<(), Failure> {
        let path = self.find(path);
        let torrent = torrents::read(&path)?;
        self.seed(torrent, &path, ctx).await
    }

    /// Serves `torrent`, whose file is at `path`, with the data in the repository or beside that file.
    async fn seed(
        &mut self,
        torrent: Arc<Metainfo>,
        path: &Path,
        ctx: &mut Context,
    ) -> Result<(), Failure> {
        if self.is_known(&torrent, ctx) {
            return Ok(());
        }
        let in_files = has_data(&self.files, &torrent);
        let dir = if in_files { self.files.clone() } else { folder_of(path).to_owned() };
        let is_part = !is_there(&dir.join(torrent.name()));
        let fetches = format!("DOWNLOAD {}", quoted(path));
        let place = Place::for_seeding(torrent, &dir, ctx).await.map_err(|failure| {
            let begun = in_files && is_part && failure.exit != Exit::Interrupted;
            if begun { failure.advise(format!("{fetches} fetches it")) } else { failure }
        })?;
        let is_left_over = place.is_left_over();
        let name = place.torrent.name().to_owned();
        self.take_part(place, ctx)?;
        if is_left_over && in_files {
            ctx.output.result(format_args!(
                "{name} is not complete, and nothing more of it is fetched; {fetches} goes on with it"
            ));
        }
        Ok(())
    }

    async fn download(&mut self, text: &str, ctx: &mut Context) -> Result<(), Failure> {
        let found = self.find(text);
        let torrent = match found.exists() {
            true => torrents::read(&found)?,
            false => torrents::read_or_fetch(text, ctx).await?,
        };
        let known = self.known.get(&torrent.info_hash());
        if known.is_some_and(|known| known.place.is_left_over()) {
            // It is served since the start; from now on the rest is fetched too.
            self.member.handle.leave(torrent.info_hash()).await;
            self.known.remove(&torrent.info_hash());
        }
        if self.is_known(&torrent, ctx) {
            return Ok(());
        }
        let place = Place::for_download(Arc::clone(&torrent), &self.files, ctx).await?;
        check_space(std::slice::from_ref(&place), &self.files)?;
        self.keep_torrent(&torrent, ctx);
        self.take_part(place, ctx)
    }

    /// A restart must find the torrent beside its data.
    fn keep_torrent(&self, torrent: &Metainfo, ctx: &Context) {
        let path = make::torrent_path(&self.files.join(torrent.name()));
        let is_this = |path: &Path| {
            torrents::read(path).is_ok_and(|other| other.info_hash() == torrent.info_hash())
        };
        // Of another torrent of that name the file stays.
        let info_hash = torrent.info_hash();
        let path = if path.exists() && !is_this(&path) {
            self.files.join(format!("{}.{info_hash}.{TORRENT_SUFFIX}", torrent.name()))
        } else {
            path
        };
        if path.exists() {
            return;
        }
        if let Err(error) = torrent::save(torrent, &path) {
            ctx.output.note(format_args!("{error}; a restart will not know this torrent"));
        }
    }

    fn take_part(&mut self, place: Place, ctx: &Context) -> Result<(), Failure> {
        let spec = place.spec(&Contacts::default(), &ctx.settings).inspect_err(|_| {
            place.leave_no_trace(false);
        })?;
        let torrent = spec.info_hash;
        self.member.handle.add(spec);
        let (name, have) = (place.torrent.name(), &place.have);
        if place.is_fetching() {
            ctx.output.result(format_args!(
                "downloading {name}, {} of {} pieces are here",
                have.count(),
                have.len()
            ));
            let handle = self.member.handle.clone();
            self.downloads.spawn(async move {
                // What may pass is tried again, and the node's events say so.
                let result = handle.finished_at_last(torrent).await;
                if result.is_err() {
                    handle.leave(torrent).await;
                }
                (torrent, result)
            });
        } else {
            ctx.output.result(format_args!(
                "seeding {name}, {} of {} pieces",
                have.count(),
                have.len()
            ));
        }
        self.known.insert(torrent, Known { place, since: self.member.now() });
        Ok(())
    }

    fn is_known(&self, torrent: &Metainfo, ctx: &Context) -> bool {
        let known = self.known.contains_key(&torrent.info_hash());
        if known {
            ctx.output.result(format_args!("{} is being shared already", torrent.name()));
        }
        known
    }

    async fn show(
        &mut self,
        view: fn(&NodeStatus, &BTreeMap<InfoHash, String>) -> String,
        ctx: &Context,
    ) -> Result<(), Failure> {
        let status = self.member.handle.status().await;
        let status = status.ok_or_else(|| Failure::unmet("this node", "it has stopped"))?;
        let name =
            |(hash, known): (&InfoHash, &Known)| (*hash, known.place.torrent.name().to_owned());
        ctx.output.result(view(&status, &self.known.iter().map(name).collect()));
        Ok(())
    }

    async fn one_ended(
        &mut self,
        torrent: InfoHash,
        result: Result<(), StoreError>,
        ctx: &Context,
    ) {
        if let Err(error) = result {
            // It was left, and lets go of its files with this: the same command can begin again.
            let Some(known) = self.known.remove(&torrent) else { return };
            let left = known.place.left_over(
                self.member.came(torrent),
                "once that is mended",
                "the same DOWNLOAD",
            );
            drop(known);
            self.fail(Failure::unmet(&error.path, &error.reason).advise(left), ctx);
            return;
        }
        let Some(known) = self.known.get(&torrent) else { return };
        if let Err(failure) = known.place.check_found() {
            self.fail(failure, ctx);
            return;
        }
        let status = self.member.handle.status().await;
        let mut torrents = status.into_iter().flat_map(|status| status.torrents);
        if let Some(status) = torrents.find(|status| status.info_hash == torrent) {
            let time = self.member.now().since(known.since);
            let (torrent, saved) = (&known.place.torrent, Some(&*known.place.path));
            ctx.output.result(report::complete(torrent, &status, time, saved));
        }
    }

    /// Told to stop: serving was all that was asked, unless something is still to come.
    fn interrupted(&self) -> Exit {
        let done = self.downloads.is_empty() && !self.cut_short;
        if done { Exit::Done } else { Exit::Interrupted }
    }

    /// A script's downloads are waited for; a person leaves when a person says so.
    async fn leave(&mut self, ctx: &mut Context) -> Exit {
        if self.script {
            loop {
                tokio::select! {
                    biased;
                    () = ctx.interrupt.asked() => return Exit::Interrupted,
                    ended = self.downloads.join_next() => match ended {
                        None => break,
                        Some(ended) => {
                            let (torrent, result) = ended.expect("waiting does not panic");
                            self.one_ended(torrent, result, ctx).await;
                        }
                    },
                }
            }
        } else if !self.downloads.is_empty() {
            ctx.output.note(
                "leaving; what is verified is kept, and the same DOWNLOAD goes on from there",
            );
        }
        if self.script && self.failed { Exit::Unmet } else { Exit::Done }
    }

    /// The file that is meant: as named, or in the repository.
    fn find(&self, name: &str) -> PathBuf {
        let here = PathBuf::from(name);
        let in_files = self.files.join(name);
        if !here.exists() && in_files.exists() { in_files } else { here }
    }
}

/// Whether `dir` has data of `torrent`, whole or in part.
fn has_data(dir: &Path, torrent: &Metainfo) -> bool {
    let path = dir.join(torrent.name());
    is_there(&path) || is_there(&part_of(&path))
}

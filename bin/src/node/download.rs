//! `sta-node download`: fetches torrents, all at once, each from everybody who has pieces.
//!
//! Invariant: it ends with 0 only if every byte of every torrent is verified, durable and under its final name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sta_core::io::store::StoreError;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::metainfo::Metainfo;
use sta_core::model::status::{NodeStatus, TorrentStatus};
use sta_core::model::time::Time;
use tokio::task::JoinSet;

use super::args::Download;
use super::context::{Context, off_thread};
use super::member::{self, Held, Member};
use super::place::{self, Place};
use super::watch::Watch;
use super::{report, torrents};
use crate::exit::{Exit, Failure};
use crate::units;

/// Runs the command.
///
/// # Errors
/// If it cannot begin: a torrent, a place, a port, a tracker.
pub(super) async fn run(args: &Download, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut list = Vec::new();
    for text in &args.torrents {
        list.push(torrents::read_or_fetch(text, ctx).await?);
    }
    let mut places = Vec::new();
    let ended = download(torrents::distinct(list)?, &mut places, args, ctx).await;
    for place in &places {
        // What was written to is seen to by whoever knows what came.
        place.leave_no_trace(true);
    }
    ended
}

/// Fetches `torrents`; what is left of them, however that ends, is in `places`.
async fn download(
    torrents: Vec<Arc<Metainfo>>,
    places: &mut Vec<Place>,
    args: &Download,
    ctx: &mut Context,
) -> Result<Exit, Failure> {
    for torrent in torrents {
        places.push(Place::for_download(torrent, &args.output, ctx).await?);
    }
    place::check_space(places, &args.output)?;
    let id = member::name(&ctx.settings)?;
    let serve_after = args.keep_seeding || args.seed_for.is_some();
    if !serve_after && places.iter().all(Place::is_complete) {
        for place in places.iter() {
            let settled = ctx.off_thread(place.settle()).await?;
            settled.map_err(|error| Failure::unmet(&error.path, &error.reason))?;
            say_found(place, &id, Time::ZERO, ctx);
        }
        return Ok(Exit::Done);
    }
    let member = Member::start_as(id, &ctx.settings, &ctx.output).await?;
    for place in places.iter() {
        member.handle.add(place.spec(&args.contacts, &ctx.settings)?);
    }
    let exit = take_part(&member, places, args, ctx).await;
    member.handle.stop().await;
    for place in places.iter().filter(|place| place.is_fetching()) {
        place.leave_no_trace(member.came(place.torrent.info_hash()));
    }
    exit
}

/// Says of what was complete before anything began, and is durable now, what is said of every download: a program need not know the
/// difference.
fn say_found(place: &Place, who: &NodeId, at: Time, ctx: &Context) {
    let torrent = place.torrent.info_hash();
    let event = Event::TorrentComplete { torrent, down: 0, up: 0, wasted: 0 };
    ctx.output.events().observe(&Record { at, who: who.clone(), event });
    ctx.output.result(format_args!(
        "{}: complete already, {}\n  verified   {}, info-hash {torrent}",
        place.torrent.name(),
        place.path.display(),
        report::verification(&place.torrent),
    ));
}

async fn take_part(
    member: &Member,
    places: &[Place],
    args: &Download,
    ctx: &mut Context,
) -> Result<Exit, Failure> {
    let mut watch = Watch::new(member, places, ctx);
    let mut fetching = Fetching::new(member, places);
    fetching.give_up_after = args.give_up_after.map(|time| time.0);
    let exit = fetching.run(&mut watch, ctx).await?;
    let serve_after = args.keep_seeding || args.seed_for.is_some();
    if exit == Exit::Interrupted {
        fetching.say_what_is_kept(ctx).await;
    }
    if exit == Exit::Interrupted || !serve_after {
        return Ok(exit);
    }
    match fetching.failed.len() {
        0 => match args.seed_for {
            Some(time) => {
                ctx.output.note(format_args!("everything is here; serving others for {time}"));
            }
            None => ctx.output.note("everything is here; serving others"),
        },
        failed if failed == places.len() => return Ok(exit),
        _ => ctx.output.note("not everything is here; serving others what is"),
    }
    watch.serve(args.seed_for.map(|time| time.0), ctx).await?;
    Ok(exit)
}

/// Torrents on their way.
pub(super) struct Fetching<'a> {
    member: &'a Member,
    /// Those that are not complete yet, or not known to be durable.
    open: BTreeMap<InfoHash, &'a Place>,
    finished: JoinSet<(InfoHash, Result<(), StoreError>)>,
    started: Time,
    /// Those that are given up.
    failed: BTreeSet<InfoHash>,
    /// What storage could not do, until it is known whether a torrent is given up for it.
    held: Vec<Held>,
    /// Whether what is fetched stays, so that a person wants to know where.
    stays: bool,
    /// How long nothing may come of a torrent before it is given up; for ever, if nobody says.
    give_up_after: Option<Duration>,
    /// Bytes that have come of each, and when the last did.
    came: BTreeMap<InfoHash, (u64, Time)>,
}

impl<'a> Fetching<'a> {
    /// What `member` fetches of `places`, from now on.
    pub(super) fn new(member: &'a Member, places: &'a [Place]) -> Self {
        let open: BTreeMap<_, _> =
            places.iter().map(|place| (place.torrent.info_hash(), place)).collect();
        let mut finished = JoinSet::new();
        for (&torrent, place) in &open {
            if place.is_complete() {
                // It is served meanwhile.
                let settle = off_thread(place.settle());
                finished.spawn(async move { (torrent, settle.await) });
            } else {
                let handle = member.handle.clone();
                finished.spawn(async move { (torrent, handle.finished(torrent).await) });
            }
        }
        // Who is told that something is tried again should not be told at once that it is given up.
        member.hold_failures();
        Self {
            member,
            open,
            finished,
            started: member.now(),
            failed: BTreeSet::new(),
            held: Vec::new(),
            stays: true,
            give_up_after: None,
            came: BTreeMap::new(),
        }
    }

    /// What is fetched goes away again: nobody wants to know where it is.
    pub(super) fn for_a_moment(mut self) -> Self {
        self.stays = false;
        self
    }

    /// Waits until every torrent is complete or has failed, or the program is asked to leave. Prints each as it ends.
    ///
    /// # Errors
    /// If no tracker answers, or the node stops.
    pub(super) async fn run(
        &mut self,
        watch: &mut Watch<'_>,
        ctx: &mut Context,
    ) -> Result<Exit, Failure> {
        let ended = self.run_to_the_end(watch, ctx).await;
        self.held.append(&mut self.member.release_failures());
        self.tell_held(ctx);
        ended
    }

    async fn run_to_the_end(
        &mut self,
        watch: &mut Watch<'_>,
        ctx: &mut Context,
    ) -> Result<Exit, Failure> {
        while !self.open.is_empty() {
            tokio::select! {
                biased;
                () = ctx.interrupt.asked() => return Ok(Exit::Interrupted),
                Some(ended) = self.finished.join_next() => {
                    let (torrent, result) = ended.expect("waiting does not panic");
                    self.one_ended(torrent, result, ctx).await;
                }
                status = watch.tick() => {
                    self.look_for_failures(&status?, ctx).await;
                    // What came after this status is told after the next.
                    self.tell_held(ctx);
                    self.held = self.member.held_failures();
                }
            }
        }
        Ok(if !self.failed.is_empty() { Exit::Unmet } else { Exit::Done })
    }

    async fn one_ended(
        &mut self,
        torrent: InfoHash,
        result: Result<(), StoreError>,
        ctx: &Context,
    ) {
        match result {
            Ok(()) => {
                let Some(place) = self.open.remove(&torrent) else { return };
                if place.is_complete() {
                    say_found(place, &self.member.id, self.member.now(), ctx);
                    return;
                }
                let status = self.status_of(torrent).await;
                let Some(status) = status else { return };
                if let Err(failure) = place.check_found() {
                    self.failed.insert(torrent);
                    ctx.output.failure(&failure);
                    return;
                }
                let time = self.member.now().since(self.started);
                let saved = self.stays.then_some(&*place.path);
                ctx.output.result(report::complete(&place.torrent, &status, time, saved));
            }
            Err(error) => self.broken(torrent, &error, ctx).await,
        }
    }

    /// A full disk passes one day; a command that was asked to download does not wait for it.
    async fn look_for_failures(&mut self, status: &NodeStatus, ctx: &Context) {
        for torrent in &status.torrents {
            if let Some(error) = &torrent.failed {
                self.broken(torrent.info_hash, error, ctx).await;
            } else if let Some(most) = self.give_up_after {
                self.look_for_silence(torrent, most, ctx).await;
            }
        }
    }

    async fn broken(&mut self, torrent: InfoHash, error: &StoreError, ctx: &Context) {
        self.give_up(
            torrent,
            &Failure::unmet(&error.path, &error.reason),
            "once that is mended",
            ctx,
        )
        .await;
    }

    /// Nobody may come any more, and a script wants to know.
    async fn look_for_silence(&mut self, torrent: &TorrentStatus, most: Duration, ctx: &Context) {
        let (info_hash, now) = (torrent.info_hash, self.member.now());
        let came = self.came.entry(info_hash).or_insert((torrent.down, now));
        // What is all here is being made durable, and nobody need send anything.
        if came.0 != torrent.down || torrent.have == torrent.pieces {
            *came = (torrent.down, now);
        }
        if now.since(came.1) >= most
            && let Some(place) = self.open.get(&info_hash)
        {
            let silence = humantime::format_duration(most);
            let what =
                format!("nothing has come for {silence} {}", report::why_nothing_comes(torrent));
            let failure = Failure::unmet(place.torrent.name(), what);
            let when =
                if torrent.unwritten > 0 { "once that is mended" } else { "once somebody has it" };
            self.give_up(info_hash, &failure, when, ctx).await;
        }
    }

    async fn give_up(&mut self, torrent: InfoHash, failure: &Failure, when: &str, ctx: &Context) {
        let Some(place) = self.open.remove(&torrent) else { return };
        self.failed.insert(torrent);
        if place.is_complete() {
            // What is here is right all the same, and is served.
            ctx.output.failure(failure);
            return;
        }
        self.member.give_up(torrent).await;
        let left = place.left_over(self.member.came(torrent), when, "the same command");
        ctx.output.failure(&failure.clone().advise(left));
    }

    /// Says what storage could not do. Of what is given up it is said already, and nothing is tried again.
    fn tell_held(&mut self, ctx: &Context) {
        for held in self.held.drain(..).filter(|held| !self.failed.contains(&held.torrent)) {
            ctx.output.note(held.line);
        }
    }

    async fn status_of(&self, torrent: InfoHash) -> Option<TorrentStatus> {
        let status = self.member.handle.status().await?;
        status.torrents.into_iter().find(|status| status.info_hash == torrent)
    }

    async fn say_what_is_kept(&self, ctx: &Context) {
        let status = self.member.handle.status().await;
        for torrent in status.iter().flat_map(|status| &status.torrents) {
            let Some(place) = self.open.get(&torrent.info_hash) else { continue };
            if place.is_complete() {
                continue;
            }
            if torrent.verified == 0 {
                ctx.output.note(format_args!(
                    "interrupted: nothing of {} is verified yet",
                    place.torrent.name()
                ));
            } else {
                ctx.output.note(format_args!(
                    "interrupted: {} of {} ({} %) are verified and kept in {}; the same command goes on from there",
                    units::bytes(torrent.verified),
                    units::bytes(torrent.total),
                    units::percent(torrent.verified, torrent.total),
                    place.part().display(),
                ));
            }
        }
    }
}

//! `sta-node seed`: serves what there is of torrents until it is interrupted.

use super::args::Seed;
use super::context::Context;
use super::member::Member;
use super::place::Place;
use super::torrents;
use super::watch::Watch;
use crate::exit::{Exit, Failure};
use crate::torrent::folder_of;

/// Files that are not right and are named; `verify` names them all.
const FILES_NAMED: usize = 5;

/// Runs the command.
///
/// # Errors
/// If a torrent has no data here, or the node cannot start or reach a tracker.
pub(super) async fn run(args: &Seed, ctx: &mut Context) -> Result<Exit, Failure> {
    let mut places: Vec<Place> = Vec::new();
    for path in &args.torrents {
        let torrent = torrents::read(path)?;
        if places.iter().any(|place| place.torrent.info_hash() == torrent.info_hash()) {
            // Named twice, it is served once.
            continue;
        }
        let dir = args.data.as_deref().unwrap_or_else(|| folder_of(path));
        places.push(Place::for_seeding(torrent, dir, ctx).await?);
    }
    let member = Member::start(&ctx.settings, &ctx.output).await?;
    for place in &places {
        member.handle.add(place.spec(&args.contacts, &ctx.settings)?);
        announce(place, &member, ctx);
    }
    until_asked(&places, &member, ctx).await
}

/// Says what is served, and where.
pub(super) fn announce(place: &Place, member: &Member, ctx: &Context) {
    let (torrent, have) = (&place.torrent, &place.have);
    let part = match have.is_full() {
        true => String::new(),
        false => format!(" {} of {} pieces of", have.count(), have.len()),
    };
    ctx.output.note(format_args!(
        "seeding{part} {} as {} at {}, info-hash {}",
        torrent.name(),
        member.id,
        member.handle.local_addr(),
        torrent.info_hash(),
    ));
    place.wrong.iter().take(FILES_NAMED).for_each(|file| ctx.output.note(file));
    if place.wrong.len() > FILES_NAMED {
        let more = place.wrong.len() - FILES_NAMED;
        ctx.output.note(format_args!("and {more} more files; sta-node verify names them"));
    }
}

/// Serves until the program is asked to leave, then leaves in order.
///
/// # Errors
/// If no tracker answers.
pub(super) async fn until_asked(
    places: &[Place],
    member: &Member,
    ctx: &mut Context,
) -> Result<Exit, Failure> {
    let served = Watch::new(member, places, ctx).serve(None, ctx).await;
    member.handle.stop().await;
    served.map(|()| Exit::Done)
}

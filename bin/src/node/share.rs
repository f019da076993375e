//! `sta-node share`: makes a torrent, runs a tracker in this process, seeds, and prints the one line to run elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use serde::Serialize;
use sta_core::model::address::Address;

use super::args::{Contacts, Share};
use super::context::Context;
use super::link::Link;
use super::member::Member;
use super::place::Place;
use super::{address, make, seed, tracker};
use crate::config::machine;
use crate::exit::{Exit, Failure};
use crate::torrent::folder_of;

/// For an address of which only the host matters.
const ANY_PORT: u16 = 1;

/// What a program is told instead of the line to run.
#[derive(Serialize)]
struct Shared {
    link: String,
}

/// Runs the command.
///
/// # Errors
/// If there is nothing to share, or the tracker or the node cannot start.
pub(super) async fn run(args: &Share, ctx: &mut Context) -> Result<Exit, Failure> {
    // A wrong path is said before anything listens.
    let path = args.path.canonicalize().map_err(|reason| {
        Failure::start(args.path.display(), reason).advise("name a file or a folder that is there")
    })?;
    let tracker = tracker::start(args.tracker_listen, &ctx.output).await?;
    let reached_at = reached_at(args, tracker.local_addr().ip(), ctx)?;
    others_can_reach(&reached_at, ctx)?;
    let reached_at = Address { host: reached_at, port: tracker.local_addr().port() };
    let torrent = make::make(&path, args.piece_size, vec![reached_at.clone()], ctx).await?;
    let torrent = Arc::new(torrent);
    tracker.publish(torrent.info_hash(), torrent.bytes().clone()).await;
    let link = Link {
        tracker: reached_at,
        info_hash: torrent.info_hash(),
        torrent_hash: Some(blake3::hash(torrent.bytes())),
    };
    let dir = folder_of(&path);
    let place = Place::for_seeding(torrent, dir, ctx).await?;
    let member = Member::start(&ctx.settings, &ctx.output).await?;
    let mut spec = place.spec(&Contacts::default(), &ctx.settings)?;
    // Under the name that the link has this machine may not reach itself.
    spec.trackers = vec![at_home(tracker.local_addr()).into()];
    member.handle.add(spec);
    seed::announce(&place, &member, ctx);
    if ctx.output.json() {
        ctx.output.json_line(&Shared { link: link.to_string() });
    }
    ctx.output.note("run this on every machine that should have it; Ctrl-C stops sharing:");
    ctx.output.result(format_args!("sta-node download {link}"));
    let exit = seed::until_asked(&[place], &member, ctx).await;
    tracker.stop().await;
    exit
}

/// Where a program on this machine reaches what listens at `listening`.
fn at_home(listening: SocketAddr) -> SocketAddr {
    let home: IpAddr = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(home, listening.port())
}

/// Refuses what would end with a link that leads to a tracker whose only seed no other machine can connect to.
fn others_can_reach(tracker: &str, ctx: &Context) -> Result<(), Failure> {
    let listen = ctx.settings.listen;
    let here_only =
        tracker == "localhost" || tracker.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if listen.ip().is_loopback() && !here_only {
        let what = format_args!("--listen {listen}");
        let why = format_args!(
            "only programs on this machine reach it, and the link is for others ({tracker})"
        );
        return Err(Failure::start(what, why).advise(
            "leave --listen out, or share on this machine alone with --tracker-listen 127.0.0.1:0",
        ));
    }
    Ok(())
}

/// Under which name other machines reach the tracker, with a hint where there was a choice.
fn reached_at(args: &Share, listening: IpAddr, ctx: &Context) -> Result<String, Failure> {
    if let Some(host) = &args.address {
        let named = machine(host, ANY_PORT).ok_or_else(|| {
            let reason = format!("{host:?} is not the name or the number of a machine");
            Failure::start("--address", reason).advise(
                "write it alone, for example 192.0.2.7; the port is that of --tracker-listen",
            )
        });
        return named.map(|address| address.host);
    }
    if !listening.is_unspecified() {
        return Ok(listening.to_string());
    }
    let v4_only = listening.is_ipv4();
    let found = address::reachable();
    let mut usable = found.iter().filter(|ip| ip.is_ipv4() || !v4_only).map(ToString::to_string);
    let Some(first) = usable.next() else {
        ctx.output
            .note("this machine has no address but loopback: only programs on it will reach it");
        return Ok(Ipv4Addr::LOCALHOST.to_string());
    };
    let others: Vec<String> = usable.collect();
    if !others.is_empty() {
        ctx.output.note(format_args!(
            "this machine is also {}; choose with --address if {first} cannot be reached",
            others.join(", ")
        ));
    }
    Ok(first)
}

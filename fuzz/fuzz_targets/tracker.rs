//! A tracker's registry among clients that say whatever they like. It forgets who is silent, never waits for what is over, and what it
//! writes down is what it knows.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sta_core::engine::registry::{ConnId, Input, Output, Registry, RegistryConfig};
use sta_core::model::address::Address;
use sta_core::model::bitfield::PieceRange;
use sta_core::model::ids::InfoHash;
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;
use sta_core::wire::peer::VERSION;
use sta_core::wire::tracker::{FromTracker, ToTracker, TransferEvent};

/// An engine that asks for more at one moment goes round in circles.
const ROUNDS_MAX: usize = 10_000;

/// Where nodes say they stand, by their number.
const SITES: [&str; 3] = ["", "a", "b"];

#[derive(Arbitrary, Debug)]
struct Story {
    seed: u64,
    lease_s: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Opens { host: u8, mapped: bool },
    Closes { conn: u8 },
    Says { conn: u8, what: Said },
    Waits { millis: u16 },
    WaitsForDeadline,
}

#[derive(Arbitrary, Debug)]
enum Said {
    Hello { node: u8, port: u16, v: u8 },
    Join { torrent: u8, pieces: u32, have: Vec<(u16, u16)>, want: u32 },
    JoinSmall { torrent: u8, have: Vec<(u8, u8)> },
    Have { torrent: u8, have: Vec<(u16, u16)> },
    Want { torrent: u8, n: u32 },
    Stats { torrent: u8, up: u64, down: u64, event: u8 },
    Leave { torrent: u8 },
    Ping,
    Status { torrent: Option<u8> },
    Torrent { torrent: u8, at: u64 },
    Unknown,
}

struct World {
    registry: Registry,
    now: Time,
    conns: Vec<ConnId>,
    opened: u64,
}

fn torrent(number: u8) -> InfoHash {
    format!("{:040x}", number % 4).parse().expect("digits")
}

fn ranges<N: Copy + Into<u32>>(have: &[(N, N)]) -> Vec<PieceRange> {
    have.iter().map(|&(first, last)| PieceRange(first.into(), last.into())).collect()
}

impl World {
    fn give(&mut self, input: Input) {
        self.registry.handle(input, self.now);
        for _ in 0..ROUNDS_MAX {
            match self.registry.poll_output() {
                None => return,
                Some(Output::Close { conn, .. }) => self.conns.retain(|other| *other != conn),
                Some(Output::Send { conn, message }) => {
                    assert!(self.conns.contains(&conn), "{message:?} to who is gone");
                    if let FromTracker::Peers { peers, .. } = message {
                        assert!(!peers.is_empty());
                    }
                }
                Some(Output::Persist(changes)) => assert!(!changes.is_empty()),
                Some(Output::Event(_)) => {}
            }
        }
        panic!("no end of outputs");
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..ROUNDS_MAX {
            if self.registry.deadline().is_none_or(|due| due > self.now) {
                return;
            }
            self.give(Input::Tick);
        }
        panic!("it waits for what is over: {:?} at {:?}", self.registry.deadline(), self.now);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Opens { host, mapped } => {
                let conn = ConnId(self.opened);
                self.opened += 1;
                self.conns.push(conn);
                let v4 = Ipv4Addr::new(10, 0, 0, *host);
                let ip = if *mapped { IpAddr::V6(v4.to_ipv6_mapped()) } else { IpAddr::V4(v4) };
                let local = SocketAddr::new(Ipv4Addr::new(10, 0, 1, 1).into(), 6081);
                self.give(Input::Opened { conn, remote: SocketAddr::new(ip, 50_000), local });
            }
            Step::Closes { conn } => {
                let Some(conn) = self.conn(*conn) else { return };
                self.conns.retain(|other| *other != conn);
                self.give(Input::Closed { conn });
            }
            Step::Says { conn, what } => {
                let Some(conn) = self.conn(*conn) else { return };
                self.give(Input::Message { conn, message: message(what) });
            }
            Step::Waits { millis } => self.wait(Duration::from_millis((*millis).into())),
            Step::WaitsForDeadline => {
                if let Some(deadline) = self.registry.deadline() {
                    self.wait(deadline.since(self.now));
                }
            }
        }
    }

    fn conn(&self, number: u8) -> Option<ConnId> {
        self.conns.get(usize::from(number) % self.conns.len().max(1)).copied()
    }
}

fn message(what: &Said) -> ToTracker {
    match *what {
        Said::Hello { node, port, v } => {
            let site = SITES[usize::from(node) % SITES.len()].parse().expect("a name");
            let via = (node % 3 > 0).then(|| Address { host: format!("t{}", node % 3), port: 1 });
            let node = format!("node-{}", node % 16).parse().expect("a name");
            let v = if v > 250 { v.into() } else { VERSION };
            ToTracker::Hello { v, node, port, site, via }
        }
        Said::Join { torrent: number, pieces, ref have, want } => {
            ToTracker::Join { torrent: torrent(number), pieces, have: ranges(have), want }
        }
        Said::JoinSmall { torrent: number, ref have } => {
            ToTracker::Join { torrent: torrent(number), pieces: 100, have: ranges(have), want: 10 }
        }
        Said::Have { torrent: number, ref have } => {
            ToTracker::Have { torrent: torrent(number), p: ranges(have) }
        }
        Said::Want { torrent: number, n } => ToTracker::Want { torrent: torrent(number), n },
        Said::Stats { torrent: number, up, down, event } => {
            let event = match event % 5 {
                0 => None,
                1 => Some(TransferEvent::Started),
                2 => Some(TransferEvent::Completed),
                3 => Some(TransferEvent::Stopped),
                _ => Some(TransferEvent::Unknown),
            };
            ToTracker::Stats { torrent: torrent(number), up, down, event }
        }
        Said::Leave { torrent: number } => ToTracker::Leave { torrent: torrent(number) },
        Said::Ping => ToTracker::Ping,
        Said::Status { torrent: number } => ToTracker::Status { torrent: number.map(torrent) },
        Said::Torrent { torrent: number, at } => {
            ToTracker::Torrent { torrent: torrent(number), at }
        }
        Said::Unknown => ToTracker::Unknown,
    }
}

fuzz_target!(|story: Story| {
    let lease = Duration::from_secs(story.lease_s.into());
    let registry = Registry::new(RegistryConfig { lease, persist: true }, Seed(story.seed));
    let mut world = World { registry, now: Time::ZERO, conns: Vec::new(), opened: 0 };
    world.registry.publish(torrent(0), Bytes::from_static(&[7; 100_000]));
    for step in &story.steps {
        world.step(step);
        assert_eq!(world.registry.len(), world.registry.status(None).count());
    }
    // Whoever says nothing any more is forgotten.
    for conn in std::mem::take(&mut world.conns) {
        world.give(Input::Closed { conn });
    }
    world.wait(Duration::from_secs(24 * 3600));
    assert!(world.registry.is_empty(), "{} leases stay", world.registry.len());
    world.give(Input::Stop);
});

//! Runs told in a line, for the tests of rules: `0 seed-0 added 2/2 | 1 seed-0 sent leech-0 0 | 2 leech-0 got seed-0 0`.
//!
//! Each clause is a moment in milliseconds, who, what, and about what. The plan behind it: a tracker, two seeds, four leeches
//! and a liar with links of 1,000,000 bytes per second, and a file of as many pieces of 64 KiB as the first `added`
//! says; a block is a whole piece.

use std::sync::Arc;
use std::time::Duration;

use sta_core::model::bitfield::PieceRange;
use sta_core::model::config::EngineConfig;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::layout::{Block, Layout};
use sta_core::model::time::Time;

use super::{Account, Held, Judgement, Rule};
use crate::runlog::{Detail, Entry, Note, Noted};
use crate::scenario::dist::Dist;
use crate::scenario::driver::Origin;
use crate::scenario::plan::{
    Behaviour, BoundPlan, ContentPlan, DiskPlan, HostPlan, LeavePlan, Plan, Role, SetPlan,
    SlowPlan, Take, UnreadablePlan, Verb, Which, World,
};
use crate::scenario::site::Core;
use crate::scenario::units::Ppm;

/// Bytes of a piece, and of a block.
pub(crate) const PIECE: u32 = 64 << 10;
const TORRENT: InfoHash = InfoHash([7; 20]);

/// Indices of hosts in the plan of a story.
pub(crate) const LEECHES: std::ops::Range<usize> = 3..7;

/// The story must not break the rule, and must put it to the test.
pub(crate) fn holds(rule: Box<dyn Rule>, story: &str) -> Judgement {
    let judgement = judge(rule, story);
    assert_eq!(judgement.held, Held::Yes, "{story}\n{judgement:#?}");
    judgement
}

/// The story must break the rule, with a finding that says `what`.
pub(crate) fn breaks(rule: Box<dyn Rule>, story: &str, what: &str) -> Judgement {
    let judgement = judge(rule, story);
    assert_eq!(judgement.held, Held::No, "{story}\n{judgement:#?}");
    let said = judgement.findings.iter().any(|finding| finding.what.contains(what));
    assert!(said, "no finding says {what:?}: {judgement:#?}");
    judgement
}

/// What the rule says of the story.
pub(crate) fn judge(mut rule: Box<dyn Rule>, story: &str) -> Judgement {
    let pieces = story
        .split_whitespace()
        .find_map(|word| word.split_once('/').and_then(|(_, all)| all.parse().ok()))
        .unwrap_or(0);
    let mut account = Account::new(Arc::new(plan(pieces)));
    let mut last = Time::ZERO;
    for entry in entries(story) {
        last = entry.at();
        account.see(&entry);
        rule.see(&entry, &account);
    }
    account.close(last);
    rule.finish(&account)
}

/// The entries of a story.
pub(crate) fn entries(story: &str) -> Vec<Entry> {
    let content = Note::Content { content: 0, torrent: TORRENT };
    let mut entries = vec![Entry::Noted(Noted { at: Time::ZERO, note: content })];
    let mut faults = 0;
    for clause in story.split('|') {
        let words: Vec<&str> = clause.split_whitespace().collect();
        let [moment, who, rest @ ..] = words.as_slice() else { panic!("{clause:?}") };
        let at = Time::from_nanos(moment.parse::<u64>().expect("milliseconds") * 1_000_000);
        let started = matches!(rest, ["added", _]);
        if started {
            let listen = "192.0.2.1:6881".parse().expect("an address");
            entries.push(said(at, who, Event::NodeStarted { listen }));
        }
        entries.push(entry(at, who, rest, &mut faults));
    }
    entries
}

fn entry(at: Time, who: &str, rest: &[&str], faults: &mut usize) -> Entry {
    let noted = |note| Entry::Noted(Noted { at, note });
    match rest {
        ["pieces"] if who == "detail" => noted(Note::Detail { detail: Detail::Pieces }),
        ["milestones"] if who == "detail" => noted(Note::Detail { detail: Detail::Milestones }),
        ["dies"] => noted(Note::ProcessDied { who: id(who) }),
        ["panics"] => {
            noted(Note::Panicked { who: id(who), what: "index out of bounds".to_owned() })
        }
        ["heard", messages] => {
            noted(Note::TrackerHeard { who: id(who), messages: number(messages) })
        }
        ["unreadable", pieces] => noted(unreadable(who, pieces)),
        ["disk", claimed] => noted(disk(who, claimed, "-")),
        ["disk", claimed, "wrong", wrong] => noted(disk(who, claimed, wrong)),
        [verb, targets @ ..] if who == "fault" => {
            *faults += 1;
            let mut sides = targets.split(|word| *word == "against");
            let mut side = || sides.next().unwrap_or_default().iter().map(|target| id(target));
            let (on, against) = (side().collect(), side().collect());
            noted(Note::FaultBegan {
                fault: *faults - 1,
                id: (*verb).into(),
                origin: Origin::Healed,
                verb: (*verb).into(),
                effect: verb_named(verb).effect(),
                on,
                against,
            })
        }
        [fault] if who == "ended" => noted(Note::FaultEnded { fault: number(fault) as usize }),
        _ => said(at, who, event(rest)),
    }
}

fn event(rest: &[&str]) -> Event {
    let torrent = TORRENT;
    let block = |piece: &str| Block { piece: number(piece), offset: 0, len: PIECE };
    let listen = || "192.0.2.1:6881".parse().expect("an address");
    match *rest {
        ["added", count] => {
            let (have, pieces) = count.split_once('/').expect("have/pieces");
            Event::TorrentAdded { torrent, pieces: number(pieces), have: number(have) }
        }
        ["stopped"] => Event::NodeStopped,
        ["connected", peer] => Event::PeerConnected { torrent, peer: id(peer) },
        ["lost", peer] => Event::PeerLost { torrent, peer: id(peer), why: "told so".into() },
        ["banned", peer] => Event::PeerBanned { torrent, peer: id(peer), why: "told so".into() },
        ["unchoked", peer] => Event::Unchoked { torrent, peer: id(peer) },
        ["choked", peer] => Event::Choked { torrent, peer: id(peer) },
        ["asked", peer, piece] => {
            Event::BlockAsked { torrent, peer: id(peer), block: block(piece) }
        }
        ["asked", peer, piece, len] => Event::BlockAsked {
            torrent,
            peer: id(peer),
            block: Block { len: number(len), ..block(piece) },
        },
        ["sent", peer, piece] => Event::BlockSent { torrent, peer: id(peer), block: block(piece) },
        ["got", peer, piece] => {
            Event::BlockReceived { torrent, peer: id(peer), block: block(piece), useful: true }
        }
        ["wasted", peer, piece] => {
            Event::BlockReceived { torrent, peer: id(peer), block: block(piece), useful: false }
        }
        ["right", piece, bytes] => {
            Event::LeavesVerified { torrent, piece: number(piece), bytes: number(bytes) }
        }
        ["verified", piece] => Event::PieceVerified { torrent, piece: number(piece) },
        ["failed", piece] => Event::PieceFailed { torrent, piece: number(piece), from: vec![] },
        ["announced", piece] => Event::PieceAnnounced { torrent, piece: number(piece) },
        ["complete"] => Event::TorrentComplete { torrent, down: 0, up: 0, wasted: 0 },
        ["tracks", restored] => {
            Event::TrackerStarted { listen: listen(), restored: number(restored) }
        }
        ["granted", node] => Event::LeaseGranted { torrent, node: id(node) },
        ["expired", node] => Event::LeaseEnded { torrent, node: id(node), expired: true },
        ["released", node] => Event::LeaseEnded { torrent, node: id(node), expired: false },
        _ => panic!("no such clause: {rest:?}"),
    }
}

fn said(at: Time, who: &str, event: Event) -> Entry {
    Entry::Said(Record { at, who: id(who), event })
}

/// The verbs that stories are told with.
fn verb_named(name: &str) -> Verb {
    match name {
        "cut" => Verb::Cut,
        "pause" => Verb::Pause,
        "slow" => Verb::Slow(SlowPlan::default()),
        "reset" => Verb::Reset,
        "power-off" => Verb::PowerOff,
        "torn-write" => Verb::TornWrite,
        "disk-unreadable" => Verb::DiskUnreadable(UnreadablePlan {
            content: None,
            which: Which::Share(Ppm(500_000)),
        }),
        "corrupt-disk" => Verb::CorruptDisk(Ppm(500_000)),
        "set" => {
            let behaviour = Some(Behaviour::Corrupt(Ppm(500_000)));
            Verb::Set(SetPlan { behaviour, ..SetPlan::default() })
        }
        _ => panic!("no story has {name:?} yet"),
    }
}

fn disk(who: &str, claimed: &str, wrong: &str) -> Note {
    Note::Disk { who: id(who), torrent: TORRENT, claimed: ranges(claimed), wrong: ranges(wrong) }
}

fn unreadable(who: &str, pieces: &str) -> Note {
    Note::Unreadable { who: id(who), torrent: TORRENT, pieces: ranges(pieces) }
}

fn ranges(text: &str) -> Vec<PieceRange> {
    match text.split_once('-') {
        Some(("", "")) => vec![],
        Some((first, last)) => vec![PieceRange(number(first), number(last))],
        None => vec![PieceRange::one(number(text))],
    }
}

fn id(name: &str) -> NodeId {
    name.parse().expect("a name")
}

fn number(text: &str) -> u32 {
    text.parse().expect("a number")
}

/// The plan behind every story.
pub(crate) fn plan(pieces: u32) -> Plan {
    let group =
        |group: &str, count, role| (0..count).map(move |ix| host(group, ix, role)).collect();
    let groups: [Vec<HostPlan>; 4] = [
        group("tracker", 1, Role::Tracker),
        group("seed", 2, Role::Node),
        group("leech", 4, Role::Node),
        group("liar", 1, Role::Node),
    ];
    let mut hosts: Vec<HostPlan> = groups.into_iter().flatten().collect();
    for seed in hosts.iter_mut().filter(|host| host.group == "seed") {
        seed.takes[0].have = (pieces > 0).then(|| PieceRange(0, pieces - 1)).into_iter().collect();
    }
    let total = u64::from(pieces) * u64::from(PIECE);
    let fluid = Duration::from_micros(total);
    Plan {
        name: "a story".to_owned(),
        about: String::new(),
        seed: 7,
        world: World::Turmoil,
        cell: vec![],
        deadline: Time::from_nanos(60_000_000_000),
        healed: Time::from_nanos(10_000_000_000),
        lasts: Time::ZERO,
        core: Core::of(Duration::from_millis(1)),
        hosts,
        contents: vec![ContentPlan {
            name: "file".to_owned(),
            files: vec![("file".to_owned(), total)],
            layout: Layout::new(total, PIECE).expect("small"),
            seed: 1,
            bound: Some(BoundPlan { counted: None, fluid }),
        }],
        timeline: vec![],
        faults: vec![],
        expectations: vec![],
        cover: vec![],
        must_fail: None,
    }
}

fn host(group: &str, index: u32, role: Role) -> HostPlan {
    let liar = Behaviour::Liar(Ppm(500_000));
    HostPlan {
        name: format!("{group}[{index}]"),
        id: id(&format!("{group}-{index}")),
        group: group.to_owned(),
        index,
        role,
        up: Some(1_000_000),
        down: Some(1_000_000),
        site: None,
        latency: Duration::from_millis(5),
        jitter: Dist::ZERO,
        loss: Ppm(0),
        join: Time::ZERO,
        leave: LeavePlan::Stay,
        disk: DiskPlan::default(),
        behaviour: if group == "liar" { liar } else { Behaviour::Honest },
        engine: EngineConfig::default(),
        takes: match role {
            Role::Tracker => vec![],
            Role::Node => vec![Take { content: 0, have: vec![] }],
        },
    }
}

//! The laboratory: one distribution in the flow world, and where its time went.
//!
//! ```text
//! cargo run --release --example lab -- [KEY=VALUE]...     receivers=64 pieces=512 piece=262144 up=12500000 ...
//! ```
//!
//! Not a way to run scenarios: it prints figures about the engine's schedule, a table per run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sta_core::model::bitfield::PieceRange;
use sta_core::model::config::EngineConfig;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::NodeId;
use sta_core::model::layout::Layout;
use sta_core::model::time::Time;
use sta_sim::flow::cluster::{Cluster, Detail};
use sta_sim::scenario::dist::Dist;
use sta_sim::scenario::plan::{
    Behaviour, ContentPlan, DiskPlan, HostPlan, LeavePlan, Plan, Role, Take, World,
};
use sta_sim::scenario::site::Core;
use sta_sim::scenario::units::Ppm;

/// The one that `sta-sim` uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What can be set on the command line, with its default.
const KNOBS: &[(&str, u64)] = &[
    ("receivers", 64),
    ("pieces", 512),
    ("piece", 262_144),
    ("up", 12_500_000),
    ("down", 12_500_000),
    ("latency-us", 500),
    ("degree", 10),
    ("slots", 0),
    ("block", 0),
    ("seed", 1),
    ("limit", 50),
    ("rows", 10),
    // With 1: how long after the first receiver a piece has reached 2, 4, 8, ... of them.
    ("life", 0),
    // Prints all events of this host (1 is the source, 0 nobody) from this moment on.
    ("watch", 0),
    ("from-ms", 0),
];

fn main() {
    let mut knobs: BTreeMap<String, u64> = KNOBS.iter().map(|&(k, v)| (k.to_owned(), v)).collect();
    for argument in std::env::args().skip(1) {
        let Some((key, value)) = argument.split_once('=') else {
            panic!("KEY=VALUE, not {argument}")
        };
        let known = knobs.get_mut(key).unwrap_or_else(|| panic!("no knob {key}; {KNOBS:?}"));
        *known = value.parse().expect("a number");
    }
    let knob = |name: &str| knobs[name];
    let plan = plan(&knob);
    let receivers = knob("receivers");
    let total = knob("pieces") * knob("piece");
    let log = u64::from(receivers.ilog2());
    let counted = total as f64 / knob("up") as f64 * (1.0 + log as f64 / knob("pieces") as f64);
    let (n, f) = (receivers as f64, total as f64);
    let fluid = (f / knob("up") as f64)
        .max(f / knob("down") as f64)
        .max(n * f / (knob("up") as f64 * (n + 1.0)));
    let bound = counted.max(fluid);

    #[expect(clippy::disallowed_methods, reason = "how long the simulation itself takes")]
    let wall = std::time::Instant::now();
    let lives = Arc::new(Mutex::new(Lives::default()));
    let (kept, source) = (Arc::clone(&lives), plan.hosts[1].id.clone());
    let watched = plan.hosts[knob("watch") as usize].id.clone();
    let watches = knob("watch") > 0;
    let from = Time::from_nanos(knob("from-ms") * 1_000_000);
    let print = move |record: &Record| {
        kept.lock().expect("no panic before").see(record, &source);
        if watches && record.who == watched && record.at >= from {
            eprintln!("{} {:?}", record.at, record.event);
        }
    };
    let detail =
        if knob("watch") == 0 && knob("life") == 0 { Detail::Milestones } else { Detail::Blocks };
    let mut cluster = Cluster::new(&plan, Box::new(print), detail);
    (0..plan.hosts.len() as u32).for_each(|host| cluster.start(host));
    let step = bound / knob("rows") as f64;
    let mut rows: Vec<Vec<[u64; 3]>> = Vec::new();
    let limit = Time::from_nanos((bound * knob("limit") as f64 * 1e9) as u64);
    let done = |cluster: &Cluster| cluster.tally().complete[2..].iter().all(Option::is_some);
    while !done(&cluster) {
        let next = cluster.next_at();
        if next > limit {
            println!("not complete by {limit}");
            break;
        }
        while next.as_secs_f64() >= step * rows.len() as f64 {
            rows.push(cluster.tally().payload.clone());
        }
        cluster.run_to(next);
    }
    rows.push(cluster.tally().payload.clone());
    let (end, took) = (cluster.now().as_secs_f64(), wall.elapsed().as_secs_f64());

    let tally = cluster.tally();
    let mut completions: Vec<f64> =
        tally.complete[2..].iter().flatten().map(|at| at.as_secs_f64()).collect();
    completions.sort_by(f64::total_cmp);
    let copies = tally.payload[1][0] as f64 / f;
    let wasted: u64 = tally.payload.iter().map(|p| p[2]).sum();
    let last = tally.complete.iter().enumerate().max_by_key(|(_, at)| **at).map_or(0, |(h, _)| h);
    let first = completions.first().copied().unwrap_or_default();
    let median = completions.get(completions.len() / 2).copied().unwrap_or_default();
    println!(
        "{receivers} receivers, {} pieces: {end:.3}s is {:.3} of the bound {bound:.3}s in whole pieces (fluid {fluid:.3}s)",
        knob("pieces"),
        end / bound
    );
    println!(
        "  first {:.3} median {:.3} last is host {last}; source {copies:.3} copies; waste {:.2}%; {} events in {took:.2}s ({:.1} us each)",
        first / bound,
        median / bound,
        100.0 * wasted as f64 / (n * f),
        tally.events,
        took * 1e6 / tally.events as f64
    );
    if knob("life") > 0 {
        let piece = knob("piece") as f64 / knob("up") as f64;
        lives.lock().expect("no panic before").print(bound, piece);
    }
    println!(
        "  {:>6} {:>8} {:>8}   share of the uplinks used: by the source, by all receivers",
        "time", "source", "others"
    );
    for (row, pair) in rows.windows(2).enumerate() {
        let sent = |hosts: std::ops::Range<usize>| -> u64 {
            hosts.map(|host| pair[1][host][0] - pair[0][host][0]).sum()
        };
        let span = (end - step * row as f64).min(step).max(1e-9) * knob("up") as f64;
        println!(
            "  {:>6.2} {:>7.1}% {:>7.1}%",
            row as f64 * step / bound,
            100.0 * sent(1..2) as f64 / span,
            100.0 * sent(2..plan.hosts.len()) as f64 / (span * n)
        );
    }
}

/// When each piece began to leave the source, and when each receiver had it.
#[derive(Default)]
struct Lives {
    began: BTreeMap<u32, Time>,
    verified: BTreeMap<u32, Vec<Time>>,
}

impl Lives {
    fn see(&mut self, record: &Record, source: &NodeId) {
        match &record.event {
            Event::PieceVerified { piece, .. } => {
                self.verified.entry(*piece).or_default().push(record.at);
            }
            Event::BlockSent { block, .. } if record.who == *source => {
                self.began.entry(block.piece).or_insert(record.at);
            }
            _ => {}
        }
    }

    /// Means over the pieces that reached their first receiver in each quarter of the `bound`, in the time that one `piece` takes.
    fn print(&self, bound: f64, piece: f64) {
        let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len().max(1) as f64 / piece;
        println!(
            "  a piece's way, in piece times: source to the first receiver; from there to so many"
        );
        for quarter in 0..4 {
            let first =
                |times: &&Vec<Time>| (times[0].as_secs_f64() / bound * 4.0) as u32 == quarter;
            let born: Vec<_> = self.verified.iter().filter(|(_, times)| first(times)).collect();
            let least = born.iter().map(|(_, times)| times.len()).min().unwrap_or_default();
            let until = |piece: &u32, times: &[Time]| {
                self.began.get(piece).map(|began| times[0].since(*began).as_secs_f64())
            };
            let to_first: Vec<f64> =
                born.iter().filter_map(|(piece, times)| until(piece, times)).collect();
            print!("  quarter {}: {:5.1};", quarter + 1, mean(&to_first));
            let doublings =
                std::iter::successors(Some(2), |n| Some(n * 2)).take_while(|n| *n < least);
            for copies in doublings.chain([least]).filter(|copies| *copies > 0) {
                let took = |times: &Vec<Time>| times[copies - 1].since(times[0]).as_secs_f64();
                let spread: Vec<f64> = born.iter().map(|(_, times)| took(times)).collect();
                print!("  {copies}: {:.1}", mean(&spread));
            }
            println!();
        }
    }
}

/// A tracker, a source and receivers that all start at once.
fn plan(knob: &dyn Fn(&str) -> u64) -> Plan {
    let layout = Layout::new(knob("pieces") * knob("piece"), knob("piece") as u32)
        .expect("pieces within the limits");
    let mut engine =
        EngineConfig { peers_wanted: knob("degree") as u32, ..EngineConfig::default() };
    if knob("slots") > 0 {
        engine.upload_slots = knob("slots") as u32;
    }
    engine.block_bytes = knob("block") as u32;
    let host = |name: String, role, have: Option<Vec<PieceRange>>| HostPlan {
        id: name.parse().expect("a plain name"),
        group: name.clone(),
        name,
        index: 0,
        role,
        up: (role == Role::Node).then(|| knob("up")),
        down: (role == Role::Node).then(|| knob("down")),
        site: None,
        latency: Duration::from_micros(knob("latency-us")),
        jitter: Dist::ZERO,
        loss: Ppm(0),
        join: Time::ZERO,
        leave: LeavePlan::Stay,
        disk: DiskPlan::default(),
        behaviour: Behaviour::Honest,
        engine: engine.clone(),
        takes: have.map(|have| Take { content: 0, have }).into_iter().collect(),
    };
    let all = PieceRange(0, layout.pieces() - 1);
    let mut hosts = vec![
        host("tracker".into(), Role::Tracker, None),
        host("source".into(), Role::Node, Some(vec![all])),
    ];
    hosts.extend(
        (0..knob("receivers")).map(|n| host(format!("leech-{n}"), Role::Node, Some(vec![]))),
    );
    Plan {
        name: "lab".into(),
        about: String::new(),
        seed: knob("seed"),
        world: World::Flow,
        cell: Vec::new(),
        deadline: Time::FAR_FUTURE,
        healed: Time::ZERO,
        lasts: Time::ZERO,
        core: Core::default(),
        hosts,
        contents: vec![ContentPlan {
            name: "content".into(),
            files: vec![("content".into(), layout.total())],
            layout,
            seed: 1,
            bound: None,
        }],
        timeline: Vec::new(),
        faults: Vec::new(),
        expectations: Vec::new(),
        cover: Vec::new(),
        must_fail: None,
    }
}

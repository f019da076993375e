//! A synthetic run, drawn: its page has what it must have, escapes what it must, and a browser shows it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sta_core::io::observer::Observer;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::layout::{Block, Layout};
use sta_core::model::time::Time;

use super::{begin, folder_name, html, summary, write};
use crate::checks::story;
use crate::outcome::{Outcome, Verdict};
use crate::runlog::{Ended, Entry, Note, Noted, Recorder, RunLog};
use crate::scenario::driver::{Occurrence, Origin};
use crate::scenario::plan::{Check, Expectation, Plan, Since, Verb};
use crate::verdict::judge;

const TORRENT: InfoHash = InfoHash([7; 20]);
const PIECES: u32 = 160;

/// A run made up by arithmetic: a pipeline from the seed through the leeches, one of which loses power for a while.
struct Made {
    plan: Arc<Plan>,
    log: RunLog,
    outcome: Outcome,
}

struct Maker {
    plan: Plan,
    entries: Vec<Entry>,
}

impl Maker {
    fn new(leeches: u32) -> Self {
        let mut plan = story::plan(PIECES);
        let leech = plan.hosts[3].clone();
        plan.hosts.truncate(3);
        for index in 0..leeches {
            let (name, id) = (format!("leech[{index}]"), format!("leech-{index}"));
            let id = id.parse().expect("a name");
            plan.hosts.push(crate::scenario::plan::HostPlan { name, id, index, ..leech.clone() });
        }
        plan.name = "one source, <b>many</b> & a power cut".to_owned();
        plan.about = "A made-up run: what a page must show.".to_owned();
        plan.contents[0].layout =
            Layout::new(u64::from(PIECES * story::PIECE), story::PIECE).expect("small");
        let hosts: Vec<usize> = (3..plan.hosts.len()).collect();
        let expect = |text: &str, check| Expectation {
            text: text.to_owned(),
            check,
            warn_only: false,
            portion: None,
        };
        plan.expectations = vec![
            expect(
                "leech[*] complete within 25s of the start",
                Check::Complete {
                    hosts: hosts.clone(),
                    within: Duration::from_secs(25),
                    since: Since::Start,
                },
            ),
            expect("makespan at most 1.5 times the bound", Check::Makespan { at_most: 1_500_000 }),
            expect(
                "leech[*] got nothing for at most 3s",
                Check::Stall { hosts, at_most: Duration::from_secs(3) },
            ),
        ];
        Self { plan, entries: vec![] }
    }

    fn say(&mut self, ms: u64, host: usize, event: Event) {
        let (at, who) = (Time::from_nanos(ms * 1_000_000), self.id(host));
        self.entries.push(Entry::Said(Record { at, who, event }));
    }

    fn note(&mut self, ms: u64, note: Note) {
        self.entries.push(Entry::Noted(Noted { at: Time::from_nanos(ms * 1_000_000), note }));
    }

    fn id(&self, host: usize) -> NodeId {
        self.plan.hosts[host].id.clone()
    }

    /// Two hosts meet, and serve each other.
    fn meet(&mut self, ms: u64, a: usize, b: usize) {
        let torrent = TORRENT;
        for (host, peer) in [(a, self.id(b)), (b, self.id(a))] {
            self.say(ms, host, Event::PeerConnected { torrent, peer: peer.clone() });
            self.say(ms, host, Event::Unchoked { torrent, peer });
        }
    }

    fn start(&mut self, ms: u64, host: usize, have: u32) {
        let listen = "192.0.2.1:6881".parse().expect("an address");
        self.say(ms, host, Event::NodeStarted { listen });
        self.say(ms, host, Event::TorrentAdded { torrent: TORRENT, pieces: PIECES, have });
    }

    /// `from` gives `to` a piece; now and then it is wrong at first.
    fn give(&mut self, ms: u64, from: usize, to: usize, piece: u32) {
        let torrent = TORRENT;
        let block = Block { piece, offset: 0, len: story::PIECE };
        let (peer, receiver) = (self.id(from), self.id(to));
        let fails = piece % 61 == 17 && to == 4;
        for (attempt, ms) in [ms, ms + 41].into_iter().enumerate().take(1 + usize::from(fails)) {
            self.say(ms, to, Event::BlockAsked { torrent, peer: peer.clone(), block });
            self.say(ms + 2, from, Event::BlockSent { torrent, peer: receiver.clone(), block });
            let received =
                Event::BlockReceived { torrent, peer: peer.clone(), block, useful: true };
            self.say(ms + 40 - 35 * attempt as u64, to, received);
            if fails && attempt == 0 {
                let from = vec![peer.clone()];
                self.say(ms + 40, to, Event::PieceFailed { torrent, piece, from });
            }
        }
        self.say(ms + 50, to, Event::PieceVerified { torrent, piece });
        self.say(ms + 50, to, Event::PieceAnnounced { torrent, piece });
    }

    fn finish(mut self, occurrences: Vec<Occurrence>) -> Made {
        self.entries.sort_by_key(Entry::at);
        let recorder = Recorder::new();
        for entry in self.entries {
            match entry {
                Entry::Said(record) => recorder.observe(&record),
                Entry::Noted(noted) => recorder.note(noted.at, noted.note),
            }
        }
        let end = Time::from_nanos(30_000_000_000);
        let log = recorder.finish(end, Ended::Done, occurrences);
        let plan = Arc::new(self.plan);
        let outcome = judge(&plan, &log, Duration::from_millis(131));
        Made { plan, log, outcome }
    }
}

/// Seed 1 holds everything; each leech gets its pieces from the one before it. The one in the middle is without power from
/// 6 s to 11 s, so those behind it wait.
fn made(leeches: u32) -> Made {
    let mut maker = Maker::new(leeches);
    let hosts = maker.plan.hosts.len();
    let broken = 3 + leeches as usize / 2;
    maker.note(0, Note::Content { content: 0, torrent: TORRENT });
    let listen = "192.0.2.1:6880".parse().expect("an address");
    maker.say(0, 0, Event::TrackerStarted { listen, restored: 0 });
    (1..hosts)
        .for_each(|host| maker.start(10 * host as u64, host, if host < 3 { PIECES } else { 0 }));
    let met = 10 * hosts as u64;
    maker.meet(met, 1, 3);
    for host in 1..hosts {
        let node = maker.id(host);
        maker.say(met, 0, Event::LeaseGranted { torrent: TORRENT, node });
        maker.meet(met, host.max(3) - 1, host.max(3));
    }
    let (mut dark, who) = (true, maker.id(broken));
    for piece in 0..PIECES {
        let heard = Note::TrackerHeard { who: maker.id(0), messages: 1 + piece % 7 };
        maker.note(met + u64::from(piece) * 66, heard);
        for host in 3..hosts {
            let ms = met + u64::from(piece) * 66 + (host - 3) as u64 * 90;
            let late = if host >= broken && ms > 5_900 { 5_300 } else { 0 };
            if late > 0 && dark {
                dark = false;
                let (id, verb) = ("lights-out".into(), "power-off".into());
                let (on, origin) = ([who.clone()].into(), Origin::Event(0));
                let effect = Verb::PowerOff.effect();
                maker.note(
                    6_000,
                    Note::FaultBegan { fault: 0, id, origin, verb, effect, on, against: [].into() },
                );
                maker.note(6_000, Note::ProcessDied { who: who.clone() });
                maker.note(11_000, Note::FaultEnded { fault: 0 });
                maker.start(11_000, broken, piece);
                maker.meet(11_050, broken - 1, broken);
                if broken + 1 < hosts {
                    maker.meet(11_050, broken, broken + 1);
                }
            }
            let from = if host == 3 { 1 + piece as usize % 2 } else { host - 1 };
            maker.give(ms + late, from, host, piece);
            if piece + 1 == PIECES {
                let done = Event::TorrentComplete { torrent: TORRENT, down: 0, up: 0, wasted: 0 };
                maker.say(ms + late + 60, host, done);
            }
        }
    }
    let fault = |id: &str, touched, began: u64, ended: u64| Occurrence {
        id: id.to_owned(),
        origin: Origin::Event(0),
        verb: Verb::PowerOff,
        on: vec![if touched > 0 { broken } else { 3 }],
        against: vec![],
        began: Time::from_nanos(began * 1_000_000),
        ended: Some(Time::from_nanos(ended * 1_000_000)),
        until: None,
        touched,
    };
    maker.finish(vec![fault("lights-out", 4, 6_000, 11_000), fault("too-late", 0, 27_000, 28_000)])
}

const REPLAY: &str = "sta-sim replay sta-runs/latest/capsule.toml";

fn page(made: &Made) -> String {
    html::page(&made.plan, &made.log, &made.outcome, &made.log.hashes().hash, REPLAY)
}

#[test]
fn a_page_needs_nothing_but_itself_and_escapes_what_the_file_says() {
    let page = page(&made(6));
    for outside in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "the page refers to {outside}");
    }
    assert!(!page.contains("<b>many</b>"), "markup of a scenario's name must not be markup");
    assert!(page.contains("one source, &lt;b&gt;many&lt;/b&gt; &amp; a power cut"));
}

#[test]
fn a_page_has_a_lane_for_each_node_and_a_row_for_each_check() {
    let made = made(6);
    let page = page(&made);
    for host in &made.plan.hosts {
        assert!(page.contains(&format!("data-host=\"{}\"", host.id)), "no lane for {}", host.id);
    }
    for judged in made.outcome.judged() {
        assert!(page.contains(&format!("data-check=\"{}\"", judged.name)), "{}", judged.name);
    }
    for section in ["nodes", "bound", "pieces", "matrix", "tracker", "faults", "asked", "failure"] {
        assert!(page.contains(&format!("<section id=\"{section}\"")), "no section {section}");
    }
    assert!(page.contains("nothing: it proved nothing"), "a fault that touched nothing is named");
    assert!(!page.contains("NaN") && !page.contains("inf"), "a number went wrong");
}

#[test]
fn what_was_asked_is_told_from_what_is_always_watched() {
    let mut made = made(2);
    made.outcome.expectations[0].text = made.outcome.expectations[0].name.clone();
    let page = page(&made);
    let row = page.split("data-check=\"complete\"").nth(1).expect("a row of it");
    let row = row.split("</tr>").next().expect("it ends");
    assert!(row.contains("complete") && !row.contains("always watched"), "{row}");
    assert_eq!(page.matches("always watched").count(), made.outcome.watched.len());
}

/// Bands of a class in the lanes of a run in which leech-0 is cut off and stays so.
fn bands_of_a_cut(against: &[&str], class: &str) -> Vec<String> {
    let mut made = made(4);
    let id = |name: &&str| name.parse().expect("a name");
    let cut = &mut made.outcome.faults[0];
    (cut.verb, cut.on, cut.ended) = ("cut".to_owned(), vec![id(&"leech-0")], None);
    cut.against = against.iter().map(id).collect();
    let page = page(&made);
    let lanes = page.split("data-host=\"").skip(1);
    let has = |lane: &&str| lane.contains(&format!("class=\"{class}\" x="));
    lanes.filter(has).map(|lane| lane.split('"').next().expect("its name").to_owned()).collect()
}

#[test]
fn who_was_cut_off_is_seen() {
    let rest = ["tracker-0", "seed-0", "seed-1", "leech-1", "leech-2", "leech-3"];
    assert_eq!(bands_of_a_cut(&rest, "fault"), ["leech-0"]);
    assert!(
        bands_of_a_cut(&rest, "fault other").is_empty(),
        "everybody else is nobody in particular"
    );
    assert_eq!(bands_of_a_cut(&rest[4..], "fault"), ["leech-0"]);
    assert_eq!(bands_of_a_cut(&rest[4..], "fault other"), ["leech-2", "leech-3"]);
}

#[test]
fn many_nodes_make_a_page_that_can_be_opened() {
    let page = page(&made(120));
    let lanes = page.matches("class=\"lane\"").count();
    assert_eq!(lanes, super::chart::lanes::LANES_MAX);
    assert!(page.len() < 4 << 20, "{} bytes", page.len());
}

#[test]
fn an_empty_run_makes_a_page_too() {
    let maker = Maker::new(1);
    let made = maker.finish(vec![]);
    let page = page(&made);
    assert!(page.contains("it never started") && !page.contains("NaN"));
}

#[test]
fn a_failure_ends_with_what_who_when_the_seed_and_the_command() {
    let made = made(6);
    assert_eq!(made.outcome.verdict, Verdict::NotLive, "{:#?}", made.outcome.failures());
    let text = summary::summary(&made.outcome, None, REPLAY);
    let tail: Vec<&str> = text.lines().rev().take(5).map(str::trim_start).collect();
    let starts =
        ["replay    sta-sim replay", "seed      7", "when      ", "who       leech-", "what      "];
    for (line, start) in tail.iter().zip(starts) {
        assert!(line.starts_with(start), "{line:?} does not start with {start:?}\n{text}");
    }
    assert!(text.contains("idle      too-late"), "{text}");
    let of_each = made.outcome.judged().filter(|judged| judged.fails());
    let several = of_each.map(|j| j.judgement.findings.len()).max().expect("one fails");
    assert!(several > 1 && text.contains(&format!(", and {} more)", several - 1)), "{text}");
}

fn written(made: &Made, out: &Path) -> PathBuf {
    let Made { plan, log, outcome } = made;
    let folder = begin(out, log, outcome).expect("it can be written");
    write(&folder, plan, log, outcome, "schema = 1\n", REPLAY).expect("it can be written");
    folder
}

#[test]
fn every_name_has_a_folder_of_its_own() {
    let mut made = made(2);
    let mut folder = |name: &str| {
        made.outcome.scenario = name.to_owned();
        folder_name(&made.outcome)
    };
    let plain = folder("Flash crowd!");
    assert_eq!(plain, folder("flash-crowd"));
    let names =
        ["flash crowd", "flüsh crowd", "flösh crowd", "人群", "群人", "толпа", "", "!"].map(folder);
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(names.iter().all(|name| name.chars().all(letters)), "{names:?}");
    let apart: std::collections::BTreeSet<&String> = names.iter().collect();
    assert_eq!((apart.len(), &names[0]), (names.len(), &plain), "{names:?}");
}

#[test]
fn a_folder_holds_everything_and_latest_points_at_it() {
    let (made, out) = (made(2), tempfile::tempdir().expect("a folder"));
    let folder = written(&made, out.path());
    assert_eq!(written(&made, out.path()), folder, "it can be written again");
    let latest = out.path().join("latest");
    for name in ["report.json", "events.jsonl", "capsule.toml", "report.html"] {
        assert!(latest.join(name).is_file(), "{name}");
    }
    let events = std::fs::read_to_string(latest.join("events.jsonl")).expect("text");
    let (lines, hash) = events.trim_end().rsplit_once('\n').expect("more than one line");
    let of_lines = blake3::hash(format!("{lines}\n").as_bytes()).to_hex();
    assert_eq!(hash, format!("{{\"hash\":\"{of_lines}\"}}"), "over the lines before it");
    let json = std::fs::read_to_string(latest.join("report.json")).expect("text");
    assert!(json.contains(of_lines.as_str()), "{json}");
}

/// What a browser makes of the page. Skipped, and says so, where there is no Chromium.
#[test]
fn a_browser_shows_the_page() {
    let (made, out) = (made(12), tempfile::tempdir().expect("a folder"));
    let folder = written(&made, out.path());
    if let Some(keep) = std::env::var_os("STA_KEEP_PAGE") {
        std::fs::copy(folder.join("report.html"), keep).expect("a place for the page");
    }
    let dump = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", out.path().join("profile").display()))
        .args(["--dump-dom", &format!("file://{}", folder.join("report.html").display())])
        .stderr(Stdio::null())
        .output();
    let Ok(dump) = dump else {
        println!("skipped: there is no chromium here");
        return;
    };
    let dom = String::from_utf8_lossy(&dump.stdout);
    assert_eq!(dom.matches("class=\"lane\"").count(), made.plan.hosts.len());
    assert!(dom.contains("id=\"verdict\">not live</span>"), "the verdict is shown");
    assert!(dom.contains("<span></span>") && dom.trim_end().ends_with("</html>"));
}

//! What happened in a run, in order: the events of nodes and trackers, and between them what the world did to them.
//!
//! A world writes into a [`Recorder`], which is the `Observer` of every node and tracker in it, and ends with
//! [`Recorder::finish`]. Everything said about a run afterwards (checks, expectations, reports, the hash that two runs
//! must share) is read from this one stream. Invariant: entries never go back in time, and the hash is over the exact
//! lines of `events.jsonl`. Lines are made when somebody wants them: writing and hashing them is as much work as a fifth of a run.

mod kind;
mod line;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use sta_core::io::observer::Observer;
use sta_core::model::bitfield::PieceRange;
use sta_core::model::event::Record;
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::time::Time;

use crate::scenario::driver::{Occurrence, Origin};
use crate::scenario::effect::Effect;
use crate::scenario::network::OccurrenceIx;
use crate::scenario::plan::{Plan, Verb};

pub use kind::{Counts, Kind};

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// Something that a node or a tracker said.
    Said(Record),
    /// Something that the world did or knows.
    Noted(Noted),
}

/// A [`Note`] and its moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// When.
    pub at: Time,
    /// What.
    #[serde(flatten)]
    pub note: Note,
}

/// How much of what happens is in a log: less where a run is too large to keep everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// Not what happens to single blocks and pieces.
    Milestones,
    /// Not what happens to single blocks.
    Pieces,
    /// Everything.
    Blocks,
}

/// What only the world knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum Note {
    /// The log leaves something out. Written before anything else; without it, everything is there.
    Detail {
        /// What is still in it.
        detail: Detail,
    },
    /// Which torrent a content of the plan has become. Written once for each, before anything happens.
    Content {
        /// Its index in the plan.
        content: usize,
        /// The torrent's info-hash.
        torrent: InfoHash,
    },
    /// The driver has begun something: a fault, planned or drawn, or a coming and going.
    FaultBegan {
        /// Its index in the driver's log.
        fault: OccurrenceIx,
        /// As in the driver's log.
        id: Box<str>,
        /// What wanted it.
        origin: Origin,
        /// What is done, as the scenario spells it: `cut`, `power-off`, ...
        verb: Box<str>,
        /// What that does to a host.
        effect: Effect,
        /// To whom. Empty if it found nobody.
        on: Box<[NodeId]>,
        /// The other side of a network fault, everybody of it; empty where what was done has none.
        against: Box<[NodeId]>,
    },
    /// It was undone.
    FaultEnded {
        /// Its index in the driver's log.
        fault: OccurrenceIx,
    },
    /// A process is gone without having stopped in order: crashed, powered off, panicked.
    ProcessDied {
        /// Whose.
        who: NodeId,
    },
    /// A process has panicked. The run has failed.
    Panicked {
        /// In whose code.
        who: NodeId,
        /// The message and the place.
        what: String,
    },
    /// What is on a disk, compared with the true content. Written before a node adds a torrent of which it has some
    /// pieces (at its start and after every restart), and for every node when the run ends.
    Disk {
        /// Whose.
        who: NodeId,
        /// Of which torrent.
        torrent: InfoHash,
        /// The pieces that the node was told it has, or has verified: what it claims.
        claimed: Vec<PieceRange>,
        /// Those of them whose bytes are not the content's.
        wrong: Vec<PieceRange>,
    },
    /// Which of the pieces on a disk cannot be read: all of them, each time that others cannot than before.
    Unreadable {
        /// Whose.
        who: NodeId,
        /// Of which torrent.
        torrent: InfoHash,
        /// The pieces. None: all can be read.
        pieces: Vec<PieceRange>,
    },
    /// Messages that reached a tracker since the last such note about it. Written at least once a second of the
    /// world's time while there are any.
    TrackerHeard {
        /// Which tracker.
        who: NodeId,
        /// How many frames.
        messages: u32,
    },
    /// A phase of the scenario begins.
    Phase {
        /// Its name.
        name: String,
    },
    /// Something that a scenario may want to cover has happened.
    Mark {
        /// Its name.
        name: String,
    },
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Everybody who was to finish has, and nothing is left to happen.
    Done,
    /// The scenario's deadline came first.
    Deadline,
    /// Something panicked.
    Panicked,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct RunLog {
    /// Everything, in order. Nothing changes it once the run is over.
    pub entries: Vec<Entry>,
    /// When it ended, in the world's time.
    pub end: Time,
    /// Why it ended.
    pub ended: Ended,
    /// The driver's log: what was done to whom, when, and what it touched.
    pub occurrences: Vec<Occurrence>,
    /// Once the lines were made: that is done once.
    hashes: OnceLock<Hashes>,
}

/// Where a world writes what happens. Cheap to clone; every clone writes into the same log.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Inner>>);

/// A small run has as many: until then nothing is copied because the list has grown.
const ENTRIES_USUAL: usize = 16 << 10;

struct Inner {
    entries: Vec<Entry>,
    counts: Counts,
    latest: Time,
    /// How many of the driver's occurrences were noted, and which of them have not ended.
    under_way: (OccurrenceIx, Vec<OccurrenceIx>),
}

/// What two runs have in common if they were the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hashes {
    /// BLAKE3 of all lines of `events.jsonl`, in hexadecimal.
    pub hash: String,
    /// BLAKE3 of the lines that nodes and trackers said, without the world's notes. A capsule's run has the same: its
    /// notes differ where they say what was drawn.
    pub said: String,
}

/// Bytes that are hashed and written at once: the most that BLAKE3 makes use of, and little memory.
const HASHED_AT_ONCE: usize = 64 << 10;

impl RunLog {
    /// A run of these entries, in order, that ended so.
    #[must_use]
    pub const fn new(
        entries: Vec<Entry>,
        end: Time,
        ended: Ended,
        occurrences: Vec<Occurrence>,
    ) -> Self {
        Self { entries, end, ended, occurrences, hashes: OnceLock::new() }
    }

    /// The hashes of its lines.
    #[must_use]
    pub fn hashes(&self) -> &Hashes {
        self.hashes.get_or_init(|| self.make_lines(&mut io::sink()).expect("it takes everything"))
    }

    /// Writes every entry as a line of `events.jsonl`, and at the end the hash of them all.
    ///
    /// # Errors
    /// As `to`'s.
    pub fn write_lines(&self, to: &mut impl Write) -> io::Result<()> {
        let hashes = self.make_lines(to)?;
        writeln!(to, "{{\"hash\":\"{}\"}}", hashes.hash)?;
        self.hashes.get_or_init(|| hashes);
        Ok(())
    }

    fn make_lines(&self, to: &mut impl Write) -> io::Result<Hashes> {
        let (mut all, mut of_said) = (blake3::Hasher::new(), blake3::Hasher::new());
        let (mut lines, mut said) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            let start = lines.len();
            entry.write_line(&mut lines);
            if let Entry::Said(_) = entry {
                said.extend_from_slice(&lines[start..]);
            }
            if lines.len() >= HASHED_AT_ONCE {
                all.update(&lines);
                of_said.update(&said);
                to.write_all(&lines)?;
                lines.clear();
                said.clear();
            }
        }
        all.update(&lines);
        of_said.update(&said);
        to.write_all(&lines)?;
        let hex = |hasher: blake3::Hasher| hasher.finalize().to_hex().to_string();
        Ok(Hashes { hash: hex(all), said: hex(of_said) })
    }
}

impl Recorder {
    /// A recorder of a run that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            entries: Vec::with_capacity(ENTRIES_USUAL),
            counts: Counts::default(),
            latest: Time::ZERO,
            under_way: (0, Vec::new()),
        })))
    }

    /// Writes down what the world did or knows.
    pub fn note(&self, at: Time, note: Note) {
        let mut inner = self.inner();
        let at = inner.next(Kind::of_note(&note), at);
        inner.entries.push(Entry::Noted(Noted { at, note }));
    }

    /// Writes down what the driver has begun and ended since it was last asked. A world calls it after each
    /// `Driver::poll`, with the driver's log, before it does what the driver said.
    pub fn note_faults(&self, at: Time, plan: &Plan, log: &[Occurrence]) {
        let seen = self.inner().under_way.clone();
        let (first_new, open) = seen;
        let mut still_open = Vec::new();
        for fault in open {
            if log[fault].ended.is_some() {
                self.note(at, Note::FaultEnded { fault });
            } else {
                still_open.push(fault);
            }
        }
        let names = |hosts: &[usize]| hosts.iter().map(|&ix| plan.hosts[ix].id.clone()).collect();
        for (fault, occurrence) in log.iter().enumerate().skip(first_new) {
            let Occurrence { id, origin, verb, on, against, ended, .. } = occurrence;
            let (id, origin, effect) = (id.as_str().into(), *origin, verb.effect_on(plan, on));
            let (verb, on, against) = (verb_name(verb).into(), names(on), names(against));
            self.note(at, Note::FaultBegan { fault, id, origin, verb, effect, on, against });
            if ended.is_some() {
                self.note(at, Note::FaultEnded { fault });
            } else {
                still_open.push(fault);
            }
        }
        let under_way = (log.len(), still_open);
        self.inner().under_way = under_way;
    }

    /// How many entries of this kind there are.
    #[must_use]
    pub fn happened(&self, kind: &str) -> u64 {
        self.inner().counts.of(kind)
    }

    /// Ends the log: what was recorded so far, and nothing later. `occurrences` is the driver's log.
    #[must_use]
    pub fn finish(&self, end: Time, ended: Ended, occurrences: Vec<Occurrence>) -> RunLog {
        let mut inner = self.inner();
        RunLog::new(std::mem::take(&mut inner.entries), end, ended, occurrences)
    }

    /// A poisoned lock is entered all the same: a panicking world's log is what explains the panic.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// One more entry, of this kind, follows: when it happened, which is not before the latest.
    fn next(&mut self, kind: Kind, at: Time) -> Time {
        self.counts.add(kind);
        self.latest = self.latest.max(at);
        self.latest
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Recorder {
    fn observe(&self, record: &Record) {
        self.take(record.clone());
    }

    fn take(&self, mut record: Record) {
        let mut inner = self.inner();
        record.at = inner.next(Kind::of_event(&record.event), record.at);
        inner.entries.push(Entry::Said(record));
    }
}

impl Entry {
    /// When.
    #[must_use]
    pub const fn at(&self) -> Time {
        match self {
            Self::Said(record) => record.at,
            Self::Noted(noted) => noted.at,
        }
    }

    /// Appends the entry's line of `events.jsonl`, with the line feed.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let by_hand = matches!(self, Self::Said(record) if line::write(record, out));
        if !by_hand {
            serde_json::to_writer(&mut *out, self)
                .expect("an entry has no map with odd keys, and a Vec takes it");
        }
        out.push(b'\n');
    }
}

impl Entry {
    /// What kind of thing happened.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Said(record) => Kind::of_event(&record.event),
            Self::Noted(noted) => Kind::of_note(&noted.note),
        }
    }

    /// The name of a mark.
    #[must_use]
    pub const fn mark(&self) -> Option<&String> {
        match self {
            Self::Noted(Noted { note: Note::Mark { name }, .. }) => Some(name),
            _ => None,
        }
    }
}

/// What a verb is called in a scenario.
#[must_use]
pub fn verb_name(verb: &Verb) -> String {
    match serde_json::to_value(verb) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(tagged)) => tagged.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use sta_core::model::event::Event;

    use super::{
        Ended, Entry, InfoHash, NodeId, Note, Noted, Observer, PieceRange, Record, Recorder, Time,
        Verb, verb_name,
    };

    fn said(at: u64, event: Event) -> Record {
        Record { at: Time::from_nanos(at), who: "leech-1".parse().expect("a name"), event }
    }

    #[test]
    fn a_line_reads_back_as_the_entry_it_was() {
        let torrent = InfoHash([7; 20]);
        let who: NodeId = "leech-1".parse().expect("a name");
        let disk = Note::Disk {
            who: who.clone(),
            torrent,
            claimed: vec![PieceRange(0, 3)],
            wrong: vec![PieceRange::one(2)],
        };
        let ended = Note::FaultEnded { fault: 3 };
        let entries = [
            Entry::Said(said(5, Event::PieceVerified { torrent, piece: 9 })),
            Entry::Noted(Noted { at: Time::from_nanos(6), note: disk }),
            Entry::Noted(Noted { at: Time::from_nanos(7), note: ended }),
            Entry::Noted(Noted { at: Time::from_nanos(8), note: Note::ProcessDied { who } }),
        ];
        for entry in entries {
            let mut line = Vec::new();
            entry.write_line(&mut line);
            let back: Entry = serde_json::from_slice(&line).expect("what we wrote");
            assert_eq!(back, entry, "{}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn the_hash_depends_on_every_event_and_its_moment() {
        let run = |times: &[u64]| {
            let recorder = Recorder::new();
            times.iter().for_each(|&at| recorder.observe(&said(at, Event::NodeStopped)));
            recorder.finish(Time::from_nanos(9), Ended::Done, vec![]).hashes().hash.clone()
        };
        assert_eq!(run(&[1, 2]), run(&[1, 2]));
        assert_ne!(run(&[1, 2]), run(&[1, 3]));
        assert_ne!(run(&[1, 2]), run(&[1]));
    }

    #[test]
    fn what_was_said_has_a_hash_without_the_notes() {
        let run = |note: Option<&str>| {
            let recorder = Recorder::new();
            recorder.observe(&said(1, Event::NodeStopped));
            if let Some(name) = note {
                recorder.note(Time::from_nanos(1), Note::Mark { name: name.to_owned() });
            }
            recorder.finish(Time::from_nanos(9), Ended::Done, vec![]).hashes().clone()
        };
        let (plain, noted) = (run(None), run(Some("end-game")));
        assert_eq!(plain.said, noted.said);
        assert_ne!(plain.hash, noted.hash);
    }

    #[test]
    fn verbs_are_called_as_in_a_scenario() {
        assert_eq!(verb_name(&Verb::PowerOff), "power-off");
        assert_eq!(verb_name(&Verb::Flap(std::time::Duration::from_secs(1))), "flap");
    }
}

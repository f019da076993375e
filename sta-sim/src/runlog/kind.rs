//! The kinds of entries: what each is called in the log, and how much detail a log has that has it.

use sta_core::model::event::Event;

use super::{Detail, Note};

/// One table for both: what the product says, and what the world notes.
macro_rules! kinds {
    (
        said { $($event:ident $tag:literal $detail:ident,)* }
        noted { $($note:ident $name:literal,)* }
    ) => {
        /// What kind of thing happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = concat!("`", $tag, "`")] $event,)*
            $(#[doc = concat!("`", $name, "`")] $note,)*
        }

        impl Kind {
            /// All of them: first those of events, in the order of [`Event`].
            pub const ALL: &[Self] = &[$(Self::$event,)* $(Self::$note,)*];

            /// The tags of all events.
            pub const EVENTS: &[&str] = &[$($tag,)*];

            /// The tag that it has in the log.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$event => $tag,)*
                    $(Self::$note => $name,)*
                }
            }

            /// The least detail with which such entries are in a log.
            #[must_use]
            pub const fn detail(self) -> Detail {
                match self {
                    $(Self::$event => Detail::$detail,)*
                    $(Self::$note => Detail::Milestones,)*
                }
            }

            /// The kind of an event.
            #[must_use]
            pub const fn of_event(event: &Event) -> Self {
                match event {
                    $(Event::$event { .. } => Self::$event,)*
                }
            }

            /// The kind of a note.
            #[must_use]
            pub const fn of_note(note: &Note) -> Self {
                match note {
                    $(Note::$note { .. } => Self::$note,)*
                }
            }
        }
    };
}

kinds! {
    said {
        NodeStarted "node-started" Milestones,
        NodeStopped "node-stopped" Milestones,
        TorrentAdded "torrent-added" Milestones,
        TorrentRemoved "torrent-removed" Milestones,
        TrackerConnected "tracker-connected" Milestones,
        TrackerLost "tracker-lost" Milestones,
        PeersLearned "peers-learned" Milestones,
        PeerConnected "peer-connected" Milestones,
        PeerLost "peer-lost" Milestones,
        PeerBanned "peer-banned" Milestones,
        DialFailed "dial-failed" Milestones,
        Unchoked "unchoked" Milestones,
        Choked "choked" Milestones,
        BlockAsked "block-asked" Blocks,
        BlockSent "block-sent" Blocks,
        BlockReceived "block-received" Blocks,
        EndGame "end-game" Milestones,
        PieceVerified "piece-verified" Pieces,
        PieceFailed "piece-failed" Milestones,
        LeavesVerified "leaves-verified" Blocks,
        PieceAnnounced "piece-announced" Pieces,
        TorrentComplete "torrent-complete" Milestones,
        StoreFailed "store-failed" Milestones,
        TrackerStarted "tracker-started" Milestones,
        LeaseGranted "lease-granted" Milestones,
        LeaseEnded "lease-ended" Milestones,
        PeersPushed "peers-pushed" Milestones,
    }
    noted {
        Detail "detail",
        Content "content",
        FaultBegan "fault-began",
        FaultEnded "fault-ended",
        ProcessDied "process-died",
        Panicked "panicked",
        Disk "disk",
        Unreadable "unreadable",
        TrackerHeard "tracker-heard",
        Phase "phase",
        Mark "mark",
    }
}

impl Kind {
    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// How often each kind of thing happened.
#[derive(Clone, Debug)]
pub struct Counts([u64; Kind::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Kind::ALL.len()])
    }
}

impl Counts {
    /// One more of `kind`.
    pub const fn add(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    /// How often `kind` happened; never, if there is no such kind.
    #[must_use]
    pub fn of(&self, kind: &str) -> u64 {
        Kind::named(kind).map_or(0, |kind| self.0[kind as usize])
    }

    /// Every kind that happened, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counted = Kind::ALL.iter().map(|&kind| (kind.name(), self.0[kind as usize]));
        counted.filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use sta_core::model::event::Event;
    use sta_core::model::ids::InfoHash;
    use sta_core::model::time::Time;

    use super::{Kind, Note};
    use crate::runlog::{Entry, Noted};

    #[test]
    fn kinds_are_the_tags_of_the_log() {
        // Serde knows the tags, and tells them to whoever asks for one that is not there.
        let error = serde_json::from_str::<Event>(r#"{"event":""}"#).expect_err("no such tag");
        let message = error.to_string();
        let tags: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        assert_eq!(tags, Kind::EVENTS);
        let torrent = InfoHash([7; 20]);
        let piece_failed = Event::PieceFailed { torrent, piece: 1, from: vec![] };
        for event in [Event::NodeStopped, piece_failed, Event::EndGame { torrent }] {
            let line = serde_json::to_value(&event).expect("an event");
            assert_eq!(line["event"], Kind::of_event(&event).name());
        }
        let entry = Entry::Noted(Noted { at: Time::ZERO, note: Note::Phase { name: "a".into() } });
        assert_eq!(serde_json::to_value(&entry).expect("a note")["note"], entry.kind().name());
    }

    #[test]
    fn a_kind_has_one_name() {
        for &kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("block"), None);
    }
}

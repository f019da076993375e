//! Pure state machines: `handle(input, now)`, `poll_output()`, `deadline()`. They know no socket, file, clock or
//! task; the same machines run in a node over TCP, in a turmoil host, and under an event queue.
//!
//! | file | decides |
//! | --- | --- |
//! | [`picker`] | which piece to fetch next: rarest first |
//! | [`assembly`] | which block of a piece is missing, asked for, or here |
//! | [`pipeline`] | how much to ask of a peer ahead of its answers, and in which blocks |
//! | [`session`] | what one peer may say, and what of it is outstanding |
//! | [`uploads`] | which waiting request is served next |
//! | [`slots`] | how many peers to serve at the same time |
//! | [`suspects`] | who sent what was wrong, if several sent blocks of a wrong piece |
//! | [`choker`] | whose requests may wait at all |
//! | [`neighbours`] | whom to connect with, and when to try again |
//! | [`identity`] | (a value: who a peer is, as far as a node can tell) |
//! | [`by_conn`] | (a map: what is kept for each connection) |
//! | [`rate`] | how fast something moves, of late |
//! | [`totals`] | how much has moved, and what of it trackers were told |
//! | [`swarm`] | composes the above for one torrent |
//! | [`accounts`] | (a record: what moved between this node and others) |
//! | [`announcer`] | what to tell one tracker, and which of the peers it names to believe |
//! | [`backoff`] | when to try again |
//! | [`registry`] | the tracker's mind: leases, and which peers to name to whom |
//! | [`node`] | composes swarms and announcers for one process |

pub mod accounts;
pub mod announcer;
pub mod assembly;
pub mod backoff;
pub mod by_conn;
pub mod choker;
pub mod identity;
pub mod interface;
pub mod neighbours;
pub mod node;
pub mod picker;
pub mod pipeline;
pub mod rate;
pub mod registry;
pub mod session;
pub mod slots;
pub mod suspects;
pub mod swarm;
pub mod totals;
pub mod uploads;

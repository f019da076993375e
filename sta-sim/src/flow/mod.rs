//! The flow world: the engine's machines driven by an event queue in integer nanoseconds over max-min fair flows.
//!
//! No bytes, no runtime; idle time is skipped. What takes a second in the world may take a microsecond here.
//!
//! | file | decides |
//! | --- | --- |
//! | [`fair`] | who gets how much of the links |
//! | [`timers`] | which of many movable moments is next |
//! | [`queue`] | what happens next, of what is not moved |
//! | [`way`] | how far the messages of one direction of a connection are |
//! | [`net`] | what happens between hosts, and when |
//! | `letter` | how many bytes a message would be |
//! | `disk` | what a host keeps, and how long that takes |
//! | `machine` | what runs on a host |
//! | [`cluster`] | where what a process says goes |
//! | [`world`] | how a plan is run to its end |

pub mod cluster;
mod disk;
pub mod fair;
mod letter;
mod machine;
pub mod net;
pub mod queue;
pub mod timers;
pub mod way;
pub mod world;

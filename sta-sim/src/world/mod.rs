//! The turmoil and the tcp world: a plan run on shipped nodes and trackers, over a network that we shape and simulated disks.
//!
//! | file | decides |
//! | --- | --- |
//! | [`fabric`] | when bytes move between hosts, and what a fault does to them |
//! | [`shaping`] | how connections of any transport obey the fabric |
//! | [`turmoil_net`] | how bytes move on turmoil |
//! | [`stage`] | what a stage is: how processes start, die and pause; what time it is |
//! | [`turmoil_stage`], [`tcp_stage`] | the two there are |
//! | [`content`], [`sim_store`], [`ranges`] | what lies on a disk, without storing it |
//! | [`loss`] | what lost packets cost, in the flow world too |
//! | [`durable`] | what a power failure takes of it, in the flow world too |
//! | [`behaviour`] | how a node misbehaves |
//! | [`process`] | what runs on a host |
//! | [`watcher`], [`tap`] | what is seen of a run |
//! | [`panics`] | whose bug it was |
//! | [`staged_world`] | the run |

pub mod behaviour;
pub mod content;
pub mod disk_queue;
pub mod durable;
pub mod fabric;
pub mod loss;
pub mod panics;
pub mod process;
pub mod ranges;
pub mod shaping;
pub mod sim_disk;
pub mod sim_store;
pub mod stage;
pub mod staged_world;
pub mod tap;
pub mod tcp_stage;
pub mod turmoil_net;
pub mod turmoil_stage;
pub mod watcher;

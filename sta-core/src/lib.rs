//! The tracker and the node of STA, without a socket, a clock or a file of their own.
//!
//! | word | means |
//! | --- | --- |
//! | torrent | described content and its info-hash; the `.torrent` file is its metainfo |
//! | piece | the unit that is hashed and verified |
//! | block | the unit that is asked for on the wire; a part of a piece |
//! | node | a process that seeds and downloads; a *peer* is a node seen from another node |
//! | session | one connection with one peer, protocol state included |
//! | swarm | all a node knows of one torrent and its peers |
//! | tracker | the service; its state is the *registry*; an entry is a *lease* |
//!
//! Five layers; each imports only from those above it (`tests/it/layers.rs` reads the imports):
//!
//! | layer | holds | never |
//! | --- | --- | --- |
//! | [`model`] | values: ids, layout, bitfield, metainfo, limits, config, events, time, rng | clock, entropy, async |
//! | [`wire`] | framing and messages: bytes in, messages out | sockets |
//! | [`engine`] | pure state machines: `handle(input, now)`, `poll_output()`, `deadline()` | async, clock, entropy, sockets, files |
//! | [`io`] | the traits at the edge, and their plain implementations | spawning |
//! | [`run`] | async shells: one owner and one inbox per state | decisions |

#![forbid(unsafe_code)]

pub mod engine;
pub mod io;
pub mod model;
pub mod run;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod wire;

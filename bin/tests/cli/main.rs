//! Runs the built programs on loopback, as a person would. One binary, a file per topic.
//!
//! * `content.rs`: maketorrent, show, verify
//! * `transfer.rs`: share, seed, download, status: files of all sizes from one machine to others
//! * `recovery.rs`: killed, interrupted, in the way: what is kept, and what is never touched
//! * `errors.rs`: one clear error, with its exit code
//! * `shell.rs`: the interactive node, driven by a script: the seed document's workflow
//! * `signals.rs`: how programs end that are told to
//! * `settings.rs`: file, environment, command line
//! * `events.rs`: docs/EVENTS.md
//! * `demo.rs`: the demo
//! * `readme.rs`: every command of the README exists
//!
//! Ports are free ones, read from what the programs print; no outcome depends on how long anything takes.

mod content;
mod demo;
mod errors;
mod events;
mod readme;
mod recovery;
mod settings;
mod shell;
mod signals;
mod transfer;
mod util;

//! The programs `sta-node` and `sta-tracker`: arguments, configuration, printing; the rest is `sta-core`.

#![forbid(unsafe_code)]

pub mod config;
pub mod descriptors;
pub mod event;
pub mod exit;
pub mod logging;
pub mod node;
pub mod output;
pub mod torrent;
pub mod tracker;
pub mod units;

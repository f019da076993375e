//! Async shells: one owner and one inbox per state. A shell takes one input, drains the outputs, and waits for
//! the next input or the deadline. It decides nothing.

mod accept;
pub mod ask;
pub mod buffers;
pub mod disk;
#[cfg(test)]
mod fake;
pub mod frames;
pub mod node;
mod peer;
pub mod status;
pub mod torrent;
pub mod tracker;

//! STA/1: bytes in, messages out. One framing for tracker and peers; `docs/PROTOCOL.md` is the specification.

pub mod frame;
pub mod peer;
pub mod tracker;

//! Tests of the crate as a whole, one binary.

/// Which layer may import what.
mod layers;
/// The golden vectors of `docs/PROTOCOL.md`.
mod protocol;

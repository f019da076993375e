//! The traits at the edge of the world, and their plain implementations. Nothing here spawns.

pub mod aligned;
pub mod clock;
pub mod file_store;
pub mod hash;
pub mod lease_store;
pub mod observer;
pub mod sha1;
pub mod store;
pub mod transport;

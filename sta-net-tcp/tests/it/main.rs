//! The transport conformance suite on real TCP, and what only TCP has: two families, names, files in bulk.

mod conformance;
mod dialling;
mod swarm;

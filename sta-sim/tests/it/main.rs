//! Integration tests of the simulator, one binary.

mod capsules;
mod determinism;
mod disks;
mod failures;
mod flow_validation;
mod flow_world;
mod library;
mod mutants;
mod oracles;
mod story;
mod tcp_world;
mod transport;
mod turmoil_world;
mod verbs;

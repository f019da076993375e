//! Integration tests of the simulator, one binary.

mod determinism;
mod flow_validation;
mod flow_world;
mod library;
mod tcp_world;
mod transport;
mod turmoil_world;
mod verbs;

//! Help for the tests of this crate and its sisters: computed content, conformance suites, fakes.
//! Behind the feature `testing`; no shipped program contains it.

pub mod mesh;
pub mod transport_suite;

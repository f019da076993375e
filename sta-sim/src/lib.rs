//! The simulator: scenario files, the worlds they run in, checks and reports.

#![forbid(unsafe_code)]

pub mod calibrate;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod execute;
pub mod exit;
pub mod figures;
pub mod flow;
pub mod outcome;
pub mod quantiles;
pub mod report;
pub mod runlog;
pub mod scenario;
pub mod shrink;
pub mod sweep;
pub mod verdict;
pub mod world;

//! What each command of `sta-sim` does, one module a command. Results go to stdout, everything else to stderr.

pub mod bar;
pub mod calibrate;
pub mod check;
pub mod deliver;
pub mod diff;
pub mod explain;
pub mod files;
pub mod interrupt;
pub mod list;
pub mod replay;
pub mod run;
pub mod shrink;
pub mod sweep;
pub mod tell;

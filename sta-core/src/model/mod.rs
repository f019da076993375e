//! Values. Nothing here reads a clock, draws entropy, waits or touches a file.

pub mod address;
pub mod bencode;
pub mod bitfield;
pub mod config;
pub mod event;
pub mod files;
pub mod ids;
pub mod layout;
pub mod leaves;
pub mod limits;
pub mod metainfo;
pub mod rng;
pub mod status;
pub mod text;
pub mod time;

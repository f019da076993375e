//! Scenario files: read, checked, resolved for one seed, and driven.
//!
//! ```text
//! text --schema--> File --resolve (seed, world, cell)--> Plan --driver--> Action, Action, ...
//! ```
//!
//! A file becomes a [`plan::Plan`] (one seed, one cell of the matrix). A world executes the plan: it builds the
//! hosts, then asks the [`driver::Driver`] what to do to which of them and when.

pub mod bound;
pub mod capability;
pub mod capsule;
mod complaint;
pub mod condition;
pub mod dist;
pub mod driver;
pub mod effect;
pub mod explain;
pub mod knobs;
pub mod load;
pub mod matrix;
pub mod mistake;
pub mod nearest;
pub mod network;
pub mod plan;
pub mod portion;
pub mod reference;
pub mod resolve;
pub mod schema;
pub mod selector;
pub mod site;
pub mod slow;
#[cfg(test)]
pub(crate) mod tests;
pub mod text;
pub mod units;
pub mod view;

//! A tracker inside this process: for `share` and `demo`, which need no other.

use std::net::SocketAddr;

use sta_core::model::limits::LEASE_DEFAULT;
use sta_core::run::tracker::TrackerHandle;

use crate::exit::Failure;
use crate::output::Output;

/// Starts a tracker that remembers nothing once it stops.
///
/// # Errors
/// If it cannot listen at `listen`.
pub(super) async fn start(listen: SocketAddr, output: &Output) -> Result<TrackerHandle, Failure> {
    crate::tracker::start(listen, LEASE_DEFAULT, None, "--tracker-listen", output).await
}

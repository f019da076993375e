//! Who a peer is, as far as a node can tell: a name can be claimed by anybody, so what somebody did counts against that name at
//! that host.

use std::net::IpAddr;

use crate::model::ids::NodeId;

/// A name, and the host from which it was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The name.
    pub node: NodeId,
    /// The host.
    pub host: IpAddr,
}

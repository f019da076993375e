//! Under which address other machines reach this one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use if_addrs::IfAddr;

/// This machine's addresses that are not loopback, the likeliest first; empty if there is none.
///
/// The likeliest is the one that the default route leaves from. A machine without a default route still has its
/// interfaces' addresses: an isolated network is where STA is used most.
#[must_use]
pub(super) fn reachable() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = default_route().into_iter().collect();
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let (v4, v6): (Vec<_>, Vec<_>) = interfaces
        .iter()
        .filter(|i| i.is_oper_up())
        .map(|i| &i.addr)
        .partition(|a| matches!(a, IfAddr::V4(_)));
    for ip in v4.into_iter().chain(v6).map(IfAddr::ip) {
        if is_reachable(ip) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

fn is_reachable(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !ip.is_loopback() && !ip.is_unspecified() && !link_local
}

/// Connecting a UDP socket sends nothing; it makes the system choose the address it would send from.
fn default_route() -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): in no machine's own network, so the default route is taken.
    let v4 = (SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SocketAddr::from(([192, 0, 2, 1], 9)));
    let doc = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let v6 = (SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), SocketAddr::from((doc, 9)));
    let chosen = |(from, to): (SocketAddr, SocketAddr)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| is_reachable(*ip))
    };
    chosen(v4).or_else(|| chosen(v6))
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn loopback_is_never_offered_and_nothing_twice() {
        let found = reachable();
        assert!(found.iter().all(|ip| !ip.is_loopback() && !ip.is_unspecified()), "{found:?}");
        let mut unique = found.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), found.len(), "{found:?}");
    }
}

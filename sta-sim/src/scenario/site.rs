//! What lies between the links of hosts: the middle of the network, and sites, whose hosts share one link to it.
//!
//! Who is of no site is connected with the middle by its own link alone. Between two hosts of one site nothing is shared.

use std::time::Duration;

use serde::Serialize;

/// Index of a site in [`Core::sites`].
pub type SiteIx = usize;

/// See the module's text.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Core {
    /// One-way delay of every message, beside those of its hosts and their sites.
    pub latency: Duration,
    /// The sites, in the order of the file.
    pub sites: Vec<SitePlan>,
}

/// Hosts behind one link: a rack, an office, a data centre.
#[derive(Clone, Debug, Serialize)]
pub struct SitePlan {
    /// What the file calls it.
    pub name: String,
    /// Bytes per second that all its hosts together send to others; `None` is unlimited.
    pub up: Option<u64>,
    /// Bytes per second that all its hosts together receive from others; `None` is unlimited.
    pub down: Option<u64>,
    /// One-way delay of its link.
    pub latency: Duration,
}

impl Core {
    /// A middle without sites.
    #[must_use]
    pub const fn of(latency: Duration) -> Self {
        Self { latency, sites: Vec::new() }
    }

    /// The site whose uplink is crossed by what goes from a host of `from` to one of `to`, and the one whose downlink is.
    #[must_use]
    pub fn crossed(from: Option<SiteIx>, to: Option<SiteIx>) -> [Option<SiteIx>; 2] {
        if from == to { [None; 2] } else { [from, to] }
    }

    /// One-way delay from a host of `from` to one of `to`, beside the hosts' own.
    #[must_use]
    pub fn delay(&self, from: Option<SiteIx>, to: Option<SiteIx>) -> Duration {
        let crossed = Self::crossed(from, to).into_iter().flatten();
        self.latency + crossed.map(|site| self.sites[site].latency).sum::<Duration>()
    }
}

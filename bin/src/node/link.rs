//! What `share` prints and `download` takes: where a tracker listens that has the torrent, and which torrent.
//!
//! `sta://HOST:PORT/INFOHASH/BLAKE3`. The second hash is that of the whole `.torrent` file: the info-hash does not cover what
//! STA adds to it. It may be left out; then what STA adds is not believed (`fetch.rs`).

use std::fmt;
use std::str::FromStr;

use sta_core::model::address::{Address, without_scheme};
use sta_core::model::ids::InfoHash;

/// A torrent that a tracker can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Where the tracker listens.
    pub(super) tracker: Address,
    /// Which torrent.
    pub(super) info_hash: InfoHash,
    /// BLAKE3 of its `.torrent` file.
    pub(super) torrent_hash: Option<blake3::Hash>,
}

impl Link {
    /// Whether `text` is meant as a link rather than as a file.
    #[must_use]
    pub(super) fn is_meant(text: &str) -> bool {
        without_scheme(text).is_some()
    }
}

impl FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = without_scheme(text).ok_or("it does not begin with sta://")?;
        let mut parts = rest.trim_end_matches('/').split('/');
        let tracker = parts.next().unwrap_or_default().parse();
        let info_hash = parts.next().ok_or("it has no info-hash after the tracker")?.parse();
        let torrent_hash = parts.next().map(blake3::Hash::from_hex).transpose();
        if parts.next().is_some() {
            return Err("there is something after the two hashes".to_owned());
        }
        Ok(Self {
            tracker: tracker
                .map_err(|error: sta_core::model::address::AddressError| error.to_string())?,
            info_hash: info_hash
                .map_err(|error: sta_core::model::ids::IdError| error.to_string())?,
            torrent_hash: torrent_hash
                .map_err(|_| "its second hash is not 64 hexadecimal digits")?,
        })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tracker.tracker_url(), self.info_hash)?;
        self.torrent_hash.iter().try_for_each(|hash| write!(f, "/{hash}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Link;

    #[test]
    fn what_is_printed_is_read_again() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let long = "0123456789abcdef".repeat(4);
        for text in [format!("sta://[::1]:6081/{hash}"), format!("sta://host:1/{hash}/{long}")] {
            let link: Link = text.parse().expect("a link");
            assert_eq!(link.to_string(), text);
        }
        let refused = [
            format!("sta://host/{hash}"),
            "sta://host:1".to_owned(),
            "sta://host:1/0123".to_owned(),
            format!("sta://host:1/{hash}/{hash}"),
            format!("sta://host:1/{hash}/{long}/more"),
        ];
        for text in refused {
            assert!(text.parse::<Link>().is_err(), "{text}");
        }
    }
}

//! Where something listens: a host, by name or by number, and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The scheme of a tracker's address in a torrent and on the command line.
pub const TRACKER_SCHEME: &str = "sta://";

/// A host and a port. The host may be a name, an IPv4 or an IPv6 address (shown in brackets).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// A name or a number, without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address: {why}; write {}", form.write)]
pub struct AddressError {
    text: String,
    why: &'static str,
    form: Form,
}

/// How an address is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    /// For a person who wrote it otherwise.
    write: &'static str,
    /// What is wrong with an address that has a scheme.
    other_scheme: &'static str,
}

const PEER: Form = Form {
    write: "HOST:PORT, for example 192.0.2.7:6881 or [2001:db8::7]:6881",
    other_scheme: "nothing stands before its host",
};

const TRACKER: Form = Form {
    write: "sta://HOST:PORT, for example sta://192.0.2.7:6081 or sta://[2001:db8::7]:6081",
    other_scheme: "only trackers of STA speak STA, and theirs begin with sta://",
};

impl Address {
    /// The number this address is, if its host is not a name.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }

    /// `sta://HOST:PORT`, as written in a torrent.
    #[must_use]
    pub fn tracker_url(&self) -> String {
        format!("{TRACKER_SCHEME}{self}")
    }

    /// Reads `sta://HOST:PORT` or `HOST:PORT`, the scheme in any case.
    ///
    /// # Errors
    /// If what follows the scheme is not an address.
    pub fn from_tracker_url(text: &str) -> Result<Self, AddressError> {
        let address = without_scheme(text).unwrap_or(text);
        Self::read(text, address.strip_suffix('/').unwrap_or(address), TRACKER)
    }

    /// Reads `address`, which is or is in `text`.
    fn read(text: &str, address: &str, form: Form) -> Result<Self, AddressError> {
        let refused = |why| AddressError { text: text.chars().take(300).collect(), why, form };
        if address.contains("://") {
            return Err(refused(form.other_scheme));
        }
        if address.contains('/') {
            return Err(refused("something follows its port"));
        }
        let (host, port) = address.rsplit_once(':').ok_or_else(|| refused("it has no port"))?;
        let port = port.parse().map_err(|_| refused("its port is not a number up to 65535"))?;
        if port == 0 {
            return Err(refused("port 0 is nowhere"));
        }
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(refused("in brackets stands no IPv6 address")),
            None if host.contains(':') => return Err(refused("an IPv6 address needs brackets")),
            None => host,
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
            return Err(refused("its host is not a name or a number"));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// What follows `sta://` in `text`, if it begins so, in any case.
#[must_use]
pub fn without_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked(TRACKER_SCHEME.len())?;
    scheme.eq_ignore_ascii_case(TRACKER_SCHEME).then_some(rest)
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::read(text, text, PEER)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self { host: addr.ip().to_string(), port: addr.port() }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

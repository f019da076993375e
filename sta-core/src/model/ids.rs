//! Names of torrents and nodes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::limits;

/// SHA-1 of the exact bytes of a torrent's `info` dictionary (BEP 3): the torrent's identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct InfoHash(pub [u8; 20]);

impl InfoHash {
    /// Its hexadecimal digits, without memory of their own: a log writes them with every event.
    #[must_use]
    pub fn hex(&self) -> Hex {
        let mut digits = [0; 40];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Hex(digits)
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The digits of an info-hash.
#[derive(Clone, Copy, Debug)]
pub struct Hex([u8; 40]);

impl Hex {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("every digit is ASCII")
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex().as_str())
    }
}

impl Serialize for InfoHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.hex().as_str())
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 40 hexadecimal digits.
    #[error("an info-hash is 40 hexadecimal digits, not {0:?}")]
    InfoHash(String),
    /// Empty, too long, or with other than letters, digits, `.`, `_` and `-`.
    #[error(
        "a node id is 1 to {max} letters, digits, '.', '_' or '-', not {0:?}",
        max = limits::NODE_ID_BYTES_MAX
    )]
    NodeId(String),
    /// As for node ids, but it may be empty.
    #[error(
        "a site is called by up to {max} letters, digits, '.', '_' or '-', not {0:?}",
        max = limits::NODE_ID_BYTES_MAX
    )]
    Site(String),
}

impl FromStr for InfoHash {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refused = || IdError::InfoHash(text.chars().take(80).collect());
        let digits = text.as_bytes();
        if digits.len() != 40 {
            return Err(refused());
        }
        let mut hash = [0; 20];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |d: u8| char::from(d).to_digit(16).ok_or_else(refused);
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Ok(Self(hash))
    }
}

impl TryFrom<String> for InfoHash {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<InfoHash> for String {
    fn from(hash: InfoHash) -> Self {
        hash.hex().as_str().to_owned()
    }
}

/// The name a node goes by: given by its user, or drawn at its start. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if !is_name(text) {
            return Err(IdError::NodeId(text.chars().take(80).collect()));
        }
        Ok(Self(text.into()))
    }
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=limits::NODE_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

impl TryFrom<String> for NodeId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.as_str().to_owned()
    }
}

/// Where a node stands, as its operator calls it: a rack, an office, a data centre. Its machines share a link to all others. Empty
/// where nobody has said.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Site(Option<Arc<str>>);

impl Site {
    /// The name as text; empty if it is not known.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether nobody has said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl FromStr for Site {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "" => Ok(Self(None)),
            name if is_name(name) => Ok(Self(Some(name.into()))),
            _ => Err(IdError::Site(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for Site {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Site> for String {
    fn from(site: Site) -> Self {
        site.as_str().to_owned()
    }
}

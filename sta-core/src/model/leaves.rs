//! The hashes of the leaves of a piece ([`super::layout::Layout::leaves`]). They travel in base64 inside a header: half a kibibyte
//! is no payload.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The hashes of the leaves of a piece, in order. A clone is cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafHashes(Arc<[u8]>);

impl LeafHashes {
    /// Hashes of 32 bytes, one after the other.
    #[must_use]
    pub fn new(hashes: impl Into<Arc<[u8]>>) -> Self {
        Self(hashes.into())
    }

    /// The hashes, one after the other.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for LeafHashes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for LeafHashes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self::new).map_err(D::Error::custom)
    }
}

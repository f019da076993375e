//! How a node misbehaves: by wrapping what the shipped node is given, never by another node.
//!
//! | behaviour | what is wrapped |
//! | --- | --- |
//! | corrupt | its store: a body that it sends has a wrong byte, with a chance |
//! | liar | what it is told it has: pieces that it lacks too, of which it sends zeros |
//! | free-rider | its engine's knobs: no upload slots |
//! | slowloris | its edge of the network: so many bytes a second go out |
//! | churner | nothing: the driver makes it leave and come back |

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sta_core::io::store::{Body, PieceStore, PieceVerifier, StoreError, Wait};
use sta_core::model::bitfield::Bitfield;
use sta_core::model::config::EngineConfig;
use sta_core::model::layout::Layout;
use sta_core::model::leaves::LeafHashes;
use sta_core::model::rng::{Rng, Seed};

use super::sim_store::SimStore;
use crate::scenario::dist::below_million;
use crate::scenario::plan::Behaviour;
use crate::scenario::units::Ppm;

/// The engine's knobs of a node that behaves so.
#[must_use]
pub fn engine_of(behaviour: Behaviour, engine: &EngineConfig) -> EngineConfig {
    let mut engine = engine.clone();
    if behaviour == Behaviour::FreeRider {
        engine.upload_slots = 0;
    }
    engine
}

/// What a node that behaves so is told it has, where `intact` is the truth.
#[must_use]
pub fn claims_of(behaviour: Behaviour, intact: &Bitfield, seed: Seed) -> Bitfield {
    let mut claims = intact.clone();
    if let Behaviour::Liar(share) = behaviour {
        let mut rng = seed.stream("lies");
        for piece in 0..intact.len() {
            if below_million(&mut rng) < share.0 {
                claims.insert(piece);
            }
        }
    }
    claims
}

/// A store that sends wrong bytes now and then.
pub struct CorruptStore {
    inner: Arc<SimStore>,
    chance: Ppm,
    rng: Mutex<Rng>,
}

impl CorruptStore {
    /// Wraps `inner`: each body is wrong with `chance`.
    #[must_use]
    pub fn new(inner: Arc<SimStore>, chance: Ppm, seed: Seed) -> Self {
        Self { inner, chance, rng: Mutex::new(seed.stream("corruption")) }
    }

    fn corrupts(&self) -> bool {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        below_million(&mut rng) < self.chance.0
    }
}

impl PieceStore for CorruptStore {
    fn layout(&self) -> Layout {
        self.inner.layout()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), StoreError> {
        self.inner.write(offset, data)
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), StoreError> {
        self.inner.read(offset, buf)
    }

    fn body(&self, offset: u64, len: u32) -> Result<Body, StoreError> {
        let body = self.inner.body(offset, len)?;
        match body {
            Body::Bytes(bytes) if self.corrupts() => {
                let mut bytes = bytes.to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x01;
                Ok(Body::Bytes(Bytes::from(bytes)))
            }
            body => Ok(body),
        }
    }

    fn verifier(&self, piece: u32) -> Box<dyn PieceVerifier> {
        self.inner.verifier(piece)
    }

    fn leaf_hashes(&self, piece: u32) -> Option<LeafHashes> {
        self.inner.leaf_hashes(piece)
    }

    fn keep_leaf_hashes(&self, piece: u32, hashes: &LeafHashes) {
        self.inner.keep_leaf_hashes(piece, hashes);
    }

    fn finish(&self) -> Result<(), StoreError> {
        self.inner.finish()
    }

    fn writing(&self, bytes: u64) -> Option<Wait> {
        self.inner.writing(bytes)
    }

    fn reading(&self, bytes: u64) -> Option<Wait> {
        self.inner.reading(bytes)
    }
}

/// The store that a node that behaves so is given.
#[must_use]
pub fn store_of(behaviour: Behaviour, store: &Arc<SimStore>, seed: Seed) -> Arc<dyn PieceStore> {
    let store = Arc::clone(store);
    match behaviour {
        Behaviour::Corrupt(chance) => Arc::new(CorruptStore::new(store, chance, seed)),
        _ => store,
    }
}

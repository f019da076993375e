//! Which piece to fetch next: the one that fewest peers have, ties by a salt drawn once.
//!
//! It knows which pieces are open (neither here nor being fetched) and how many peers have each. It knows nothing
//! of peers' rates, blocks or time.
//!
//! Every node has its own salt, so that nodes who see the same rarities fetch different pieces and have
//! something to exchange. A pick costs `pieces / 64` words and the pieces the peer offers; it happens once per piece.

use rand::Rng as _;

use crate::model::bitfield::Bitfield;
use crate::model::rng::Rng;

/// Open pieces and their rarity.
#[derive(Debug)]
pub struct Picker {
    open: Bitfield,
    availability: Vec<u16>,
    salt: Vec<u32>,
}

impl Picker {
    /// Nothing is known of any peer; all but `have` is open.
    pub fn new(have: &Bitfield, rng: &mut Rng) -> Self {
        let mut open = Bitfield::full(have.len());
        for piece in have.iter() {
            open.remove(piece);
        }
        let salt = (0..have.len()).map(|_| rng.random()).collect();
        Self { open, availability: vec![0; have.len() as usize], salt }
    }

    /// The pieces that are neither here nor being fetched.
    #[must_use]
    pub const fn open(&self) -> &Bitfield {
        &self.open
    }

    /// How many peers have `piece`.
    #[must_use]
    pub fn availability(&self, piece: u32) -> u16 {
        self.availability.get(piece as usize).copied().unwrap_or(0)
    }

    /// A peer has pieces that it had not.
    pub fn gained(&mut self, piece: u32) {
        if let Some(count) = self.availability.get_mut(piece as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// A peer has gone, and with it these pieces; or it has taken one back.
    pub fn lost(&mut self, pieces: impl IntoIterator<Item = u32>) {
        for piece in pieces {
            let count = &mut self.availability[piece as usize];
            *count = count.saturating_sub(1);
        }
    }

    /// `piece` is being fetched, or is here.
    pub fn close(&mut self, piece: u32) {
        self.open.remove(piece);
    }

    /// `piece` must be fetched (again).
    pub fn reopen(&mut self, piece: u32) {
        self.open.insert(piece);
    }

    /// The rarest open piece that `offered` has and that `may` be asked for.
    #[must_use]
    pub fn pick(&self, offered: &Bitfield, may: impl Fn(u32) -> bool) -> Option<u32> {
        let rarity = |&piece: &u32| (self.availability(piece), self.salt[piece as usize]);
        self.open.common(offered).filter(|piece| may(*piece)).min_by_key(rarity)
    }
}

#[cfg(test)]
mod tests;

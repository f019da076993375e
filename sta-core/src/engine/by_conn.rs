//! What is kept for each connection, of which a torrent has some ten: a map in order, whose keys lie together.
//!
//! It is asked several times at every message, and in a simulation of many nodes nothing of it is in the processor's cache. Keys
//! side by side are found in a line or two of it, and lead straight to the value; a tree of large values has them far apart.

use std::cell::Cell;

use smallvec::SmallVec;

use super::interface::ConnId;

/// A map from connections, ordered by them. Adding and removing move what comes after: for few entries, of which most stay.
#[derive(Clone, Debug)]
pub struct ByConn<T> {
    /// Ascending; as many as a node has neighbours lie inside.
    keys: SmallVec<[ConnId; 12]>,
    values: Vec<T>,
    /// Where the last that was looked for was found: nearly always the next is the same one.
    last: Cell<usize>,
}

impl<T> ByConn<T> {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { keys: SmallVec::new(), values: Vec::new(), last: Cell::new(0) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What is kept for `conn`.
    #[must_use]
    pub fn get(&self, conn: ConnId) -> Option<&T> {
        self.values.get(self.place(conn)?)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut T> {
        let place = self.place(conn)?;
        self.values.get_mut(place)
    }

    /// Keeps `value` for `conn`. What was kept for it before is returned.
    pub fn insert(&mut self, conn: ConnId, value: T) -> Option<T> {
        if let Some(place) = self.place(conn) {
            return Some(std::mem::replace(&mut self.values[place], value));
        }
        let place = self.keys.partition_point(|key| *key < conn);
        self.keys.insert(place, conn);
        self.values.insert(place, value);
        None
    }

    /// Takes out what is kept for `conn`.
    pub fn remove(&mut self, conn: ConnId) -> Option<T> {
        let place = self.place(conn)?;
        self.keys.remove(place);
        Some(self.values.remove(place))
    }

    /// Takes out all that does not stay.
    pub fn retain(&mut self, mut stays: impl FnMut(ConnId, &T) -> bool) {
        let Self { keys, values, .. } = self;
        let kept = keys.iter().zip(&*values).map(|(&conn, value)| stays(conn, value));
        let kept: SmallVec<[bool; 64]> = kept.collect();
        let (mut of_keys, mut of_values) = (kept.iter(), kept.iter());
        keys.retain(|_| of_keys.next().is_some_and(|kept| *kept));
        values.retain(|_| of_values.next().is_some_and(|kept| *kept));
    }

    /// All of it, in the order of connections.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        self.keys.iter().copied().zip(&self.values)
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnId, &mut T)> {
        self.keys.iter().copied().zip(&mut self.values)
    }

    /// The connections, in order.
    #[must_use]
    pub fn keys(&self) -> &[ConnId] {
        &self.keys
    }

    /// What is kept, in the order of connections.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    #[inline]
    fn place(&self, conn: ConnId) -> Option<usize> {
        let last = self.last.get();
        if self.keys.get(last) == Some(&conn) {
            return Some(last);
        }
        self.look_for(conn)
    }

    fn look_for(&self, conn: ConnId) -> Option<usize> {
        let found = self.keys.binary_search(&conn).ok();
        found.inspect(|place| self.last.set(*place))
    }
}

impl<T> Default for ByConn<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{ByConn, ConnId};

    proptest! {
        #[test]
        fn it_is_a_map_in_order(steps in prop::collection::vec((0..4u8, any::<bool>(), 0..20u32), 0..200)) {
            let (mut map, mut model) = (ByConn::new(), BTreeMap::new());
            for (n, (step, dialled, number)) in steps.into_iter().enumerate() {
                let conn = if dialled { ConnId::dialled(number) } else { ConnId::accepted(number) };
                match step {
                    0 => prop_assert_eq!(map.remove(conn), model.remove(&conn)),
                    1 if n % 7 == 0 => {
                        let stays = |conn: ConnId, value: usize| conn != ConnId::dialled(number) && !value.is_multiple_of(3);
                        map.retain(|conn, value| stays(conn, *value));
                        model.retain(|conn, value| stays(*conn, *value));
                    }
                    _ => prop_assert_eq!(map.insert(conn, n), model.insert(conn, n)),
                }
                prop_assert_eq!(map.get(conn), model.get(&conn));
                prop_assert_eq!(map.len(), model.len());
                let all: Vec<_> = map.iter().collect();
                let expected: Vec<_> = model.iter().map(|(conn, value)| (*conn, value)).collect();
                prop_assert_eq!(all, expected);
            }
        }
    }
}

//! The files that are open: the least recently used is closed when there are too many.
//!
//! A file that somebody still sends from stays open until that is done; it is not counted here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::limits;

#[derive(Default)]
pub(super) struct Handles(Mutex<Open>);

#[derive(Default)]
struct Open {
    /// By index of the file: the handle, and when it was last used.
    files: BTreeMap<usize, (Arc<File>, u64)>,
    uses: u64,
}

impl Handles {
    /// File `index`; opened by `open`, without holding anybody up, if it is not open.
    pub(super) fn get_or_open(
        &self,
        index: usize,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        if let Some(file) = self.get(index) {
            return Ok(file);
        }
        let file = Arc::new(open()?);
        let closed = self.lock().put(index, Arc::clone(&file));
        drop(closed);
        Ok(file)
    }

    /// File `index`, if it is open.
    pub(super) fn get(&self, index: usize) -> Option<Arc<File>> {
        self.lock().get(index)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().files.len()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn get(&mut self, index: usize) -> Option<Arc<File>> {
        self.uses += 1;
        let (file, used) = self.files.get_mut(&index)?;
        *used = self.uses;
        Some(Arc::clone(file))
    }

    /// Returns the file that had to make room, to be closed outside the lock.
    fn put(&mut self, index: usize, file: Arc<File>) -> Option<Arc<File>> {
        self.files.insert(index, (file, self.uses));
        if self.files.len() <= limits::FILES_OPEN_MAX {
            return None;
        }
        let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(&n, _)| n)?;
        self.files.remove(&oldest).map(|(file, _)| file)
    }
}

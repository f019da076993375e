//! Who watches: receives every event of a node or a tracker.

use crate::model::event::Record;

/// Receives events as they happen: a printer of JSON lines, a recorder, checks.
///
/// Called from the owner of a state, so it must be quick and must not call back.
pub trait Observer: Send + Sync + 'static {
    /// Something has happened.
    fn observe(&self, record: &Record);

    /// The same, of a record that nobody else needs: an observer that keeps records keeps it as it is.
    fn take(&self, record: Record) {
        self.observe(&record);
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Observer for Nobody {
    fn observe(&self, _: &Record) {}
}

impl<F: Fn(&Record) + Send + Sync + 'static> Observer for F {
    fn observe(&self, record: &Record) {
        self(record);
    }
}

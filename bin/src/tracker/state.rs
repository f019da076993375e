//! Leases in a redb database, one row per torrent and node; counters that have changed since lie apart, so that for one of them
//! the pieces, up to a quarter of a mebibyte, are not written again.
//!
//! A thread of its own writes, so that the tracker never waits for a disk; changes that come while it writes go out
//! together. After a crash the database has what was written last, at most about two seconds old; redb repairs itself.
//! What is missing comes back with the nodes.
//!
//! Once a disk has failed, redb refuses everything until the database is opened anew: so it is, before the next changes are written.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};
use sta_core::engine::registry::{Change, Counters, Have, Lease};
use sta_core::io::lease_store::{LeaseStore, LeaseStoreError};
use sta_core::model::bitfield::Bitfield;
use sta_core::model::ids::InfoHash;
use sta_core::wire::tracker::TransferEvent;

/// The file in the folder.
const FILE: &str = "leases.redb";
/// Info-hash and node id.
type Key = (&'static [u8; 20], &'static str);
/// [`Row`] as JSON; then the pieces as 64 a word, little endian, where there are some.
type Value = (&'static [u8], &'static [u8]);
/// The number in the name goes up when the meaning of a row changes.
const LEASES: TableDefinition<'_, Key, Value> = TableDefinition::new("leases-1");
/// [`CountersRow`] as JSON, where it is newer than the lease. Who does not know of it reads older counters.
const COUNTERS: TableDefinition<'_, Key, &'static [u8]> = TableDefinition::new("counters-1");
/// What the database keeps in memory: the rows of a busy tracker's last second.
const CACHE_BYTES: usize = 16 << 20;
/// Batches that wait for the disk. One comes a second; a disk that is this far behind does not keep up.
const QUEUE: usize = 16;

/// What is written of a lease besides its key and its pieces.
#[derive(Serialize, Deserialize)]
struct Row {
    addr: std::net::SocketAddr,
    pieces: u32,
    have: Kind,
    up: u64,
    down: u64,
    event: Option<TransferEvent>,
}

/// What is written of a lease when only this has changed.
#[derive(Serialize, Deserialize)]
struct CountersRow {
    addr: std::net::SocketAddr,
    up: u64,
    down: u64,
    event: Option<TransferEvent>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    None,
    Some,
    All,
}

/// None while it is closed after a failure.
type Shared = Arc<Mutex<Option<Database>>>;

/// The database of a tracker. Dropping it writes what is left.
#[derive(Debug)]
pub struct LeaseDatabase {
    path: PathBuf,
    database: Shared,
    queue: Option<SyncSender<Vec<Change>>>,
    failure: Arc<Mutex<Option<String>>>,
    writer: Option<JoinHandle<()>>,
}

impl LeaseDatabase {
    /// Opens the database in the folder `dir`, and makes both where they do not exist.
    ///
    /// # Errors
    /// If it cannot be made or read, or another tracker has it open.
    pub fn open(dir: &Path) -> Result<Self, LeaseStoreError> {
        let path = dir.join(FILE);
        let failed = |path: &Path, reason: String| LeaseStoreError {
            path: path.display().to_string(),
            reason,
        };
        std::fs::create_dir_all(dir).map_err(|error| failed(dir, error.to_string()))?;
        let open = {
            let path = path.clone();
            move || Database::builder().set_cache_size(CACHE_BYTES).create(&path)
        };
        let database = open().map_err(|error| {
            failed(
                &path,
                match error {
                    redb::DatabaseError::DatabaseAlreadyOpen => {
                        "another tracker has it open".to_owned()
                    }
                    other => other.to_string(),
                },
            )
        })?;
        let database = Shared::new(Mutex::new(Some(database)));
        let failure = Arc::default();
        let (queue, changes) = sync_channel(QUEUE);
        let writer = {
            let (database, failure) = (Arc::clone(&database), Arc::clone(&failure));
            std::thread::spawn(move || write_all(&database, &changes, &failure, open))
        };
        Ok(Self { path, database, queue: Some(queue), failure, writer: Some(writer) })
    }

    fn failed(&self, reason: &(impl ToString + ?Sized)) -> LeaseStoreError {
        LeaseStoreError { path: self.path.display().to_string(), reason: reason.to_string() }
    }
}

impl LeaseStore for LeaseDatabase {
    fn load(&self) -> Result<Vec<Lease>, LeaseStoreError> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| self.failed("it is being opened anew"))?;
        read(database).map_err(|error| self.failed(&error))
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), LeaseStoreError> {
        let queue = self.queue.as_ref().expect("taken only when this is dropped");
        match queue.try_send(changes) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(self.failed("the disk does not keep up")),
            Err(TrySendError::Disconnected(_)) => return Err(self.failed("its writer has ended")),
        }
        let earlier = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        earlier.map_or(Ok(()), |reason| Err(self.failed(&reason)))
    }
}

impl Drop for LeaseDatabase {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the writer of leases has panicked");
        }
    }
}

/// Writes what comes. After a failure the database is closed, and opened by `open` when there is more to write.
fn write_all(
    database: &Mutex<Option<Database>>,
    changes: &Receiver<Vec<Change>>,
    failure: &Mutex<Option<String>>,
    open: impl Fn() -> Result<Database, redb::DatabaseError>,
) {
    while let Ok(mut batch) = changes.recv() {
        batch.extend(changes.try_iter().flatten());
        let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match database.take() {
            Some(database) => Ok(database),
            None => open(),
        };
        let written = opened.map_err(redb::Error::from).and_then(|opened| {
            let opened = database.insert(opened);
            write(opened, batch)
        });
        if let Err(error) = written {
            let reason = error.to_string();
            *database = None;
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            *failure = Some(reason);
        }
    }
}

fn write(database: &Database, changes: Vec<Change>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(LEASES)?;
        let mut newer = transaction.open_table(COUNTERS)?;
        for change in changes {
            match change {
                Change::Keep(lease) => {
                    let (row, words) = encode(&lease);
                    let key = (&lease.torrent.0, lease.node.as_str());
                    table.insert(key, (row.as_slice(), words.as_slice()))?;
                    newer.remove(key)?;
                }
                Change::Counters { torrent, node, counters } => {
                    let row = encode_counters(counters);
                    newer.insert((&torrent.0, node.as_str()), row.as_slice())?;
                }
                Change::Forget { torrent, node } => {
                    table.remove((&torrent.0, node.as_str()))?;
                    newer.remove((&torrent.0, node.as_str()))?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// All rows that make sense; one of another version is left out, for its node will come back.
fn read(database: &Database) -> Result<Vec<Lease>, redb::Error> {
    let transaction = database.begin_read()?;
    let table = match transaction.open_table(LEASES) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    let newer = match transaction.open_table(COUNTERS) {
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        table => Some(table?),
    };
    let mut leases = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let ((torrent, node), (row, words)) = (key.value(), value.value());
        match decode(InfoHash(*torrent), node, row, words) {
            Some(mut lease) => {
                let counters =
                    newer.as_ref().map(|table| table.get((torrent, node))).transpose()?;
                let counters = counters.flatten();
                if let Some(counters) = counters.and_then(|row| decode_counters(row.value())) {
                    lease.count(counters);
                }
                leases.push(lease);
            }
            None => tracing::warn!(node, "a lease that cannot be read is left out"),
        }
    }
    Ok(leases)
}

fn encode(lease: &Lease) -> (Vec<u8>, Vec<u8>) {
    let (have, words) = match &lease.have {
        Have::None => (Kind::None, Vec::new()),
        Have::All => (Kind::All, Vec::new()),
        Have::Some(bits) => {
            (Kind::Some, bits.words().iter().flat_map(|word| word.to_le_bytes()).collect())
        }
    };
    let Lease { addr, pieces, up, down, event, .. } = *lease;
    let row = Row { addr, pieces, have, up, down, event };
    (serde_json::to_vec(&row).expect("a row has no map with odd keys"), words)
}

fn decode(torrent: InfoHash, node: &str, row: &[u8], words: &[u8]) -> Option<Lease> {
    let Row { addr, pieces, have, up, down, event } = serde_json::from_slice(row).ok()?;
    let have = match have {
        Kind::None => Have::None,
        Kind::All => Have::All,
        Kind::Some => {
            let words = words.chunks(8).map(|word| word.try_into().map(u64::from_le_bytes));
            let words = words.collect::<Result<Vec<u64>, _>>().ok()?;
            Have::from_bits(pieces, Bitfield::from_words(pieces, words)?)?
        }
    };
    Some(Lease { torrent, node: node.parse().ok()?, addr, pieces, have, up, down, event })
}

fn encode_counters(counters: Counters) -> Vec<u8> {
    let Counters { addr, up, down, event } = counters;
    let row = CountersRow { addr, up, down, event };
    serde_json::to_vec(&row).expect("a row has no map with odd keys")
}

fn decode_counters(row: &[u8]) -> Option<Counters> {
    let CountersRow { addr, up, down, event } = serde_json::from_slice(row).ok()?;
    Some(Counters { addr, up, down, event })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::sync_channel;
    use std::sync::{Arc, Mutex};

    use redb::{Database, StorageBackend};
    use sta_core::engine::registry::{Change, Counters, Have, Lease};
    use sta_core::io::lease_store::LeaseStore as _;
    use sta_core::model::bitfield::PieceRange;
    use sta_core::model::ids::InfoHash;
    use sta_core::wire::tracker::TransferEvent;

    use super::{FILE, LEASES, LeaseDatabase, read, write_all};

    fn lease(node: &str, have: Have) -> Lease {
        Lease {
            torrent: InfoHash([7; 20]),
            node: node.parse().expect("a name"),
            addr: "[2001:db8::7]:7000".parse().expect("an address"),
            pieces: 100,
            have,
            up: 1,
            down: u64::MAX,
            event: Some(TransferEvent::Completed),
        }
    }

    fn some() -> Have {
        Have::new(100, &mut [PieceRange(3, 70), PieceRange::one(99)])
    }

    #[test]
    fn what_was_written_is_read_by_the_next() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dir = dir.path().join("made").join("here");
        let all = [lease("all", Have::All), lease("none", Have::None), lease("some", some())];
        let first = LeaseDatabase::open(&dir).expect("opened");
        assert_eq!(first.load(), Ok(vec![]), "a new one is empty");
        first.apply(all.iter().cloned().map(Change::Keep).collect()).expect("taken");
        first.apply(vec![Change::Keep(lease("gone", some()))]).expect("taken");
        let gone = lease("gone", Have::None);
        first
            .apply(vec![Change::Forget { torrent: gone.torrent, node: gone.node }])
            .expect("taken");
        drop(first);
        let second = LeaseDatabase::open(&dir).expect("opened again");
        assert_eq!(second.load(), Ok(all.to_vec()));
    }

    #[test]
    fn counters_are_written_apart_and_go_with_their_lease() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let counters = |up| Counters {
            addr: "192.0.2.7:7001".parse().expect("an address"),
            up,
            down: 3,
            event: None,
        };
        let counted = |node: &str, up| {
            let lease = lease(node, some());
            Change::Counters { torrent: lease.torrent, node: lease.node, counters: counters(up) }
        };
        let forget = |node: &str| {
            let lease = lease(node, some());
            Change::Forget { torrent: lease.torrent, node: lease.node }
        };
        let keep = |node: &str| Change::Keep(lease(node, some()));
        let first = LeaseDatabase::open(dir.path()).expect("opened");
        let changes = [keep("a"), keep("b"), keep("c"), counted("a", 7), counted("a", 8)];
        first.apply(changes.to_vec()).expect("taken");
        let changes = [counted("b", 9), keep("b"), counted("c", 9), forget("c"), keep("c")];
        first.apply(changes.to_vec()).expect("taken");
        first.apply(vec![counted("nobody", 1)]).expect("taken");
        drop(first);
        let mut a = lease("a", some());
        a.count(counters(8));
        let second = LeaseDatabase::open(dir.path()).expect("opened again");
        assert_eq!(second.load(), Ok(vec![a, lease("b", some()), lease("c", some())]));
    }

    /// A disk in memory that can be made to fail, and survives whoever has opened it.
    #[derive(Clone, Debug, Default)]
    struct Disk {
        bytes: Arc<Mutex<Vec<u8>>>,
        fails: Arc<AtomicBool>,
    }

    impl Disk {
        fn open(&self) -> Result<Database, redb::DatabaseError> {
            Database::builder().create_with_backend(self.clone())
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().expect("nobody panics").len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let bytes = self.bytes.lock().expect("nobody panics");
            out.copy_from_slice(&bytes[offset as usize..][..out.len()]);
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.bytes.lock().expect("nobody panics").resize(len as usize, 0);
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.fails.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let mut bytes = self.bytes.lock().expect("nobody panics");
            bytes[offset as usize..][..data.len()].copy_from_slice(data);
            Ok(())
        }
    }

    /// After one failure nothing was ever written again.
    #[test]
    fn a_disk_that_failed_is_written_to_again() {
        let disk = Disk::default();
        let database = Mutex::new(Some(disk.open().expect("it is well")));
        let apply = |changes| {
            let (queue, batches) = sync_channel(1);
            queue.send(changes).expect("there is room");
            drop(queue);
            let failure = Mutex::default();
            write_all(&database, &batches, &failure, || disk.open());
            failure.into_inner().expect("nobody panics")
        };
        let keep = |node: &str| vec![Change::Keep(lease(node, some()))];
        assert_eq!(apply(keep("a")), None);
        disk.fails.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            assert!(apply(keep("lost")).is_some());
        }
        disk.fails.store(false, Ordering::Relaxed);
        assert_eq!(apply(keep("b")), None);
        let database = database.into_inner().expect("nobody panics").expect("it is open");
        let leases = read(&database).expect("it is well");
        assert_eq!(leases, [lease("a", some()), lease("b", some())]);
    }

    #[test]
    fn a_database_has_one_tracker() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let _first = LeaseDatabase::open(dir.path()).expect("opened");
        let error = LeaseDatabase::open(dir.path()).expect_err("in use");
        assert_eq!(error.reason, "another tracker has it open");
    }

    #[test]
    fn rows_that_make_no_sense_are_left_out() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let database = Database::create(dir.path().join(FILE)).expect("made");
        let good =
            br#"{"addr":"192.0.2.7:7000","pieces":9,"have":"some","up":0,"down":0,"event":null}"#;
        let rows: [(&str, &[u8], &[u8]); 5] = [
            ("good", good, &[1, 0, 0, 0, 0, 0, 0, 0]),
            ("cut", good, &[1, 0, 0]),
            ("too-many", good, &[0, 2, 0, 0, 0, 0, 0, 0]),
            ("later", br#"{"v":2}"#, &[]),
            ("no name", good, &[1, 0, 0, 0, 0, 0, 0, 0]),
        ];
        let transaction = database.begin_write().expect("begun");
        let mut table = transaction.open_table(LEASES).expect("made");
        for (node, row, words) in rows {
            table.insert((&[0; 20], node), (row, words)).expect("written");
        }
        drop(table);
        transaction.commit().expect("written");
        drop(database);
        let leases = LeaseDatabase::open(dir.path()).expect("opened").load().expect("read");
        let names: Vec<_> = leases.iter().map(|lease| lease.node.to_string()).collect();
        assert_eq!(names, ["good"]);
    }

    #[test]
    fn what_is_no_database_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join(FILE), "hello, I am no database, and quite long enough")
            .expect("written");
        let error = LeaseDatabase::open(dir.path()).expect_err("no database");
        assert!(error.path.ends_with(FILE), "{error}");
        let file = Arc::new(dir.path().join(FILE));
        assert!(LeaseDatabase::open(&file).is_err(), "a file is no folder");
    }
}

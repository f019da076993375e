//! What a store leaves behind: durable content, or nothing.

use std::fs;

use tempfile::TempDir;

use super::{bytes_of, download, seed, torrent};
use crate::io::store::PieceStore as _;

/// A download that found everything said that it is durable, and had synced nothing.
#[test]
fn what_was_found_is_synced_where_it_lies() {
    for shape in [&[("", 100)][..], &[("a", 1), ("b/c", 2)]] {
        let (dir, torrent) = (TempDir::new().expect("a folder"), torrent("t", shape));
        let store = download(&torrent, &dir.path().join("out")).expect("nothing is in the way");
        store.write(0, &bytes_of(torrent.files())).expect("there is space");
        store.finish().expect("nothing is in the way");
        let found = seed(&torrent, &dir.path().join("out")).expect("it is there");
        found.finish().expect("it is there");
        fs::rename(dir.path().join("out"), dir.path().join("moved")).expect("it is there");
        let error = found.finish().expect_err("its name is not there to be made durable");
        assert!(error.reason.contains("No such file"), "{error}");
    }
}

#[test]
fn only_what_it_made_and_nothing_was_written_to_is_taken_away() {
    for shape in [&[("", 100)][..], &[("a/b", 100)]] {
        let dir = TempDir::new().expect("a folder");
        let torrent = torrent("t", shape);
        let begin = || download(&torrent, dir.path()).expect("nothing is in the way");
        let part = dir.path().join("t.part");
        let store = begin();
        assert!(store.leave_no_trace(false) && !part.exists() && !store.leave_no_trace(false));
        assert!(store.write(0, &[1]).is_err(), "it is lost");
        let other = begin();
        assert!(!store.leave_no_trace(false) && part.exists(), "it is another's");
        drop(other);
        assert!(!begin().leave_no_trace(false) && part.exists(), "it was there before");
        let in_part = if part.is_dir() { fs::remove_dir(&part) } else { fs::remove_file(&part) };
        in_part.expect("it is there");
        let store = begin();
        store.write(0, &[1]).expect("there is room");
        assert!(!store.leave_no_trace(false) && part.exists(), "it was written to");
        store.write(0, &bytes_of(torrent.files())).expect("there is room");
        store.finish().expect("it is all there");
        assert!(!store.leave_no_trace(false) && dir.path().join("t").exists());
    }
}

/// Of what came and is not verified nothing can be gone on with.
#[test]
fn what_is_worthless_is_taken_away_and_nothing_else() {
    for shape in [&[("", 100)][..], &[("a/b/c", 40), ("a/d", 50), ("e", 10)]] {
        let (dir, torrent) = (TempDir::new().expect("a folder"), torrent("t", shape));
        let part = dir.path().join("t.part");
        let begin = || download(&torrent, dir.path()).expect("nothing is in the way");
        let written = || {
            let store = begin();
            store.write(0, &[1; 90]).expect("there is room");
            store
        };
        let store = written();
        assert!(store.leave_no_trace(true) && !part.exists());
        assert!(store.write(95, &[1]).is_err() || !part.exists(), "it is not made anew");
        drop(written());
        assert!(!begin().leave_no_trace(true) && part.exists(), "it was there before");
        if part.is_dir() {
            fs::remove_dir_all(&part).expect("it is there");
            let store = written();
            fs::write(part.join("a/mine"), b"mine").expect("there is room");
            assert!(!store.leave_no_trace(true) && !part.join("a/d").exists());
            assert_eq!(fs::read(part.join("a/mine")).expect("it is another's"), b"mine");
        }
    }
}

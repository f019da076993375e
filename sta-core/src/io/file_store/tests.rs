use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rustix::io::Errno;
use tempfile::TempDir;

use super::error::store_error;
use super::handles::Handles;
use super::{Allocation, FileStore, SyncPolicy};
use crate::io::hash::PieceHasher;
use crate::io::store::{Body, PieceStore};
use crate::model::files::{FileKind, Files, FilesError, Link, NewFile};
use crate::model::limits;
use crate::model::metainfo::{About, Builder, Metainfo};

mod ending;

const PIECE: u32 = 16 << 10;
const K: u64 = 1 << 10;

fn content(len: u64) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(0x9E37_79B1) >> 9) as u8 | 1).collect()
}

/// A torrent called `name`: of one file if `files` is one without a path. A path that begins with `.pad/` is padding, and what lies
/// in a folder `bin` is executable.
fn torrent(name: &str, files: &[(&str, u64)]) -> Arc<Metainfo> {
    torrent_of(name, files, Vec::new())
}

fn torrent_of(name: &str, files: &[(&str, u64)], links: Vec<Link>) -> Arc<Metainfo> {
    let files = match files {
        [("", len)] => Files::single(name.to_owned(), *len, FileKind::Plain).expect("a good name"),
        _ => {
            let listed = files.iter().map(|(path, len)| {
                let kind = match path.split('/').next() {
                    Some(".pad") => FileKind::Padding,
                    Some("bin") => FileKind::Executable,
                    _ => FileKind::Plain,
                };
                Ok::<_, FilesError>(NewFile { path: (*path).to_owned(), len: *len, kind })
            });
            let files = Files::folder(name.to_owned(), listed).expect("good names");
            files.with_links(links).expect("they lead somewhere")
        }
    };
    let bytes = bytes_of(&files);
    let (mut sha1, mut blake3) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(PIECE as usize) {
        let mut hasher = PieceHasher::default();
        hasher.update(piece);
        let hash = hasher.finish();
        sha1.extend(hash.sha1);
        blake3.extend(hash.blake3);
    }
    let (sha1, blake3) = (Bytes::from(sha1), Some(Bytes::from(blake3)));
    let (trackers, about) = (Vec::new(), About::default());
    let builder = Builder { files, piece_bytes: PIECE, sha1, blake3, trackers, about };
    Arc::new(builder.build().expect("it is well made"))
}

fn bytes_of(files: &Files) -> Vec<u8> {
    let mut bytes = content(files.total());
    for file in files.as_slice().iter().filter(|file| file.is_padding()) {
        bytes[file.offset as usize..(file.offset + file.len) as usize].fill(0);
    }
    bytes
}

fn download(torrent: &Arc<Metainfo>, dir: &Path) -> Result<FileStore, String> {
    let (sparse, sync) = (Allocation::Sparse, SyncPolicy::Never);
    FileStore::download(Arc::clone(torrent), dir, sparse, sync).map_err(|e| e.to_string())
}

fn seed(torrent: &Arc<Metainfo>, dir: &Path) -> Result<FileStore, String> {
    FileStore::seed(Arc::clone(torrent), dir).map_err(|e| e.to_string())
}

/// What a body would send.
fn sent(body: &Body) -> Vec<u8> {
    match body {
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Files(ranges) => ranges
            .iter()
            .flat_map(|range| {
                let mut part = vec![0; range.len as usize];
                std::os::unix::fs::FileExt::read_exact_at(&*range.file, &mut part, range.offset)
                    .expect("it is there");
                part
            })
            .collect(),
    }
}

fn holds(store: &FileStore, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    store.read(0, &mut read).expect("it is there");
    assert!(read == bytes, "read other bytes");
    for piece in 0..store.layout().pieces() {
        let (at, len) = (store.layout().piece_offset(piece), store.layout().piece_len(piece));
        let body = store.body(at, len).expect("it is there");
        assert_eq!(body.len(), u64::from(len));
        assert!(sent(&body) == bytes[at as usize..][..len as usize], "piece {piece} differs");
        let mut verifier = store.verifier(piece);
        verifier.update(&sent(&body));
        assert!(verifier.verdict(), "piece {piece}");
    }
}

#[test]
fn space_is_set_aside_at_the_first_byte_and_stays_a_hole() {
    let dir = TempDir::new().expect("a folder");
    let torrent = torrent("large", &[("", 8 << 20)]);
    let probe = fs::File::create(dir.path().join("probe")).expect("a file");
    let can = rustix::fs::fallocate(&probe, rustix::fs::FallocateFlags::empty(), 0, 1).is_ok();
    let stat = rustix::fs::fstatfs(&probe).expect("it is on something");
    for (allocation, name) in [(Allocation::Sparse, "sparse"), (Allocation::Full, "full")] {
        let out = dir.path().join(name);
        let store = FileStore::download(Arc::clone(&torrent), &out, allocation, SyncPolicy::Never);
        let store = store.expect("nothing is in the way");
        assert_eq!(store.set_aside(), 0, "nothing was written");
        store.write(5 << 20, &[7; 4_096]).expect("there is space");
        let whole = allocation == Allocation::Full && can && stat.f_type != 0x0102_1994;
        assert_eq!(store.set_aside() >= 8 << 20, whole, "{name}");
        let file = fs::File::open(out.join("large.part")).expect("it is there");
        let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).expect("there is some");
        assert!(!can || data > 0, "{name}: reserved space is not data");
    }
}

#[test]
fn a_download_is_a_part_until_it_is_finished() {
    let shapes: [&[(&str, u64)]; 8] = [
        &[("", 0)],
        &[("", 1)],
        &[("", 16 * K)],
        &[("", 16 * K + 1)],
        &[("empty", 0)],
        &[("a", 10), ("none", 0), ("b/c/d.txt", 40 * K), ("b/e f", 3), ("последний", 70 * K)],
        &[("a", 10), (".pad/1", 16 * K - 10), ("b", 5), (".pad/2", 100), ("c/empty", 0)],
        &[(".pad/1", 7), ("only", 1)],
    ];
    let options =
        [(Allocation::Sparse, SyncPolicy::Never), (Allocation::Full, SyncPolicy::Complete)];
    for (shape, (allocation, sync)) in shapes.iter().flat_map(|s| options.map(|o| (s, o))) {
        let dir = TempDir::new().expect("a folder");
        let torrent = torrent("it is", shape);
        let bytes = bytes_of(torrent.files());
        let out = dir.path().join("made/if need be");
        let store = FileStore::download(Arc::clone(&torrent), &out, allocation, sync);
        let store = store.expect("nothing is in the way");
        for (n, part) in bytes.chunks(5_000).enumerate().collect::<Vec<_>>().into_iter().rev() {
            store.write(5_000 * n as u64, part).expect("there is space");
        }
        holds(&store, &bytes);
        let (whole, part) = (out.join("it is"), out.join("it is.part"));
        assert!(!whole.exists() && part.exists(), "{shape:?}");
        store.finish().expect("nothing is in the way");
        store.finish().expect("it is finished already");
        assert!(whole.exists() && !part.exists(), "{shape:?}");
        holds(&store, &bytes);

        for (index, file) in torrent.files().as_slice().iter().enumerate() {
            let path = out.join(torrent.files().disk_path(index));
            if file.is_padding() {
                assert!(!path.exists(), "{path:?} only pads");
                continue;
            }
            let right = &bytes[file.offset as usize..][..file.len as usize];
            assert!(fs::read(&path).expect("it is there") == right, "{path:?}");
        }
        holds(&seed(&torrent, &out).expect("it is complete"), &bytes);
    }
}

#[test]
fn who_may_read_what_is_to_be_executed_may_execute_it() {
    let dir = TempDir::new().expect("a folder");
    let torrent = torrent("t", &[("bin/none", 0), ("bin/tool", 10), ("text", 10)]);
    let store = download(&torrent, dir.path()).expect("nothing is in the way");
    store.write(0, &bytes_of(torrent.files())).expect("there is space");
    let mode_of = |path: PathBuf| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    fs::set_permissions(dir.path().join("t.part/bin/tool"), fs::Permissions::from_mode(0o640))
        .expect("its owner may");
    store.finish().expect("nothing is in the way");
    assert_eq!(mode_of(dir.path().join("t/bin/tool")), 0o750);
    let text = mode_of(dir.path().join("t/text"));
    assert_eq!((text & 0o111, mode_of(dir.path().join("t/bin/none")) & !0o111), (0, text));
    assert_eq!(mode_of(dir.path().join("t/bin/none")) & 0o100, 0o100);
}

#[test]
fn links_are_made_last_and_replace_nothing() {
    let dir = TempDir::new().expect("a folder");
    let link = |path: &str, to: &str| Link { path: path.to_owned(), to: to.to_owned() };
    let links = [link("lib/a", "bin/tool"), link("new/folder/l", "bin")];
    let torrent = torrent_of("t", &[("bin/tool", 10)], links.to_vec());
    let store = download(&torrent, dir.path()).expect("nothing is in the way");
    let part = dir.path().join("t.part");
    store.write(0, &bytes_of(torrent.files())).expect("there is space");
    assert!(!part.join("lib").exists(), "it is not complete");
    fs::create_dir_all(part.join("lib")).expect("a folder");
    fs::write(part.join("lib/a"), b"mine").expect("written");
    let error = store.finish().expect_err("it is in the way").to_string();
    assert!(error.contains("t.part/lib/a: it is there"), "{error}");
    fs::remove_file(part.join("lib/a")).expect("gone");
    store.finish().expect("nothing is in the way");
    let text = |path: &str| fs::read_link(dir.path().join("t").join(path)).expect("a link");
    assert_eq!(text("lib/a"), Path::new("../bin/tool"));
    assert_eq!(text("new/folder/l"), Path::new("../../bin"));
    assert_eq!(fs::read(dir.path().join("t/new/folder/l/tool")).expect("there").len(), 10);
}

#[test]
fn a_folder_of_links_is_not_followed_to_make_others() {
    let dir = TempDir::new().expect("a folder");
    let links = vec![Link { path: "out/l".to_owned(), to: "a".to_owned() }];
    let torrent = torrent_of("t", &[("a", 1)], links);
    let store = download(&torrent, dir.path()).expect("nothing is in the way");
    store.write(0, &bytes_of(torrent.files())).expect("there is space");
    let elsewhere = TempDir::new().expect("a folder");
    symlink(elsewhere.path(), dir.path().join("t.part/out")).expect("a link");
    store.finish().expect_err("it would be made elsewhere");
    assert_eq!(fs::read_dir(elsewhere.path()).expect("readable").count(), 0);
}

#[test]
fn nothing_that_bears_the_name_is_replaced() {
    for shape in [&[("", 10)][..], &[("a", 10)]] {
        let dir = TempDir::new().expect("a folder");
        let torrent = torrent("taken", shape);
        let store = download(&torrent, dir.path()).expect("nothing is in the way");
        store.write(0, &bytes_of(torrent.files())).expect("there is space");
        fs::write(dir.path().join("taken"), "precious").expect("there is space");
        let error = store.finish().expect_err("something is in the way");
        assert!(error.path.ends_with("taken") && error.reason.contains("not replaced"), "{error}");
        let second = download(&torrent, dir.path()).err().expect("something is in the way");
        assert!(second.contains("not replaced"), "{second}");
        assert_eq!(fs::read(dir.path().join("taken")).expect("it is there"), b"precious");

        fs::remove_file(dir.path().join("taken")).expect("it is there");
        store.finish().expect("it is out of the way");
        assert!(dir.path().join("taken").exists());
    }
}

#[test]
fn two_downloads_do_not_share_a_part() {
    for shape in [&[("", 40 * K)][..], &[("a", 40 * K)]] {
        let dir = TempDir::new().expect("a folder");
        let torrent = torrent("mine", shape);
        let bytes = bytes_of(torrent.files());
        let first = download(&torrent, dir.path()).expect("nothing is in the way");
        let second = download(&torrent, dir.path()).err().expect("it is locked");
        assert!(second.contains("mine.part") && second.contains("another process"), "{second}");
        first.write(0, &bytes).expect("there is space");
        drop(first);
        holds(&download(&torrent, dir.path()).expect("the lock is gone"), &bytes);
    }
}

#[test]
fn what_was_written_is_there_after_a_restart_and_the_rest_takes_no_space() {
    use std::os::unix::fs::MetadataExt;
    let dir = TempDir::new().expect("a folder");
    let torrent = torrent("sparse", &[("", 64 << 20)]);
    let store = download(&torrent, dir.path()).expect("nothing is in the way");
    store.write(40 << 20, &[7; 100]).expect("there is space");
    drop(store);
    let taken = fs::metadata(dir.path().join("sparse.part")).expect("it is there").blocks() * 512;
    assert!(taken < 32 << 20, "{taken} bytes for 100");
    let store = download(&torrent, dir.path()).expect("the lock is gone");
    let mut read = [1; 102];
    store.read((40 << 20) - 1, &mut read).expect("it is there");
    assert!(read[0] == 0 && read[1..101] == [7; 100] && read[101] == 0);
}

#[test]
fn a_longer_part_is_of_another_torrent_and_not_cut() {
    let dir = TempDir::new().expect("a folder");
    let part = dir.path().join("same name.part");
    fs::write(&part, [3; 101]).expect("there is space");
    let store = download(&torrent("same name", &[("", 100)]), dir.path());
    let error =
        store.expect("nothing is in the way").write(0, &[1; 100]).expect_err("it is longer");
    assert!(error.reason.contains("another torrent"), "{error}");
    assert_eq!(fs::read(part).expect("it is there"), [3; 101]);
}

#[test]
fn links_are_not_followed() {
    let outside = TempDir::new().expect("a folder");
    let dir = TempDir::new().expect("a folder");
    fs::write(outside.path().join("victim"), "precious").expect("there is space");
    let part = dir.path().join("t.part");
    let folder = torrent("t", &[("victim", 100), ("sub/victim", 100)]);

    symlink(outside.path(), &part).expect("links can be made");
    assert!(download(&folder, dir.path()).is_err(), "the part is a link");
    fs::remove_file(&part).expect("it is there");
    symlink(outside.path().join("victim"), &part).expect("links can be made");
    let single = torrent("t", &[("", 100)]);
    let error = download(&single, dir.path()).err().expect("the part is a link");
    assert!(error.contains("symbolic link"), "{error}");
    fs::remove_file(&part).expect("it is there");

    let store = download(&folder, dir.path()).expect("nothing is in the way");
    symlink(outside.path().join("victim"), part.join("victim")).expect("links can be made");
    symlink(outside.path(), part.join("sub")).expect("links can be made");
    for offset in [0, 100] {
        assert!(store.write(offset, &[1; 100]).is_err(), "a link lies at {offset}");
        assert!(store.read(offset, &mut [0; 100]).is_err(), "a link lies at {offset}");
    }
    assert_eq!(fs::read(outside.path().join("victim")).expect("it is there"), b"precious");
}

#[test]
fn what_is_shared_must_look_right_and_is_never_written() {
    let dir = TempDir::new().expect("a folder");
    let single = torrent("s", &[("", 100)]);
    let said = |dir: &Path| seed(&single, dir).err().expect("it is not right");
    assert!(said(dir.path()).contains("No such file"), "{}", said(dir.path()));
    fs::write(dir.path().join("s"), [0; 99]).expect("there is space");
    assert!(said(dir.path()).contains("99 bytes"), "{}", said(dir.path()));
    fs::remove_file(dir.path().join("s")).expect("it is there");
    fs::create_dir(dir.path().join("s")).expect("there is space");
    assert!(said(dir.path()).contains("plain file"), "{}", said(dir.path()));
    fs::remove_dir(dir.path().join("s")).expect("it is there");
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("s"), 0o600.into()).expect("a pipe");
    assert!(said(dir.path()).contains("plain file"), "and it does not hang");
    fs::remove_file(dir.path().join("s")).expect("it is there");

    fs::write(dir.path().join("s"), bytes_of(single.files())).expect("there is space");
    let store = seed(&single, dir.path()).expect("it is right");
    assert!(store.write(0, &[1]).is_err(), "it is the user's");
    assert!(store.read(99, &mut [0; 2]).is_err(), "the content ends at 100");
    assert!(store.body(u64::MAX, 2).is_err(), "far outside");
    store.finish().expect("it has its name, and is made durable");
    holds(&store, &bytes_of(single.files()));
}

/// The pieces that are doubted, by what is at their start.
fn doubted(store: &FileStore) -> Vec<u32> {
    let layout = store.layout();
    let doubt = |piece| store.doubt(layout.block_at(piece, 0, 1)).expect("it is there");
    (0..layout.pieces()).filter(|piece| doubt(*piece).is_some()).collect()
}

/// Writes a byte over another, as an editor that keeps the length, so many seconds after 1970.
fn overwrite(path: &Path, at: u64) {
    let file = fs::File::options().write(true).open(path).expect("it is there");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0], 5).expect("there is space");
    // The system's own time of a change may be that of another a moment ago.
    file.set_modified(UNIX_EPOCH + Duration::from_secs(at)).expect("it is ours");
}

#[test]
fn what_changes_while_it_is_shared_is_doubted_until_it_is_verified_again() {
    // Two pieces, one, and one that two files share.
    let shape = [("a", 32 * K), ("b", 16 * K), ("c", 8 * K), ("d", 8 * K)];
    let (dir, torrent) = (TempDir::new().expect("a folder"), torrent("t", &shape));
    let finished = download(&torrent, dir.path()).expect("nothing is in the way");
    finished.write(0, &bytes_of(torrent.files())).expect("there is space");
    assert!(doubted(&finished).is_empty(), "the store itself writes");
    finished.finish().expect("nothing is in the way");
    let seeded = seed(&torrent, dir.path()).expect("it is complete");
    for store in [&finished, &seeded] {
        assert!(doubted(store).is_empty());
    }
    overwrite(&dir.path().join("t/a"), 1);
    overwrite(&dir.path().join("t/d"), 2);
    for store in [&finished, &seeded] {
        // Of the last piece only the first file was looked at.
        assert_eq!(doubted(store), [0, 1]);
        let last = store.layout().block_at(3, 8 << 10, 1);
        let doubt = store.doubt(last).expect("it is there").expect("it has changed");
        assert!(doubt.path.ends_with("t/d"), "{}", doubt.path);
        store.trust(0, &doubt);
        assert_eq!(doubted(store), [1, 3], "one was found right");
    }
    let doubt = |piece| {
        let doubt = seeded.doubt(seeded.layout().block_at(piece, 0, 1)).expect("it is there");
        doubt.expect("it is doubted")
    };
    let (second, last) = (doubt(1), doubt(3));
    overwrite(&dir.path().join("t/b"), 3);
    overwrite(&dir.path().join("t/c"), 3);
    assert_eq!(doubted(&seeded), [1, 2, 3]);
    seeded.trust(1, &second);
    seeded.trust(3, &last);
    assert_eq!(doubted(&seeded), [2, 3], "one was verified before its files changed again");
}

#[test]
fn many_files_need_few_descriptors() {
    let names: Vec<_> = (0..300).map(|n| format!("{}/{n}", n % 7)).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 3 * K)).collect();
    let dir = TempDir::new().expect("a folder");
    let torrent = torrent("many", &files);
    let bytes = bytes_of(torrent.files());
    let store = download(&torrent, dir.path()).expect("nothing is in the way");
    store.write(0, &bytes).expect("there is space");
    assert_eq!(store.handles.count(), limits::FILES_OPEN_MAX);
    holds(&store, &bytes);
    store.finish().expect("nothing is in the way");
    holds(&seed(&torrent, dir.path()).expect("it is complete"), &bytes);
}

#[test]
fn errors_name_the_thing_the_reason_and_what_to_do() {
    let table = [
        (Errno::NOSPC, true, "make room"),
        (Errno::DQUOT, true, "make room"),
        (Errno::MFILE, true, "ulimit"),
        (Errno::ACCESS, false, "permissions"),
        (Errno::ROFS, false, "another folder"),
        (Errno::ISDIR, false, "move it away"),
        (Errno::EXIST, false, "not a folder"),
        (Errno::IO, false, "error"),
    ];
    for (errno, passing, hint) in table {
        let error = store_error(Path::new("out/name.part"), &errno.into());
        assert_eq!((error.path.as_str(), error.passing), ("out/name.part", passing), "{error}");
        assert!(error.reason.contains(hint) && !error.reason.contains("os error"), "{error}");
    }
}

/// Of a folder of small files each block had hundreds of them open until it was sent.
#[test]
fn a_block_out_of_many_files_keeps_few_of_them_open() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let paths: Vec<String> = (0..40).map(|i| format!("f{i:02}")).collect();
    let files: Vec<(&str, u64)> = paths.iter().map(|path| (path.as_str(), K)).collect();
    let torrent = torrent("many", &files);
    let bytes = bytes_of(torrent.files());
    let store = download(&torrent, dir.path()).expect("a new folder");
    store.write(0, &bytes).expect("there is room");
    let few = limits::BODY_FILES_MAX;
    for (files, kept_open) in [(few, few), (few + 1, 0), (40, 0)] {
        let body = store.body(0, files as u32 * K as u32).expect("it is there");
        let open = match &body {
            Body::Files(ranges) => ranges.len(),
            Body::Bytes(_) => 0,
        };
        assert_eq!(open, kept_open, "of {files} files");
        assert!(sent(&body) == bytes[..files * K as usize]);
    }
}

/// A download of files `a` and `b`, all of it written, in `dir`.
fn written(dir: &Path) -> FileStore {
    let torrent = torrent("t", &[("a", 16 * K), ("b", 16 * K)]);
    let store = download(&torrent, dir).expect("nothing is in the way");
    store.write(0, &bytes_of(torrent.files())).expect("there is space");
    store
}

/// The name was given to whatever lay there: files that somebody had taken out lacked, and another's unfinished ones came in.
#[test]
fn what_was_taken_away_or_put_there_meanwhile_does_not_get_the_name() {
    type Meddle = fn(&Path);
    let meddling: [(Meddle, &str); 5] = [
        (|part| fs::remove_file(part.join("a")).expect("it is there"), "moved away"),
        (|part| fs::write(part.join("a"), "short").expect("there is space"), "changed"),
        (
            |part| {
                fs::write(part.join("other"), vec![1; 16 << 10]).expect("there is space");
                fs::rename(part.join("other"), part.join("b")).expect("both are there");
            },
            "replaced",
        ),
        (|part| fs::rename(part, part.with_extension("away")).expect("it is there"), "moved away"),
        (
            |part| {
                fs::rename(part, part.with_extension("away")).expect("it is there");
                fs::create_dir(part).expect("there is space");
            },
            "replaced",
        ),
    ];
    for (meddle, said) in meddling {
        let dir = TempDir::new().expect("a folder");
        let store = written(dir.path());
        meddle(&dir.path().join("t.part"));
        let error = store.finish().expect_err("it is not what was written");
        assert!(error.reason.contains(said) && !error.passing, "{error}");
        assert!(!dir.path().join("t").exists(), "{said}");
    }
    let dir = TempDir::new().expect("a folder");
    let single = torrent("s", &[("", 100)]);
    let store = download(&single, dir.path()).expect("nothing is in the way");
    store.write(0, &bytes_of(single.files())).expect("there is space");
    fs::remove_file(dir.path().join("s.part")).expect("it is there");
    let other = download(&single, dir.path()).expect("nothing is in the way");
    let error = store.finish().expect_err("it would be the other's");
    assert!(error.reason.contains("replaced"), "{error}");
    other.write(0, &bytes_of(single.files())).expect("there is space");
    other.finish().expect("it is its own");
}

/// It was made anew, as zeros where pieces counted as verified.
#[test]
fn a_file_that_is_lost_is_not_made_anew() {
    let dir = TempDir::new().expect("a folder");
    let mut store = written(dir.path());
    let part = dir.path().join("t.part");
    fs::remove_file(part.join("a")).expect("it is there");
    fs::File::options().write(true).open(part.join("b")).expect("there").set_len(5).expect("ours");
    store.handles = Handles::default();
    for offset in [0, 16 * K] {
        assert!(store.write(offset, &[1]).is_err() && store.read(offset, &mut [0]).is_err());
    }
    assert!(!part.join("a").exists());
    assert_eq!(fs::metadata(part.join("b")).expect("it is there").len(), 5);
}

/// A quota that was full when the first byte came was told of as another file that was there already, and for good.
#[test]
fn a_file_for_which_there_was_no_room_is_gone_on_with() {
    let dir = TempDir::new().expect("a folder");
    let torrent = torrent("t", &[("a", 100)]);
    let mut store = download(&torrent, dir.path()).expect("nothing is in the way");
    let set = |store: &mut FileStore, reserve: super::open::Reserve| {
        store.download.as_mut().expect("it downloads").reserve = reserve;
    };
    set(&mut store, |_, _| Err(Errno::DQUOT));
    for _ in 0..2 {
        let error = store.write(0, &[1; 100]).expect_err("there is no room");
        assert!(error.passing && error.reason.contains("make room"), "{error}");
    }
    set(&mut store, |_, _| Ok(()));
    store.write(0, &[1; 100]).expect("there is room");
    store.finish().expect("it is all there");
}

/// All was right, and was reported as moved away.
#[test]
fn a_folder_that_is_moved_while_it_is_downloaded_into_makes_no_difference() {
    for shape in [&[("", 100)][..], &[("a/b", 100)]] {
        let dir = TempDir::new().expect("a folder");
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        let torrent = torrent("t", shape);
        let store = download(&torrent, &here).expect("nothing is in the way");
        assert!(store.is_at_its_path());
        fs::rename(&here, &there).expect("it is there");
        assert!(!store.is_at_its_path(), "nothing is there");
        fs::create_dir(&here).expect("there is room");
        assert!(!store.is_at_its_path(), "another is there");
        store.write(0, &bytes_of(torrent.files())).expect("there is room");
        store.finish().expect("it is all there");
        holds(&seed(&torrent, &there).expect("it is complete"), &bytes_of(torrent.files()));
    }
}

/// Where a file system takes two names for one, the second file was written over the first.
#[test]
fn two_names_for_one_file_are_found_out() {
    let dir = TempDir::new().expect("a folder");
    let torrent = torrent("t", &[("A", 100), ("a", 100)]);
    let store = download(&torrent, dir.path()).expect("nothing is in the way");
    store.write(0, &[1; 100]).expect("there is space");
    // What the file system would say of the second name.
    fs::write(dir.path().join("t.part/a"), [0; 100]).expect("there is space");
    let error = store.write(100, &[2; 100]).expect_err("it was not there");
    assert!(error.reason.contains("upper and lower case"), "{error}");
    drop(store);
    // Both are there at the start of the next attempt.
    let part = dir.path().join("t.part");
    fs::remove_file(part.join("a")).expect("it is there");
    fs::hard_link(part.join("A"), part.join("a")).expect("links can be made");
    let error = download(&torrent, dir.path()).err().expect("both are one file");
    assert!(error.contains("upper and lower case"), "{error}");
}

/// A copy made of links lost its original: what was wrong of it was written over in both.
#[test]
fn what_bears_another_name_is_not_written_to() {
    for shape in [&[("", 100)][..], &[("a", 100)]] {
        let dir = TempDir::new().expect("a folder");
        let torrent = torrent("t", shape);
        let part = dir.path().join("t.part").join(shape[0].0);
        fs::create_dir_all(part.parent().expect("it has one")).expect("there is space");
        let precious = dir.path().join("precious");
        fs::write(&precious, [3; 100]).expect("there is space");
        let part = if shape[0].0.is_empty() { dir.path().join("t.part") } else { part };
        fs::hard_link(&precious, &part).expect("links can be made");
        let error = download(&torrent, dir.path()).err().expect("it bears two names");
        assert!(error.contains("hard link"), "{error}");
        assert_eq!(fs::read(&precious).expect("it is there"), [3; 100]);
    }
    let dir = TempDir::new().expect("a folder");
    let mut store = written(dir.path());
    fs::hard_link(dir.path().join("t.part/a"), dir.path().join("kept")).expect("links can be made");
    store.handles = Handles::default();
    assert!(store.write(0, &[1]).expect_err("it bears two names").reason.contains("hard link"));
}

#[test]
fn what_a_download_has_left_is_served_as_it_is() {
    for shape in [&[("", 32 * K)][..], &[("a", 16 * K), ("b", 16 * K)]] {
        let dir = TempDir::new().expect("a folder");
        let torrent = torrent("t", shape);
        let bytes = bytes_of(torrent.files());
        assert!(
            FileStore::seed_part(Arc::clone(&torrent), dir.path()).is_err(),
            "nothing is there"
        );
        let store = download(&torrent, dir.path()).expect("nothing is in the way");
        store.write(0, &bytes[..17 << 10]).expect("there is space");
        drop(store);
        let store = FileStore::seed_part(Arc::clone(&torrent), dir.path()).expect("it is there");
        assert!(store.write(0, &[1]).is_err(), "it is served, and not written to");
        let mut read = vec![0; 16 << 10];
        store.read(0, &mut read).expect("it is there");
        assert!(read == bytes[..16 << 10] && doubted(&store).is_empty());
        let path = dir.path().join("t.part").join(shape[0].0);
        let path = if shape.len() == 1 { dir.path().join("t.part") } else { path };
        overwrite(&path, 1);
        assert!(doubted(&store).contains(&0), "it was changed");
    }
}

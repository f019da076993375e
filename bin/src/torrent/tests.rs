use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::io::Errno;
use sha1::Digest as _;
use sta_core::model::files::{FilesError, part_of};
use sta_core::model::metainfo::{About, Builder, Metainfo};
use tempfile::TempDir;

use super::make::{MakeError, MakeOptions, make};
use super::show::TorrentView;
use super::verify::{FileState, Verified, VerifyError, verify};
use super::{TorrentError, load, save};

const PIECE: usize = 16 << 10;

/// Bytes that are the same for the same seed, and different everywhere.
fn content(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn put(path: &Path, data: &[u8]) {
    fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
    fs::write(path, data).expect("written");
}

fn small() -> MakeOptions {
    MakeOptions { piece_bytes: Some(PIECE as u32), ..MakeOptions::default() }
}

fn made(path: &Path) -> Metainfo {
    make(path, &small(), &|_| {}).expect("it can be made")
}

fn verified(torrent: &Metainfo, data: &Path) -> Verified {
    verify(torrent, data, &|_| {}).expect("it can be read")
}

/// The good pieces as digits, `1` for good.
fn digits(verified: &Verified) -> String {
    (0..verified.good.len()).map(|p| if verified.good.contains(p) { '1' } else { '0' }).collect()
}

/// A folder of four files, of 2 and a half pieces together, one of them empty.
fn folder(dir: &TempDir) -> Metainfo {
    let root = dir.path().join("a folder");
    put(&root.join("b/second file"), &content(1, PIECE));
    put(&root.join("a"), &content(2, PIECE + 100));
    put(&root.join("b/пустой"), &[]);
    put(&root.join("b-"), &content(3, PIECE / 2 - 100));
    made(&root)
}

#[test]
fn every_size_is_made_and_verified() {
    let dir = TempDir::new().expect("a folder");
    for (len, pieces) in [(0, 0), (1, 1), (PIECE, 1), (PIECE + 1, 2), (40 * PIECE + 7, 41)] {
        let path = dir.path().join(format!("{len} bytes"));
        put(&path, &content(1, len));
        let torrent = made(&path);
        assert_eq!((torrent.layout().pieces(), torrent.files().total()), (pieces, len as u64));
        assert!(verified(&torrent, dir.path()).is_complete(), "{len} bytes");
    }
}

#[test]
fn a_folder_is_listed_by_the_bytes_of_its_paths() {
    let dir = TempDir::new().expect("a folder");
    let torrent = folder(&dir);
    let paths: Vec<_> = torrent.files().as_slice().iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["a", "b-", "b/second file", "b/пустой"]);
    assert!(torrent.files().is_folder() && torrent.name() == "a folder");
    assert_eq!(torrent, made(&dir.path().join("a folder/")), "the same files, the same torrent");
    assert_eq!(torrent, made(&dir.path().join("a folder/b/..")), "whatever the path to them");
    assert!(verified(&torrent, dir.path()).is_complete());
}

#[test]
fn progress_adds_up_to_the_content() {
    let dir = TempDir::new().expect("a folder");
    let torrent = folder(&dir);
    for run in [0, 1] {
        let done = AtomicU64::new(0);
        let progress = |bytes| {
            done.fetch_add(bytes, Ordering::Relaxed);
        };
        if run == 0 {
            make(&dir.path().join("a folder"), &small(), &progress).expect("it can be made");
        } else {
            verify(&torrent, dir.path(), &progress).expect("it can be read");
        }
        assert_eq!(done.into_inner(), torrent.files().total());
    }
}

#[test]
fn links_inside_a_folder_are_made_and_verified() {
    let dir = TempDir::new().expect("a folder");
    let root = dir.path().join("release");
    put(&root.join("lib/a.so.1"), &content(1, PIECE));
    put(&root.join("bin/tool"), &content(2, 10));
    let links = [("lib/a.so", "a.so.1"), ("lib/b.so", "./a.so"), ("tool", "bin/../bin/tool")];
    let folders = [("lib64", "lib/"), ("bin/lib", "../lib"), ("bin/here", ".")];
    for (path, text) in links.into_iter().chain(folders) {
        symlink(text, root.join(path)).expect("a link");
    }
    let torrent = made(&root);
    let found: Vec<_> =
        torrent.files().links().iter().map(|link| (link.path.as_str(), link.text())).collect();
    let texts = ["bin/here .", "bin/lib ../lib", "lib/a.so a.so.1", "lib/b.so a.so", "lib64 lib"];
    let texts = texts.iter().chain(&["tool bin/tool"]).map(|link| link.split_once(' '));
    let texts: Vec<_> = texts.flatten().map(|(path, text)| (path, text.to_owned())).collect();
    assert_eq!(found, texts);
    assert!(verified(&torrent, dir.path()).is_complete(), "whatever the words of a link");
    let shown = TorrentView::new(&torrent).to_string();
    assert!(shown.contains("link  lib/a.so -> lib/a.so.1"), "{shown}");

    fs::remove_file(root.join("lib/a.so")).expect("gone");
    fs::copy(root.join("lib/a.so.1"), root.join("lib/a.so")).expect("copied");
    fs::remove_file(root.join("tool")).expect("gone");
    fs::remove_file(root.join("lib/b.so")).expect("gone");
    symlink("/etc/passwd", root.join("lib/b.so")).expect("a link");
    let verified = verified(&torrent, dir.path());
    assert!(verified.good.is_full() && !verified.is_complete());
    let bad: Vec<_> = verified.bad_files(&torrent).into_iter().map(|bad| bad.why).collect();
    let elsewhere = "a link to /etc/passwd, it should lead to a.so";
    assert_eq!(bad, ["not a link to a.so.1", elsewhere, "missing"]);
}

/// That something else was in the place of a link was said once all had been fetched.
#[test]
fn what_is_incomplete_may_lack_links_and_where_they_lead_but_has_nothing_else_there() {
    let dir = TempDir::new().expect("a folder");
    let root = dir.path().join("release");
    put(&root.join("lib/a.so.1"), &content(1, PIECE));
    for (path, text) in [("lib/a.so", "a.so.1"), ("lib/b.so", "a.so"), ("lib64", "lib")] {
        symlink(text, root.join(path)).expect("a link");
    }
    let torrent = made(&root);
    let part = part_of(&root);
    fs::rename(&root, &part).expect("it is there");
    for path in ["lib/a.so.1", "lib/a.so", "lib/b.so", "lib64"] {
        fs::remove_file(part.join(path)).expect("it is there");
    }
    let in_the_way = || verified(&torrent, dir.path()).in_the_way(&torrent).map(|bad| bad.why);
    assert_eq!(in_the_way(), None);
    symlink("./../lib/a.so", part.join("lib/b.so")).expect("a link");
    assert_eq!(in_the_way(), None, "the same in other words");
    symlink("lib/a.so", part.join("lib64")).expect("a link");
    assert_eq!(in_the_way(), Some("a link to lib/a.so, it should lead to lib".to_owned()));
    fs::remove_file(part.join("lib64")).expect("it is there");
    put(&part.join("lib64/file"), &[]);
    assert_eq!(in_the_way(), Some("not a link to lib".to_owned()));
}

#[test]
fn what_a_torrent_cannot_carry_is_refused_by_name() {
    let dir = TempDir::new().expect("a folder");
    let root = dir.path().join("root");
    let refused = || make(&root, &small(), &|_| {}).expect_err("refused");
    assert!(matches!(refused(), MakeError::Read { .. }), "there is nothing");
    fs::create_dir_all(root.join("empty/er")).expect("folders");
    assert!(matches!(refused(), MakeError::Empty(_)));

    put(&root.join("in/file"), b"data");
    let odd = root.join("in/odd");
    for out in ["/", "../..", "nothing", "odd", "../../root/in/file", ".."] {
        symlink(out, &odd).expect("a link");
        assert!(matches!(refused(), MakeError::Link { path, .. } if path == odd), "{out}");
        fs::remove_file(&odd).expect("gone");
    }

    let socket = std::os::unix::net::UnixListener::bind(&odd).expect("a socket");
    assert!(matches!(refused(), MakeError::Special(path) if path == odd));
    drop(socket);
    fs::remove_file(&odd).expect("gone");

    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    put(&root.join(name), b"data");
    assert!(matches!(refused(), MakeError::NotUtf8(path) if path == root.join(name)));
    fs::remove_file(root.join(name)).expect("gone");

    put(&root.join("in/CON"), b"data");
    let error = refused().to_string();
    assert!(error.ends_with("the name \"in/CON\" is refused: it is the name of a device on Windows; rename it, or move it away"), "{error}");
    fs::remove_file(root.join("in/CON")).expect("gone");
    let part = dir.path().join("file.part");
    put(&part, b"data");
    let error = make(&part, &small(), &|_| {}).expect_err("refused").to_string();
    assert!(error.contains("it ends with \".part\""), "{error}");

    for odd in [0, 1 << 13, PIECE as u32 + 1, 1 << 25] {
        let options = MakeOptions { piece_bytes: Some(odd), ..MakeOptions::default() };
        let error = make(&root, &options, &|_| {}).expect_err("refused");
        assert!(matches!(error, MakeError::PieceBytes(size) if size == odd), "{error}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    for kind in ["longer", "shorter", "rewritten", "gone"] {
        let dir = TempDir::new().expect("a folder");
        let path = dir.path().join("file");
        put(&path, &content(1, 300 * PIECE));
        // So long ago that no clock is too coarse to tell.
        let file = OpenOptions::new().append(true).open(&path).expect("open");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
        let first = AtomicBool::new(true);
        let meddle = |_| {
            if first.swap(false, Ordering::Relaxed) {
                match kind {
                    "longer" => file.set_len(301 * PIECE as u64),
                    "shorter" => file.set_len(1),
                    "rewritten" => fs::write(&path, content(2, 300 * PIECE)),
                    _ => fs::remove_file(&path),
                }
                .expect("changed");
            }
        };
        let error = make(&path, &small(), &meddle).expect_err("it changed");
        assert!(matches!(error, MakeError::Changed(_)), "{kind}: {error}");
    }
}

#[test]
fn damage_makes_the_pieces_it_touches_bad() {
    let dir = TempDir::new().expect("a folder");
    let torrent = folder(&dir);
    let root = dir.path().join("a folder");
    let state = || {
        let found = verified(&torrent, dir.path());
        (digits(&found), found.files, found.good.is_full())
    };
    use FileState::{Long, Missing, NotAFile, Part, Short, Whole};
    let whole = [Whole, Whole, Whole, Whole];
    assert_eq!(state(), ("111".into(), whole.to_vec(), true));

    // The first piece is of `a` alone, the second of `a`, `b-` and the second file, the third of the last.
    put(&root.join("b-"), &content(4, PIECE / 2 - 100));
    assert_eq!(state().0, "101");
    fs::remove_file(root.join("b-")).expect("gone");
    assert_eq!(state(), ("101".into(), vec![Whole, Missing, Whole, Whole], false));
    put(&root.join("b-"), &content(3, PIECE / 2 - 100));
    let part = dir.path().join("a folder.part");
    fs::rename(&root, &part).expect("renamed");
    assert_eq!(state(), ("111".into(), vec![Part; 4], true));
    assert!(!verified(&torrent, dir.path()).is_complete(), "not under its name");
    fs::rename(&part, &root).expect("renamed");

    put(&root.join("a"), &content(2, PIECE + 99));
    assert_eq!(state(), ("101".into(), vec![Short(PIECE as u64 + 99), Whole, Whole, Whole], false));
    put(&root.join("a"), &[content(2, PIECE + 100), vec![0]].concat());
    assert_eq!(state(), ("111".into(), vec![Long(PIECE as u64 + 101), Whole, Whole, Whole], true));
    assert!(!verified(&torrent, dir.path()).is_complete(), "a byte too many");

    fs::remove_dir_all(root.join("b")).expect("gone");
    assert_eq!(state().1[2..], [Missing, Missing]);
    put(&root.join("b"), b"a file where a folder should be");
    assert_eq!(state().1[2..], [Missing, Missing]);
    fs::remove_file(root.join("a")).expect("gone");
    fs::create_dir(root.join("a")).expect("a folder");
    assert_eq!(state().1[0], NotAFile);
}

#[test]
fn an_empty_file_that_is_missing_is_noticed() {
    let dir = TempDir::new().expect("a folder");
    let torrent = folder(&dir);
    fs::remove_file(dir.path().join("a folder/b/пустой")).expect("gone");
    let found = verified(&torrent, dir.path());
    assert!(found.good.is_full() && !found.is_complete());
}

#[test]
fn holes_are_pieces_of_zeros() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("sparse");
    // Holes in whole pieces before, between and after data, and a last piece that is short.
    let whole = {
        let file = File::create(&path).expect("a file");
        file.set_len(64 * PIECE as u64 + 5).expect("sparse");
        for piece in [16, 17, 48] {
            file.write_all_at(&content(piece, PIECE), u64::from(piece) * PIECE as u64)
                .expect("data");
        }
        made(&path)
    };
    assert!(verified(&whole, dir.path()).is_complete(), "zeros are what they should be");

    // The same torrent over a file of holes alone: where data should be, zeros are wrong.
    let file = File::create(&path).expect("a file");
    file.set_len(64 * PIECE as u64 + 5).expect("sparse");
    let bad: Vec<_> =
        digits(&verified(&whole, dir.path())).match_indices('0').map(|(at, _)| at).collect();
    assert_eq!(bad, [16, 17, 48]);

    // And over the real data of which it has nothing: no hole is taken for data.
    put(&path, &content(9, 64 * PIECE + 5));
    let dense = made(&path);
    File::create(&path).expect("a file").set_len(64 * PIECE as u64 + 5).expect("sparse");
    assert!(verified(&dense, dir.path()).good.is_empty());
}

#[test]
fn a_plain_torrent_and_padding_are_verified_by_sha1() {
    use sta_core::model::files::{FileKind, Files, NewFile};
    let dir = TempDir::new().expect("a folder");
    let (one, two) = (content(1, 100), content(2, 50));
    put(&dir.path().join("padded/one"), &one);
    put(&dir.path().join("padded/two"), &two);
    let padding = PIECE - 100;
    // The same bytes as one file, so that nothing is hashed here.
    put(&dir.path().join("flat"), &[one, vec![0; padding], two].concat());
    let flat = made(&dir.path().join("flat"));
    let sha1 = |piece| flat.hashes().sha1(piece).expect("there are two").as_slice();
    let file =
        |path: &str, len, kind| Ok::<_, FilesError>(NewFile { path: path.into(), len, kind });
    let pad = file(".pad/1", padding as u64, FileKind::Padding);
    let listed = [file("one", 100, FileKind::Plain), pad, file("two", 50, FileKind::Plain)];
    let torrent = Builder {
        files: Files::folder("padded".into(), listed).expect("safe"),
        piece_bytes: PIECE as u32,
        sha1: [sha1(0), sha1(1)].concat().into(),
        blake3: None,
        trackers: vec![],
        about: About::default(),
    };
    let torrent = torrent.build().expect("it fits");
    assert!(verified(&torrent, dir.path()).is_complete(), "padding is not on disk");
}

/// More pieces than are read side by side, most of them in two files or three, some files missing, short or of other bytes.
#[test]
fn many_pieces_in_many_files_are_hashed_side_by_side() {
    let dir = TempDir::new().expect("a folder");
    let root = dir.path().join("many");
    let lens = (0..90u8).map(|n| PIECE / 3 + usize::from(n) * 397 % PIECE);
    let files: Vec<_> = (0..90).zip(lens).map(|(n, len)| content(n, len)).collect();
    let path = |n: usize| root.join(format!("{n:02}"));
    files.iter().enumerate().for_each(|(n, data)| put(&path(n), data));
    let torrent = made(&root);
    let sha1: Vec<u8> = files
        .concat()
        .chunks(PIECE)
        .enumerate()
        .flat_map(|(piece, bytes)| {
            let (sha1, blake3) = (sha1::Sha1::digest(bytes), blake3::hash(bytes));
            let hashes = torrent.hashes();
            assert_eq!(hashes.sha1(piece as u32).map(|hash| hash.as_slice()), Some(&sha1[..]));
            assert_eq!(hashes.blake3(piece as u32), Some(blake3.as_bytes()));
            sha1
        })
        .collect();
    let plain = Builder {
        files: torrent.files().clone(),
        piece_bytes: PIECE as u32,
        sha1: sha1.into(),
        blake3: None,
        trackers: vec![],
        about: About::default(),
    };
    let plain = plain.build().expect("it fits");
    assert!(verified(&plain, dir.path()).is_complete());

    fs::remove_file(path(20)).expect("gone");
    put(&path(40), &files[40][1..]);
    put(&path(60), &content(1, files[60].len()));
    let spoiled = |piece: u32| {
        let layout = torrent.layout();
        let mut spans = torrent.files().spans(layout.piece_offset(piece), PIECE as u64);
        spans.any(|span| [20, 40, 60].contains(&span.file))
    };
    for torrent in [&torrent, &plain] {
        let found = verified(torrent, dir.path()).good;
        for piece in 0..torrent.layout().pieces() {
            assert_eq!(found.contains(piece), !spoiled(piece), "piece {piece}");
        }
    }
}

#[test]
fn a_torrent_is_saved_whole_and_loaded() {
    let dir = TempDir::new().expect("a folder");
    let torrent = folder(&dir);
    let path = dir.path().join("t.torrent");
    save(&torrent, &path).expect("written");
    assert_eq!(load(&path).expect("read"), torrent);
    fs::write(&path, &torrent.bytes()[..100]).expect("cut short");
    let error = load(&path).expect_err("broken").to_string();
    assert!(
        error.contains("t.torrent: not a usable torrent: not canonical bencode: byte "),
        "{error}"
    );
    assert!(matches!(load(&dir.path().join("none")), Err(TorrentError::Read { .. })));
    let nowhere = dir.path().join("none/t.torrent");
    assert!(matches!(save(&torrent, &nowhere), Err(TorrentError::Write { .. })));
    let left: Vec<_> =
        fs::read_dir(dir.path()).expect("listed").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left behind: {left:?}");
}

/// Where the data of many torrents was looked at, a person was to check permissions.
#[test]
fn whatever_is_open_too_often_the_limit_is_to_be_raised() {
    let errors = |errno: Errno| {
        let (path, source) = (|| Path::new("x").to_owned(), || errno.into());
        [
            TorrentError::Read { path: path(), source: source() }.to_string(),
            VerifyError { path: path(), source: source() }.to_string(),
            MakeError::Read { path: path(), source: source() }.to_string(),
        ]
    };
    for said in errors(Errno::MFILE) {
        assert!(said.ends_with("; raise the limit of open files (ulimit -n)"), "{said}");
    }
    for said in errors(Errno::ACCESS) {
        assert!(said.ends_with("; check the path and its permissions"), "{said}");
    }
}

#[test]
fn a_torrent_is_shown_to_people_and_programs() {
    let dir = TempDir::new().expect("a folder");
    put(&dir.path().join("aux.c"), &content(1, 3 * PIECE / 2));
    let options = MakeOptions {
        trackers: vec!["192.0.2.1:6881".parse().expect("an address")],
        about: About {
            comment: Some("beware\u{1b}[2J\u{202e}".into()),
            created_by: Some("sta".into()),
            creation_date: Some(1_700_000_000),
            private: true,
        },
        ..small()
    };
    let torrent = make(&dir.path().join("aux.c"), &options, &|_| {}).expect("it can be made");
    let view = TorrentView::new(&torrent);
    let table = format!(
        "\
name          aux.c
info-hash     {}
size          24.00 KiB (24576 bytes)
pieces        2 of 16.00 KiB
verified by   BLAKE3
tracker 1     sta://192.0.2.1:6881
private       yes: shared through its own trackers only
comment       beware\\u{{1b}}[2J\\u{{202e}}
created by    sta
created       2023-11-14T22:13:20Z
files         1
   24.00 KiB  aux.c
caution: \"aux.c\" cannot be a name on Windows
",
        torrent.info_hash()
    );
    assert_eq!(view.to_string(), table);
    let json = serde_json::to_value(&view).expect("it has no odd keys");
    assert_eq!(json["info_hash"], torrent.info_hash().to_string());
    assert_eq!(json["trackers"][0], "192.0.2.1:6881");
    let file = serde_json::json!({ "path": "aux.c", "bytes": 24_576, "executable": false });
    assert_eq!(json["files"], serde_json::json!([file]));
    assert_eq!(json["verified_by"], "blake3");
}

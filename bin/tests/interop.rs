//! Other programs read what we make, and we read and verify what they make.
//!
//! A test whose program is not installed says so and passes: `.ci/run` installs them all.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use sta_bin::torrent::make::{MakeOptions, make};
use sta_bin::torrent::verify::verify;
use sta_bin::torrent::{load, save};
use sta_core::model::metainfo::{About, Metainfo};
use tempfile::TempDir;

const PIECE_BYTES: u32 = 64 << 10;
const FILES: [(&str, usize); 4] =
    [("a b", 100_000), ("empty", 0), ("sub/deep/x", 1), ("sub/日本語", 170_000)];

/// A folder called `some data` and a file called `one file`, in a folder of their own.
struct Data(TempDir);

impl Data {
    fn new() -> Self {
        let data = Self(TempDir::new().expect("a folder"));
        for (path, len) in FILES {
            put(&data.at("some data").join(path), len);
        }
        put(&data.at("one file"), 3 * PIECE_BYTES as usize + 5);
        data
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Makes and saves a torrent of `name` as `ours.torrent`.
    fn ours(&self, name: &str) -> Metainfo {
        let options = MakeOptions {
            piece_bytes: Some(PIECE_BYTES),
            trackers: vec!["192.0.2.1:6881".parse().expect("an address")],
            about: About { created_by: Some("sta".into()), ..About::default() },
        };
        let torrent = make(&self.at(name), &options, &|_| {}).expect("it can be made");
        save(&torrent, &self.at("ours.torrent")).expect("written");
        torrent
    }

    /// Reads `theirs.torrent`, verifies the data of `name` by it, and removes it.
    fn theirs(&self, name: &str) -> Metainfo {
        let torrent = load(&self.at("theirs.torrent")).expect("it can be read");
        assert_eq!(torrent.name(), name);
        assert!(!torrent.hashes().has_blake3(), "it is a plain torrent");
        let found = verify(&torrent, self.0.path(), &|_| {}).expect("it can be read");
        assert!(found.is_complete(), "{found:?}");
        fs::remove_file(self.at("theirs.torrent")).expect("gone");
        torrent
    }

    /// Runs a program in the folder; `None`, and a line that says why, if it is not there.
    fn run(&self, program: &str, args: &[&str]) -> Option<String> {
        match Command::new(program).args(args).current_dir(self.0.path()).output() {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{program} {args:?}: {text}\n{errors}");
                Some(text)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skipped(&format!("{program} is not installed"));
                None
            }
            Err(error) => panic!("{program}: {error}"),
        }
    }

    /// Runs a script over libtorrent, if a Python that has it is there.
    fn libtorrent(&self, script: &str, args: &[&str]) -> Option<String> {
        let has_it = |python: &&&str| {
            let tried = Command::new(python).args(["-c", "import libtorrent"]).output();
            tried.is_ok_and(|output| output.status.success())
        };
        let Some(python) = ["python3", "/usr/bin/python3"].iter().find(has_it) else {
            skipped("Python's libtorrent is not installed (Debian: python3-libtorrent)");
            return None;
        };
        self.run(python, &[&["-c", script], args].concat())
    }
}

fn put(path: &Path, len: usize) {
    fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
    let bytes: Vec<u8> = (0..len).map(|i| (i * i % 251) as u8).collect();
    fs::write(path, bytes).expect("written");
}

/// Says so past the test harness, which hides what passing tests print.
fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "skipped {name}: {why}").expect("stderr is open");
}

/// The paths and lengths of the real files, sorted.
fn listed(torrent: &Metainfo) -> Vec<(&str, usize)> {
    let files = torrent.files().as_slice().iter().filter(|file| !file.is_padding());
    let mut files: Vec<_> = files.map(|file| (file.path.as_str(), file.len as usize)).collect();
    files.sort_unstable();
    files
}

#[test]
fn transmission_show_reads_what_we_make() {
    let data = Data::new();
    for (name, pieces, files) in [("some data", 5, 4), ("one file", 4, 1)] {
        let torrent = data.ours(name);
        let Some(text) = data.run("transmission-show", &["ours.torrent"]) else { return };
        for line in [
            format!("  Name: {name}\n"),
            format!("  Hash: {}\n", torrent.info_hash()),
            format!("  Piece Count: {pieces}\n"),
            "  Piece Size: 64.00 KiB\n".into(),
        ] {
            assert!(text.contains(&line), "{line:?} in {text}");
        }
        let shown = text.split_once("\nFILES\n").expect("it lists files").1;
        assert_eq!(shown.lines().filter(|line| !line.is_empty()).count(), files, "{text}");
        if name == "some data" {
            assert!(shown.contains("some data/sub/日本語 (170.0 kB)"), "{text}");
        }
    }
}

#[test]
fn aria2_reads_what_we_make() {
    let data = Data::new();
    for name in ["some data", "one file"] {
        let torrent = data.ours(name);
        let Some(text) = data.run("aria2c", &["-S", "ours.torrent"]) else { return };
        assert!(text.contains(&format!("Info Hash: {}\n", torrent.info_hash())), "{text}");
        assert!(text.contains(&format!("Name: {name}\n")), "{text}");
        assert!(text.contains("\n sta://192.0.2.1:6881\n"), "{text}");
        if name == "some data" {
            for (path, _) in FILES {
                assert!(text.contains(&format!("|./some data/{path}\n")), "{path} in {text}");
            }
            assert!(text.contains("(170,000)") && text.contains("(270,001)"), "{text}");
        }
    }
}

#[test]
fn libtorrent_reads_what_we_make() {
    const SCRIPT: &str = "
import libtorrent
t = libtorrent.torrent_info('ours.torrent')
f = t.files()
print(t.info_hash(), t.name(), t.num_pieces(), t.piece_length(), sep='|')
print(*['%s|%d' % (f.file_path(i), f.file_size(i)) for i in range(f.num_files())], sep='\\n')
print(*[x.url for x in t.trackers()])
";
    let data = Data::new();
    for (name, pieces) in [("some data", 5), ("one file", 4)] {
        let torrent = data.ours(name);
        let Some(text) = data.libtorrent(SCRIPT, &[]) else { return };
        let mut wanted = format!("{}|{name}|{pieces}|{PIECE_BYTES}\n", torrent.info_hash());
        for (path, len) in listed(&torrent) {
            let folder = if name == "some data" { "some data/" } else { "" };
            wanted += &format!("{folder}{path}|{len}\n");
        }
        assert_eq!(text, wanted + "sta://192.0.2.1:6881\n");
    }
}

#[test]
fn we_read_and_verify_what_mktorrent_makes() {
    let data = Data::new();
    for name in ["some data", "one file"] {
        let args = ["-l", "16", "-a", "http://tracker.invalid/", "-o", "theirs.torrent", name];
        let Some(_) = data.run("mktorrent", &args) else { return };
        let (theirs, ours) = (data.theirs(name), data.ours(name));
        assert_eq!(listed(&theirs), listed(&ours));
        assert_eq!((theirs.trackers(), theirs.announce().len()), (&[][..], 1));
        if name == "one file" {
            assert_eq!(theirs.info_hash(), ours.info_hash(), "one file is described in one way");
        }
    }
}

#[test]
fn we_read_and_verify_what_transmission_makes() {
    let data = Data::new();
    for name in ["some data", "one file"] {
        let args = ["-p", "-c", "hello", "-t", "http://tracker.invalid/", "-o", "theirs.torrent"];
        let Some(_) = data.run("transmission-create", &[&args[..], &[name]].concat()) else {
            return;
        };
        let theirs = data.theirs(name);
        assert!(theirs.about().private);
        assert_eq!(theirs.about().comment.as_deref(), Some("hello"));
        // It leaves empty files out.
        let ours = data.ours(name);
        let full: Vec<_> = listed(&ours).into_iter().filter(|(_, len)| *len > 0).collect();
        assert_eq!(listed(&theirs), full);
    }
}

#[test]
fn we_read_and_verify_what_libtorrent_makes() {
    const SCRIPT: &str = "
import libtorrent, sys
name, kind = sys.argv[1:]
f = libtorrent.file_storage()
libtorrent.add_files(f, name)
flags = getattr(libtorrent.create_torrent, kind) if kind else 0
t = libtorrent.create_torrent(f, 65536, flags=flags)
libtorrent.set_piece_hashes(t, '.')
open('theirs.torrent', 'wb').write(libtorrent.bencode(t.generate()))
";
    let data = Data::new();
    // What it makes by default is version 1 and 2 at once, with padding between the files.
    for kind in ["v1_only", ""] {
        for name in ["some data", "one file"] {
            let Some(_) = data.libtorrent(SCRIPT, &[name, kind]) else { return };
            assert_eq!(listed(&data.theirs(name)), listed(&data.ours(name)), "{kind}");
        }
    }
    let Some(_) = data.libtorrent(SCRIPT, &["some data", "v2_only"]) else { return };
    let error = load(&data.at("theirs.torrent")).expect_err("version 2 alone").to_string();
    let wanted = "it is a version 2 torrent; ask for a version 1 or a hybrid one";
    assert!(error.ends_with(wanted), "{error}");
}

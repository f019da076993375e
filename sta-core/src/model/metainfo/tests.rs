use bytes::Bytes;
use proptest::prelude::*;

use super::{About, Builder, Metainfo, MetainfoError};
use crate::model::address::Address;
use crate::model::bencode::{BencodeError, Flaw};
use crate::model::files::{FileKind, Files, FilesError, Link, NameFlaw, NewFile};
use crate::model::layout::LayoutError;
use crate::model::limits;

/// Bencode of a string.
fn s(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// A single-file torrent of one byte; `entries` replaces an entry of `info` by key, or takes it out by an empty text.
fn with_info(entries: &[(&str, &str)]) -> String {
    let hash = s(&"h".repeat(20));
    let mut info: std::collections::BTreeMap<&str, &str> =
        [("length", "i1e"), ("name", "1:n"), ("piece length", "i65536e"), ("pieces", &hash)].into();
    info.extend(entries.iter().copied());
    let info: String = info.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| s(k) + v).collect();
    format!("d4:infod{info}ee")
}

/// A multi-file torrent with these entries of `files`.
fn with_files(files: &str) -> String {
    with_info(&[("length", ""), ("files", &format!("l{files}e"))])
}

/// A multi-file torrent of one file of one byte with these components.
fn with_path(components: &[&str]) -> String {
    let path: String = components.iter().map(|c| s(c)).collect();
    with_files(&format!("d6:lengthi1e4:pathl{path}ee"))
}

/// A torrent with `top` before or after `info`, as its key demands.
fn with_top(before: &str, after: &str) -> String {
    let plain = with_info(&[]);
    format!("d{before}{}{after}e", &plain[1..plain.len() - 1])
}

fn flaw(at: usize, why: Flaw) -> MetainfoError {
    MetainfoError::Bencode(BencodeError { at, why })
}

fn name(path: &str, why: NameFlaw) -> MetainfoError {
    FilesError::Name { path: path.into(), why }.into()
}

fn hashes(key: &'static str, found: u64, needed: u64) -> MetainfoError {
    MetainfoError::Hashes { key, found, pieces: 1, needed }
}

#[test]
fn each_kind_of_broken_torrent_has_its_own_error() {
    use MetainfoError::{
        Files, Kind, Layout, Link, Missing, Negative, SingleAndMulti, StaVersion, Version2,
    };
    let whole = with_info(&[]);
    let negative = |key, value| Negative { key, value };
    let kind = |key, expected| Kind { key, expected };
    let piece_bytes = |bytes| Layout(LayoutError::PieceBytes(bytes));
    let max = i64::MAX;
    let two_of = |len: i64| format!("d6:lengthi{len}e4:pathl1:aeed6:lengthi{len}e4:pathl1:bee");
    let same = "d6:lengthi1e4:pathl1:aee".repeat(2);
    let nested = "d6:lengthi1e4:pathl1:aeed6:lengthi0e4:pathl1:a1:bee";
    let link = |to: &str| {
        let link = format!("d4:attr1:l6:lengthi0e4:pathl1:ae{to}e");
        with_files(&format!("{link}d6:lengthi1e4:pathl1:cee"))
    };
    let nowhere = FilesError::LinkToNothing { path: "a".into(), to: "b".into() };
    let sta = |entries: &str| with_top("", &format!("3:stad{entries}e"));
    let table = [
        ("nothing", String::new(), flaw(0, Flaw::Truncated)),
        ("truncated", whole[..whole.len() - 5].into(), flaw(58, Flaw::Truncated)),
        ("a page of HTML", "<html>".into(), flaw(0, Flaw::NoValue)),
        ("something after the end", whole.clone() + "\n", flaw(whole.len(), Flaw::Trailing)),
        ("keys out of order", "d4:infode3:agei1ee".into(), flaw(9, Flaw::UnorderedKeys)),
        ("a key twice", "d4:infode4:infodee".into(), flaw(9, Flaw::DuplicateKey)),
        ("a leading zero", with_info(&[("length", "i01e")]), flaw(17, Flaw::NotShortest)),
        ("a negative zero", with_info(&[("length", "i-0e")]), flaw(17, Flaw::NotShortest)),
        ("too deep", format!("d1:a{}", "l".repeat(99)), flaw(35, Flaw::TooDeep)),
        ("a list", "le".into(), kind("torrent", "a dictionary")),
        ("no info", "d1:ai1ee".into(), Missing("info")),
        ("info of another kind", "d4:info2:noe".into(), kind("info", "a dictionary")),
        ("no name", with_info(&[("name", "")]), Missing("info/name")),
        ("no piece length", with_info(&[("piece length", "")]), Missing("info/piece length")),
        ("no hashes", with_info(&[("pieces", "")]), Missing("info/pieces")),
        ("no length", with_info(&[("length", "")]), Missing("info/length")),
        ("both forms", with_info(&[("files", "le")]), SingleAndMulti),
        ("version 2 only", with_info(&[("pieces", ""), ("file tree", "de")]), Version2),
        ("a length as text", with_info(&[("length", "1:1")]), kind("info/length", "a number")),
        ("a negative length", with_info(&[("length", "i-1e")]), negative("info/length", -1)),
        (
            "negative piece length",
            with_info(&[("piece length", "i-9e")]),
            negative("info/piece length", -9),
        ),
        ("piece length 0", with_info(&[("piece length", "i0e")]), piece_bytes(0)),
        ("pieces too small", with_info(&[("piece length", "i16383e")]), piece_bytes(16_383)),
        ("pieces too large", with_info(&[("piece length", "i16777217e")]), piece_bytes(16_777_217)),
        (
            "pieces beyond 32 bits",
            with_info(&[("piece length", "i4294967296e")]),
            piece_bytes(1 << 32),
        ),
        (
            "too many pieces",
            with_info(&[("length", &format!("i{max}e"))]),
            Layout(LayoutError::TooManyPieces(1 << 47)),
        ),
        ("half a hash", with_info(&[("pieces", "2:hh")]), hashes("info/pieces", 2, 20)),
        (
            "a hash too many",
            with_info(&[("pieces", &s(&"h".repeat(40)))]),
            hashes("info/pieces", 40, 20),
        ),
        ("no hash for a piece", with_info(&[("pieces", "0:")]), hashes("info/pieces", 0, 20)),
        ("a name that is a number", with_info(&[("name", "i0e")]), kind("info/name", "a string")),
        ("a name that leaves", with_info(&[("name", "2:..")]), name("..", NameFlaw::Dots)),
        ("an absolute name", with_info(&[("name", "4:/etc")]), name("/etc", NameFlaw::Separator)),
        (
            "the name of incomplete content",
            with_info(&[("name", "6:a.part")]),
            name("a.part", NameFlaw::Part),
        ),
        ("an empty name", with_info(&[("name", "0:")]), name("", NameFlaw::Empty)),
        ("a path that leaves", with_path(&["a", "..", "b"]), name("a/../b", NameFlaw::Dots)),
        ("a path from the root", with_path(&["", "etc"]), name("/etc", NameFlaw::Empty)),
        ("a path of nothing", with_path(&[]), name("", NameFlaw::Empty)),
        ("a separator inside", with_path(&["a/../.."]), name("a/../..", NameFlaw::Separator)),
        ("a separator of Windows", with_path(&["..\\a"]), name("..\\a", NameFlaw::Separator)),
        ("a NUL inside", with_path(&["a\0b"]), name("a\0b", NameFlaw::Control)),
        ("a reserved name", with_path(&["a", "NUL"]), name("a/NUL", NameFlaw::Reserved)),
        ("no path", with_files("d6:lengthi1ee"), Missing("info/files/path")),
        ("no length of a file", with_files("d4:pathl1:aee"), Missing("info/files/length")),
        ("a path as text", with_files("d6:lengthi1e4:path1:ae"), kind("info/files/path", "a list")),
        ("a file as text", with_files("1:a"), kind("info/files", "a dictionary")),
        ("no files", with_files(""), Files(FilesError::NoFiles)),
        (
            "negative file",
            with_files("d6:lengthi-1e4:pathl1:aee"),
            negative("info/files/length", -1),
        ),
        ("lengths that overflow", with_files(&two_of(max)), Files(FilesError::Overflow)),
        ("a file twice", with_files(&same), Files(FilesError::Duplicate("a".into()))),
        ("a file as folder", with_files(nested), Files(FilesError::FileIsFolder("a".into()))),
        ("a link to nothing", link("12:symlink pathl1:be"), Files(nowhere)),
        ("a link that leaves", link("12:symlink pathl2:..1:ce"), name("../c", NameFlaw::Dots)),
        ("a link without target", link(""), Missing("info/files/symlink path")),
        ("a single link", with_info(&[("attr", "1:l")]), Link("n".into())),
        (
            "attributes of another kind",
            with_info(&[("attr", "i1e")]),
            kind("info/attr", "a string"),
        ),
        ("a comment of another kind", with_top("7:commenti1e", ""), kind("comment", "a string")),
        ("a tier as text", with_top("13:announce-listl1:ae", ""), kind("announce-list", "a list")),
        ("sta without version", sta("6:blake30:"), Missing("sta/version")),
        ("sta of the future", sta("7:versioni2e"), StaVersion(2)),
        (
            "BLAKE3 too short",
            sta(&format!("6:blake3{}7:versioni1e", s(&"b".repeat(31)))),
            hashes("sta/blake3", 31, 32),
        ),
        (
            "BLAKE3 of two pieces",
            sta(&format!("6:blake3{}7:versioni1e", s(&"b".repeat(64)))),
            hashes("sta/blake3", 64, 32),
        ),
    ];
    for (what, torrent, error) in table {
        assert_eq!(Metainfo::parse(torrent), Err(error), "{what}");
    }
    let not_utf8 = with_info(&[]).replace("1:n", "1:\u{1}").into_bytes();
    let not_utf8: Vec<u8> = not_utf8.iter().map(|&b| if b == 1 { 0xff } else { b }).collect();
    assert_eq!(Metainfo::parse(not_utf8), Err(kind("info/name", "text in UTF-8")));
    let huge = Bytes::from(vec![0; limits::TORRENT_BYTES_MAX + 1]);
    let error = Metainfo::parse(huge).expect_err("too large");
    assert_eq!(error, MetainfoError::TooLarge(limits::TORRENT_BYTES_MAX as u64 + 1));
}

#[test]
fn an_error_names_the_reason_and_what_to_do() {
    let table = [
        (
            with_info(&[("pieces", "2:hh")]),
            "its \"info/pieces\" has 2 bytes, not the 20 that its number of pieces (1) needs; get the .torrent file again",
        ),
        (
            with_path(&["..", "a"]),
            "the name \"../a\" is refused: it leaves its folder by \".\" or \"..\"; have the torrent made anew",
        ),
        (
            with_info(&[("piece length", "i0e")]),
            "a piece of 0 bytes is outside 16384 to 16777216; have the torrent made anew",
        ),
        ("d".into(), "not canonical bencode: byte 1: the data ends in the middle of a value"),
    ];
    for (torrent, start) in table {
        let error = Metainfo::parse(torrent).expect_err("broken").to_string();
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn the_info_hash_covers_info_and_nothing_else() {
    let hash = |torrent: String| Metainfo::parse(torrent).expect("whole").info_hash().to_string();
    let plain = hash(with_info(&[]));
    // From `sha1sum` over the bytes of `info`.
    assert_eq!(plain, "70923ec783e6635a883c2e74b8a59dd240ee090a");
    let sta = format!("3:stad6:blake3{}7:versioni1ee", s(&"b".repeat(32)));
    assert_eq!(hash(with_top("8:announce9:sta://h:17:comment2:hi", &sta)), plain);
    assert_ne!(hash(with_info(&[("unknown", "le")])), plain, "what is not known counts too");
}

#[test]
fn trackers_that_speak_sta_are_picked_and_all_are_shown() {
    let read = |before: &str| Metainfo::parse(with_top(before, ""));
    let table = [
        ("", vec![], 0),
        ("8:announce0:", vec![], 0),
        ("8:announce9:sta://h:1", vec!["h:1"], 1),
        ("8:announce9:http://h/", vec![], 1),
        ("13:announce-listll9:sta://h:19:sta://h:2el9:sta://h:1ee", vec!["h:1", "h:2"], 3),
        ("8:announce9:sta://h:313:announce-listll9:http://h/ee", vec!["h:3"], 2),
        ("8:announce9:sta://h:313:announce-listll9:sta://h:3ee", vec!["h:3"], 1),
        ("8:announce9:http://g/13:announce-listll9:sta://h:3ee", vec!["h:3"], 1),
    ];
    for (before, trackers, shown) in table {
        let torrent = read(before).expect("whole");
        let found: Vec<_> = torrent.trackers().iter().map(Address::to_string).collect();
        assert_eq!(
            (found, torrent.announce().iter().flatten().count()),
            (trackers.iter().map(ToString::to_string).collect(), shown),
            "{before}"
        );
    }
    assert!(matches!(read("8:announce8:sta://h:"), Err(MetainfoError::Tracker(_))));
    let many: String =
        (1..=limits::TRACKERS_MAX + 1).map(|port| s(&format!("sta://h:{port}"))).collect();
    assert_eq!(read(&format!("13:announce-listll{many}ee")), Err(MetainfoError::TooManyTrackers));
}

#[test]
fn empty_content_has_no_pieces() {
    let torrent =
        Metainfo::parse(with_info(&[("length", "i0e"), ("pieces", "0:")])).expect("legal");
    assert_eq!((torrent.layout().pieces(), torrent.files().total()), (0, 0));
    let folder = with_files("d6:lengthi0e4:pathl1:aee").replace(&s(&"h".repeat(20)), "0:");
    assert_eq!(Metainfo::parse(folder).expect("legal").files().as_slice().len(), 1);
}

#[test]
fn attributes_say_what_files_are_for() {
    let kinds = |torrent: &str| {
        let torrent = Metainfo::parse(torrent.to_owned()).expect("legal");
        torrent.files().as_slice().iter().map(|file| file.kind).collect::<Vec<_>>()
    };
    let (plain, executable) = (FileKind::Plain, FileKind::Executable);
    assert_eq!(kinds(&with_info(&[("attr", "2:hx")])), [executable]);
    assert_eq!(kinds(&with_info(&[("attr", "1:h")])), [plain]);
    assert_eq!(
        kinds(&with_info(&[("attr", "1:p")])),
        [plain],
        "it would be complete without a byte"
    );
    let file = |attr: &str, name| format!("d4:attr{}6:lengthi0e4:pathl1:{name}ee", s(attr));
    let files = ["x", "", "px", "?x"].iter().zip("abcd".chars()).map(|(attr, n)| file(attr, n));
    let files = with_files(&files.collect::<String>()).replace(&s(&"h".repeat(20)), "0:");
    assert_eq!(kinds(&files), [executable, plain, FileKind::Padding, executable]);
}

/// Anything that can be built.
fn builder() -> impl Strategy<Value = Builder> {
    let kinds = [FileKind::Plain, FileKind::Executable, FileKind::Padding];
    let file = (0u64..200_000, prop::sample::select(kinds.to_vec()));
    (prop::collection::vec(file, 1..6), any::<[bool; 5]>(), 14u32..18, 0u16..4).prop_map(
        |(files, [folder, blake3, private, comment, date], power, trackers)| {
            let listed = files.iter().enumerate().map(|(n, &(len, kind))| {
                Ok::<_, FilesError>(NewFile { path: format!("d{}/файл {n}", n % 2), len, kind })
            });
            let link = |path: &str| Link { path: path.into(), to: "d0".into() };
            let leads_somewhere = folder && files[0].1 != FileKind::Padding;
            let links = if leads_somewhere { vec![link("l"), link("d0/k")] } else { vec![] };
            let files = if folder {
                Files::folder("a folder".into(), listed)
            } else {
                let (len, kind) = files[0];
                let kind = if kind == FileKind::Padding { FileKind::Plain } else { kind };
                Files::single("a file".into(), len, kind)
            };
            let files = files.expect("safe").with_links(links).expect("there is a file in it");
            let pieces = files.total().div_ceil(1 << power) as usize;
            let about = About {
                comment: comment.then(|| "it's \u{1b} fine".into()),
                created_by: comment.then(|| "sta".into()),
                creation_date: date.then_some(1_700_000_000),
                private,
            };
            Builder {
                files,
                piece_bytes: 1 << power,
                sha1: Bytes::from(vec![7; pieces * 20]),
                blake3: blake3.then(|| Bytes::from(vec![9; pieces * 32])),
                trackers: (0..trackers)
                    .map(|n| Address { host: "::1".into(), port: n + 1 })
                    .collect(),
                about,
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_built_is_what_is_read(builder in builder()) {
        let torrent = builder.build().expect("it fits");
        prop_assert_eq!(torrent.files(), &builder.files);
        prop_assert_eq!(torrent.trackers(), &builder.trackers[..]);
        prop_assert_eq!(torrent.about(), &builder.about);
        prop_assert_eq!(torrent.layout().piece_bytes(), builder.piece_bytes);
        prop_assert_eq!(torrent.hashes().has_blake3(), builder.blake3.is_some());
        let plain = Builder { blake3: None, trackers: vec![], ..builder };
        prop_assert_eq!(plain.build().expect("it fits").info_hash(), torrent.info_hash());
    }

    /// A changed byte is refused, or changes the info-hash, or lies outside of `info`.
    #[test]
    fn no_byte_of_info_changes_unseen(builder in builder(), at in any::<prop::sample::Index>(), to: u8) {
        let torrent = builder.build().expect("it fits");
        let mut bytes = torrent.bytes().to_vec();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        if let Ok(changed) = Metainfo::parse(bytes) {
            let same_info = changed.info_bytes() == torrent.info_bytes();
            prop_assert_eq!(same_info, changed.info_hash() == torrent.info_hash());
        }
    }

    #[test]
    fn a_torrent_cut_short_is_refused(builder in builder(), at in any::<prop::sample::Index>()) {
        let bytes = builder.build().expect("it fits").bytes().clone();
        let cut = at.index(bytes.len());
        prop_assert!(matches!(Metainfo::parse(bytes.slice(..cut)), Err(MetainfoError::Bencode(_))));
    }
}

use proptest::prelude::*;

use super::{
    Caution, FileKind, FileSpan, Files, FilesError, Link, NameFlaw, NewFile, check_component,
};
use crate::model::limits;

fn folder(files: &[(&str, u64)]) -> Result<Files, FilesError> {
    let new =
        |&(path, len): &(&str, u64)| NewFile { path: path.to_owned(), len, kind: FileKind::Plain };
    Files::folder("root".into(), files.iter().map(|file| Ok(new(file))))
}

fn named(paths: &[&str]) -> Result<Files, FilesError> {
    folder(&paths.iter().map(|path| (*path, 1)).collect::<Vec<_>>())
}

#[test]
fn components_that_could_lead_elsewhere_are_refused() {
    let long = "x".repeat(256);
    let table = [
        ("", NameFlaw::Empty),
        (".", NameFlaw::Dots),
        ("..", NameFlaw::Dots),
        ("/", NameFlaw::Separator),
        ("/etc", NameFlaw::Separator),
        ("a/b", NameFlaw::Separator),
        ("..\\up", NameFlaw::Separator),
        ("C:", NameFlaw::Separator),
        ("c:up", NameFlaw::Separator),
        ("nul\0", NameFlaw::Control),
        ("line\nbreak", NameFlaw::Control),
        ("\u{1b}[2J", NameFlaw::Control),
        ("\u{7f}", NameFlaw::Control),
        ("\u{85}", NameFlaw::Control),
        ("CON", NameFlaw::Reserved),
        ("con", NameFlaw::Reserved),
        ("Nul.", NameFlaw::Reserved),
        ("aux ", NameFlaw::Reserved),
        ("PRN. .", NameFlaw::Reserved),
        ("COM1", NameFlaw::Reserved),
        ("lpt9", NameFlaw::Reserved),
        ("COM¹", NameFlaw::Reserved),
        ("conin$", NameFlaw::Reserved),
        (&long, NameFlaw::TooLong(255)),
    ];
    for (name, why) in table {
        assert_eq!(check_component(name), Err(why), "{name:?}");
        let single =
            Files::single(name.into(), 1, FileKind::Plain).expect_err("refused as a file's name");
        assert!(matches!(single, FilesError::Name { .. }), "{name:?}: {single}");
    }
    let fine = [
        "a",
        "...",
        "..a",
        ".hidden",
        "com",
        "COM0",
        "COM10",
        "console",
        "nul.txt",
        "12:30",
        "日本語",
        "a b",
        "🎵",
        "end.",
    ];
    for name in fine {
        assert_eq!(check_component(name), Ok(()), "{name:?}");
    }
    assert_eq!(check_component(&"x".repeat(255)), Ok(()));
}

#[test]
fn a_torrents_name_leaves_room_for_that_of_incomplete_content() {
    let table = [
        ("x".repeat(250), None),
        ("x".repeat(251), Some(NameFlaw::TooLong(250))),
        ("a.part".into(), Some(NameFlaw::Part)),
        ("a.PART".into(), Some(NameFlaw::Part)),
        ("a.part.gz".into(), None),
    ];
    for (name, flaw) in table {
        let error = flaw.map(|why| FilesError::Name { path: name.clone(), why });
        assert_eq!(Files::single(name.clone(), 1, FileKind::Plain).err(), error, "{name}");
        let listed = [Ok(NewFile { path: "a.part".into(), len: 1, kind: FileKind::Plain })];
        assert_eq!(Files::folder(name.clone(), listed).err(), error, "{name}");
    }
}

#[test]
fn files_that_exclude_each_other_are_refused() {
    let duplicate = |path: &str| FilesError::Duplicate(path.into());
    let is_folder = |path: &str| FilesError::FileIsFolder(path.into());
    let table = [
        (vec!["a", "b", "a"], duplicate("a")),
        (vec!["a/b", "a/c", "a/b"], duplicate("a/b")),
        (vec!["a", "a/b"], is_folder("a")),
        (vec!["a/b/c", "a-b", "a", "a.b"], is_folder("a")),
        (vec!["x/a/b/c", "x/a/b"], is_folder("x/a/b")),
    ];
    for (paths, error) in table {
        assert_eq!(named(&paths), Err(error), "{paths:?}");
    }
    for paths in [vec!["a", "b/a", "A"], vec!["a.part", "a"], vec!["a", "ab", "a.b/c"]] {
        assert!(named(&paths).is_ok(), "{paths:?}");
    }
}

#[test]
fn links_lead_to_what_the_torrent_has_and_nothing_lies_behind_them() {
    let with = |links: &[(&str, &str)]| {
        let link = |&(path, to): &(&str, &str)| Link { path: path.into(), to: to.into() };
        named(&["a", "b/c/d"]).expect("safe").with_links(links.iter().map(link).collect())
    };
    let fine: [&[(&str, &str)]; 5] = [
        &[("l", "a")],
        &[("b/l", "b"), ("b/c/l", "a")],
        &[("b/c/l", "b/c/d"), ("m", "b/c/l")],
        &[("new/folder/l", "b/c")],
        &[("l", "m"), ("m", "l")],
    ];
    for links in fine {
        assert_eq!(with(links).expect("safe").links().len(), links.len());
    }
    let nothing =
        |path: &str, to: &str| FilesError::LinkToNothing { path: path.into(), to: to.into() };
    assert_eq!(with(&[("l", "b/d")]), Err(nothing("l", "b/d")));
    assert_eq!(with(&[("m", "l/c"), ("l", "b")]), Err(nothing("m", "l/c")), "through another");
    assert_eq!(with(&[("a", "b")]), Err(FilesError::Duplicate("a".into())));
    assert_eq!(with(&[("l", "a"), ("l", "b")]), Err(FilesError::Duplicate("l".into())));
    assert_eq!(with(&[("b", "a")]), Err(FilesError::FileIsFolder("b".into())), "a file behind it");
    assert_eq!(with(&[("a/l", "b")]), Err(FilesError::FileIsFolder("a".into())));
    assert_eq!(with(&[("l", "a"), ("l/m", "a")]), Err(FilesError::FileIsFolder("l".into())));
    for odd in ["..", "../a", "/a", "", ".", "b/../a"] {
        assert!(matches!(with(&[("l", odd)]), Err(FilesError::Name { .. })), "{odd}");
        assert!(matches!(with(&[(odd, "a")]), Err(FilesError::Name { .. })), "{odd}");
    }
}

#[test]
fn a_link_says_the_way_from_its_folder() {
    for (path, to, text) in [
        ("l", "a", "a"),
        ("l", "b/c", "b/c"),
        ("b/l", "a", "../a"),
        ("b/l", "b/c", "c"),
        ("b/c/l", "b", ".."),
        ("b/c/l", "b/c", "."),
        ("b/c/d/l", "b/x/y", "../../x/y"),
        ("bc/l", "b/c", "../b/c"),
    ] {
        let link = Link { path: path.into(), to: to.into() };
        assert_eq!(link.text(), text, "{path} to {to}");
        assert_eq!(Link::target(path, text).as_deref(), Some(to), "{path} says {text}");
    }
    for (path, text) in [("l", "/a"), ("l", "../a"), ("b/l", ".."), ("b/l", "../../b"), ("l", "")] {
        assert_eq!(Link::target(path, text), None, "{path} says {text}");
    }
}

#[test]
fn depth_number_and_size_are_bounded() {
    let deep = |depth: usize| vec!["d"; depth].join("/");
    assert!(named(&[&deep(limits::PATH_DEPTH_MAX)]).is_ok());
    let error = named(&[&deep(limits::PATH_DEPTH_MAX + 1)]).expect_err("too deep");
    assert!(matches!(error, FilesError::Name { why: NameFlaw::TooDeep, .. }), "{error}");
    assert_eq!(named(&[]), Err(FilesError::NoFiles));
    assert_eq!(folder(&[("a", i64::MAX as u64), ("b", 1)]), Err(FilesError::Overflow));
    assert_eq!(folder(&[("a", u64::MAX)]), Err(FilesError::Overflow));
    let endless =
        (0_u64..).map(|n| Ok(NewFile { path: n.to_string(), len: 0, kind: FileKind::Plain }));
    assert_eq!(Files::folder("root".into(), endless), Err(FilesError::TooManyFiles));
}

#[test]
fn what_is_trouble_only_elsewhere_is_a_caution() {
    let files = named(&["a/Make", "a/make", "aux.c", "12:30", "fine"]).expect("plain names here");
    let windows = |path: &str| Caution::Windows(path.into());
    let found = files.cautions(9);
    let case = Caution::Case("a/Make".into(), "a/make".into());
    assert_eq!(found, [windows("aux.c"), windows("12:30"), case]);
    assert_eq!(files.cautions(1).len(), 1);
}

#[test]
fn padding_may_repeat_and_takes_part_in_offsets() {
    let file =
        |path: &str, len, kind| Ok::<_, FilesError>(NewFile { path: path.into(), len, kind });
    let pad = || file(".pad/6", 6, FileKind::Padding);
    let plain = |path, len| file(path, len, FileKind::Plain);
    let listed = [plain("a", 10), pad(), plain("b", 10), pad(), plain("c", 0)];
    let files = Files::folder("root".into(), listed).expect("pads may repeat");
    let offsets: Vec<_> = files.as_slice().iter().map(|file| file.offset).collect();
    assert_eq!((offsets, files.total()), (vec![0, 10, 16, 26, 32], 32));
}

#[test]
fn paths_on_disk_start_with_the_name() {
    assert_eq!(named(&["a", "b/c"]).expect("safe").disk_path(1), std::path::Path::new("root/b/c"));
    assert_eq!(
        Files::single("f".into(), 0, FileKind::Plain).expect("safe").disk_path(0),
        std::path::Path::new("f")
    );
}

proptest! {
    /// The model: a list that says of each byte which file it belongs to, and where in it.
    #[test]
    fn spans_are_the_bytes_they_stand_for(
        lens in prop::collection::vec(0u64..6, 1..40),
        offset in 0u64..120,
        len in prop_oneof![0u64..120, Just(u64::MAX)],
    ) {
        let names: Vec<_> = (0..lens.len()).map(|n| n.to_string()).collect();
        let listed: Vec<_> = names.iter().map(String::as_str).zip(lens.iter().copied()).collect();
        let files = folder(&listed).expect("safe");
        let bytes = lens.iter().enumerate().flat_map(|(file, &len)| (0..len).map(move |at| (file, at)));
        let wanted: Vec<_> = bytes.skip(offset as usize).take(usize::try_from(len).unwrap_or(usize::MAX)).collect();
        let spans: Vec<FileSpan> = files.spans(offset, len).collect();
        prop_assert!(spans.iter().all(|span| span.len > 0));
        let found: Vec<_> = spans
            .iter()
            .flat_map(|span| (span.offset..span.offset + span.len).map(|at| (span.file, at)))
            .collect();
        prop_assert_eq!(found, wanted);
    }
}

//! The layers of `sta-core` import one way. This reads the sources and says who breaks it: text is compared, so that a path which
//! leaves its layer has to be written out, `crate::LAYER::…`.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, each importing only from itself and from those before it.
const LAYERS: [&str; 5] = ["model", "wire", "engine", "io", "run"];

/// Words that have no place in a layer, and what to do instead.
const BANNED: [(&[&str], &[&str], &str); 3] = [
    (
        &["model", "wire", "engine"],
        &[
            "async ",
            ".await",
            "tokio::",
            "std::net::Tcp",
            "std::net::Udp",
            "std::fs",
            "std::thread",
        ],
        "pure layers neither wait nor touch the world: take an input and give an output",
    ),
    (&["io"], &["tokio::spawn", "thread::spawn", "JoinSet"], "spawning belongs in run/"),
    (&["model", "wire", "engine", "io", "run"], &["turmoil"], "only sta-sim knows it"),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).expect("the sources are there");
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

/// Every line of code of a layer, tests left out, with the place it stands in.
fn code(layer: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root.join(layer), &mut files);
    files.sort();
    assert!(!files.is_empty(), "layer {layer} has no file");
    let mut lines = Vec::new();
    let test = |file: &Path| file.components().any(|part| part.as_os_str() == "tests");
    for file in files.iter().filter(|file| !file.ends_with("tests.rs") && !test(file)) {
        let text = fs::read_to_string(file).expect("a readable source");
        let shown = file.strip_prefix(&root).expect("below src").display().to_string();
        for (number, line) in without_tests(&text) {
            if !line.trim_start().starts_with("//") {
                lines.push((format!("{shown}:{number}"), line.to_owned()));
            }
        }
    }
    lines
}

/// The numbered lines of a file that `rustfmt` has been over, but for items that are compiled for tests only: each reaches to its
/// semicolon, or to the brace below its first line.
fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let mut numbered = (1..).zip(text.lines());
    let mut kept = Vec::new();
    while let Some((number, line)) = numbered.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push((number, line));
        } else if let Some((_, first)) = numbered.next()
            && !first.ends_with([';', '}'])
        {
            let indent = first.len() - first.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            numbered.find(|(_, line)| *line == end);
        }
    }
    kept
}

#[test]
fn tests_alone_are_left_out() {
    let text = "#[cfg(test)]\nmod tests;\nuse a;\n#[cfg(test)]\nmod more {\n    fn f() {\n    }\n}\nuse b;";
    assert_eq!(without_tests(text), [(3, "use a;"), (9, "use b;")]);
}

/// The same with each `use` in one line, whatever it was broken into.
fn statements(lines: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut whole: Vec<(String, String)> = Vec::new();
    for (place, line) in lines {
        match whole.last_mut().filter(|(_, last)| is_use(last) && !last.ends_with(';')) {
            Some((_, last)) => last.push_str(line.trim()),
            None => whole.push((place, line.trim().to_owned())),
        }
    }
    whole
}

fn is_use(statement: &str) -> bool {
    let visible = statement.strip_prefix("pub").map(str::trim_start);
    let open = visible.and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let bare = open.map(|(_, rest)| rest.trim_start()).or(visible).unwrap_or(statement);
    bare.starts_with("use ")
}

/// The parts of `text` behind every `word` that is not the end of a longer one.
fn behind<'a>(text: &'a str, word: &str) -> impl Iterator<Item = &'a str> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .filter(move |(at, _)| !text[..*at].ends_with(inside))
        .map(move |(at, _)| &text[at + word.len()..])
}

/// What is wrong with a statement of the layer with this number, in a module so many levels below the crate's root.
fn strays(statement: &str, level: usize, depth: usize) -> Option<String> {
    let named = |rest: &str| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
    };
    let below = |name: &str| LAYERS[..=level].contains(&name);
    for rest in behind(statement, "crate") {
        match rest.strip_prefix("::").map(named) {
            Some(name) if below(&name) => {}
            Some(name) if name.is_empty() => {
                return Some("name the layer: crate::LAYER".to_owned());
            }
            Some(name) => return Some(format!("imports from {name}")),
            None if is_use(statement) && rest.starts_with([' ', ';']) => {
                return Some("gives the crate another name".to_owned());
            }
            None => {}
        }
    }
    if is_use(statement)
        && let Some((_, inner)) = statement.split_once('{')
        && behind(inner, "super").next().is_some()
    {
        return Some("goes up inside of braces; write the path out".to_owned());
    }
    let ups = |rest: &str| 1 + rest.split("::").skip(1).take_while(|part| *part == "super").count();
    let leaves =
        behind(statement, "super").any(|rest| rest.starts_with("::") && ups(rest) >= depth);
    leaves.then(|| "leaves its layer by super; write crate::LAYER".to_owned())
}

/// How many levels below the crate's root the module of `file` is: `engine/mod.rs` is one, `engine/node.rs` two.
fn depth(file: &Path) -> usize {
    file.components().count() - usize::from(file.ends_with("mod.rs"))
}

#[test]
fn a_path_that_leaves_its_layer_is_noticed_however_it_is_written() {
    // In `engine` (number 2), two levels below the root: what is written, and whether it strays.
    let table = [
        ("use crate::model::time::Time;", false),
        ("use crate::engine::node::Node;", false),
        ("use crate::io::store::Body;", true),
        ("use crate::io;", true),
        ("pub(crate) use crate::run as shell;", true),
        ("let body = crate::io::store::Body::default();", true),
        ("use crate::iodine::Atom;", true),
        ("use crate::{io::store, model::time::Time};", true),
        ("pub use crate::{", true),
        ("use crate::*;", true),
        ("use crate as all;", true),
        ("pub(in crate::engine) fn f() {", false),
        ("pub(crate) struct S;", false),
        ("use super::super::io::store;", true),
        ("super::super::run::start();", true),
        ("use super::{super::io, Node};", true),
        ("use super::{Node, Superb};", false),
        ("use super::interface::Input;", false),
    ];
    for (statement, wrong) in table {
        assert_eq!(strays(statement, 2, 2).is_some(), wrong, "{statement}");
    }
    assert_eq!(strays("use super::super::limits;", 2, 3), None, "it is in the layer still");
    assert!(strays("use super::super::super::io;", 2, 3).is_some());
    assert!(strays("use super::io;", 2, 1).is_some());
    assert_eq!([depth(Path::new("engine/mod.rs")), depth(Path::new("engine/a/b.rs"))], [1, 3]);
}

#[test]
fn a_use_is_read_whole() {
    let lines = ["pub(super) use a::{", "    b,", "    super::c,", "};", "f();"];
    let lines = (1..).zip(lines).map(|(number, line): (u32, _)| (number.to_string(), line.into()));
    let whole = statements(lines.collect());
    let expected = [("1", "pub(super) use a::{b,super::c,};"), ("5", "f();")];
    assert_eq!(whole, expected.map(|(place, text)| (place.to_owned(), text.to_owned())));
}

#[test]
fn each_layer_imports_only_from_those_before_it() {
    let mut broken = Vec::new();
    for (level, layer) in LAYERS.iter().enumerate() {
        for (place, statement) in statements(code(layer)) {
            let file = place.rsplit_once(':').map_or(&*place, |(file, _)| file);
            if let Some(why) = strays(&statement, level, depth(Path::new(file))) {
                broken.push(format!("{place} ({layer}) {why}: {statement}"));
            }
        }
    }
    assert!(broken.is_empty(), "layers import the wrong way:\n{}", broken.join("\n"));
}

#[test]
fn words_that_have_no_place_in_a_layer() {
    let mut broken = Vec::new();
    for (layers, words, instead) in BANNED {
        for layer in layers {
            for (place, line) in code(layer) {
                if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                    broken.push(format!("{place}: `{word}` in {layer}: {instead}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_select_is_biased() {
    for layer in LAYERS {
        let lines = code(layer);
        for pair in lines.windows(2).filter(|pair| pair[0].1.contains("select!")) {
            let biased = pair[1].1.trim() == "biased;";
            assert!(biased, "{}: `select!` without `biased;` takes branches at random", pair[0].0);
        }
    }
}

#[test]
fn no_shipped_program_links_the_simulator() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    for package in ["sta-core", "sta-net-tcp", "bin"] {
        let manifest = fs::read_to_string(root.join(package).join("Cargo.toml"))
            .expect("every package has a manifest");
        let shipped = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        for word in ["turmoil", "sta-sim"] {
            assert!(!shipped.contains(word), "{package} depends on {word}");
        }
    }
}

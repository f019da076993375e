//! The layers of `sta-core` import one way. This reads the sources and says who breaks it.

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

#[test]
fn each_layer_imports_only_from_those_before_it() {
    let mut broken = Vec::new();
    for (level, layer) in LAYERS.iter().enumerate() {
        for (place, line) in code(layer) {
            for above in LAYERS.iter().skip(level + 1) {
                if line.contains(&format!("crate::{above}::")) {
                    broken.push(format!("{place} ({layer}) imports from {above}: {}", line.trim()));
                }
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

//! `docs/EVENTS.md` has every event, as it is printed.

use sta_bin::event::{ProgramEvent, ProgramRecord};
use sta_core::model::event::Record;

use crate::util::{Dir, Running};

#[test]
fn every_event_is_documented_as_it_is_printed() {
    let page = include_str!("../../../docs/EVENTS.md");
    let examples: Vec<&str> = page.split('`').filter(|text| text.starts_with("{\"at\"")).collect();
    for example in &examples {
        let again = match serde_json::from_str::<ProgramRecord>(example) {
            Ok(record) => serde_json::to_string(&record),
            Err(_) => serde_json::from_str::<Record>(example)
                .and_then(|record| serde_json::to_string(&record)),
        };
        assert_eq!(again.unwrap_or_else(|e| panic!("{example}: {e}")), *example);
    }
    let of_nodes = variants(include_str!("../../../sta-core/src/model/event.rs"), "pub enum Event");
    let of_programs = variants(include_str!("../../src/event.rs"), "pub enum ProgramEvent");
    for name in of_nodes.into_iter().chain(of_programs) {
        let printed = format!("\"event\":\"{}\"", kebab(&name));
        assert!(
            examples.iter().any(|example| example.contains(&printed)),
            "{name} is not documented"
        );
    }
}

/// The last event that was printed.
fn last(out: &str) -> ProgramRecord {
    let line = out.lines().last().expect("an event");
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// A program that reads events was left with an exit code, and prose on stderr.
#[test]
fn why_a_program_ends_is_an_event() {
    let dir = Dir::new();
    let ended = dir.run(&["seed", "none.torrent", "--json"]);
    ended.expect(2, &[], &["sta-node: none.torrent: cannot read the torrent"]);
    let ProgramRecord { event: ProgramEvent::Failed { what, why, exit, .. }, who, .. } =
        last(&ended.out)
    else {
        panic!("{}", ended.out)
    };
    assert_eq!((who.as_str(), what.as_deref(), exit), ("sta-node", Some("none.torrent"), Some(2)));
    assert!(why.starts_with("cannot read the torrent: No such file"), "{why}");
    let unknown = "\"what\":\"the command line\",\"why\":\"unexpected argument '--frob' found\"";
    dir.run(&["seed", "--json", "--frob"]).expect(2, &[unknown, "\"exit\":2}"], &["Usage"]);
    dir.run(&["seed", "--frob"]).expect(2, &[], &["Usage"]);
    let tracker = Running::start(dir.program("tracker", &["--json", "--listen", "192.0.2.1:1"]));
    tracker.end().expect(2, &["the tracker cannot listen at 192.0.2.1:1\",\"why\""], &["port 0"]);

    dir.write("file", 100_000);
    dir.run(&["maketorrent", "file", "--tracker", "sta://127.0.0.1:1"]).expect(0, &[], &[]);
    let args = ["download", "file.torrent", "-o", "out", "--peer", "127.0.0.1:1", "--json"];
    let ended = dir.run(&[&args[..], &["--give-up-after", "1s", "--node-id", "n1"]].concat());
    ended.expect(1, &["\"verified\":0,\"total\":100000"], &["nothing has come for 1s"]);
    let failed = "\"who\":\"n1\",\"event\":\"failed\",\"what\":\"file\"";
    assert!(ended.out.lines().any(|line| line.contains(failed)), "{}", ended.out);
    let progress = ended.out.lines().filter(|line| line.contains("\"progress\"")).count();
    assert_eq!(progress, 1, "nothing was new: {}", ended.out);
}

/// The names of the variants of an enum in its source.
fn variants(source: &str, of: &str) -> Vec<String> {
    let (_, body) = source.split_once(&format!("{of} {{")).expect("the enum");
    let names = body.lines().take_while(|line| *line != "}");
    let names = names.filter_map(|line| {
        line.strip_prefix("    ").filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    });
    names.map(|rest| rest.trim_end_matches([' ', '{', ',']).to_owned()).collect()
}

/// `PieceVerified` as serde writes it: `piece-verified`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

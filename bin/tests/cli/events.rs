//! `docs/EVENTS.md` has every event, as it is printed.

use sta_core::model::event::Record;

#[test]
fn every_event_is_documented_as_it_is_printed() {
    let page = include_str!("../../../docs/EVENTS.md");
    let examples: Vec<&str> = page.split('`').filter(|text| text.starts_with("{\"at\"")).collect();
    for example in &examples {
        let record: Record =
            serde_json::from_str(example).unwrap_or_else(|e| panic!("{example}: {e}"));
        assert_eq!(serde_json::to_string(&record).expect("JSON"), *example);
    }
    for name in variants(include_str!("../../../sta-core/src/model/event.rs")) {
        let printed = format!("\"event\":\"{}\"", kebab(&name));
        assert!(
            examples.iter().any(|example| example.contains(&printed)),
            "{name} is not documented"
        );
    }
}

/// The names of the variants of `Event` in its source.
fn variants(source: &str) -> Vec<String> {
    let (_, body) = source.split_once("pub enum Event {").expect("the enum");
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

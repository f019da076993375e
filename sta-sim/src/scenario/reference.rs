//! What a scenario file can say, made from the types of `schema.rs`: the JSON Schema for editors, the tables of
//! `docs/SCENARIOS.md`, and the annotated file that `sta-sim explain` prints.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::Value;

use super::knobs;
use super::schema::{CheckName, File, RoleName, SCHEMA, VerbName, WorldName};

/// One table of a file.
struct Section {
    /// `[clock]`, `[[group]]`; empty for the keys at the top.
    header: String,
    about: String,
    keys: Vec<Key>,
}

/// One key.
struct Key {
    name: String,
    /// What it holds: a unit, or a type.
    kind: String,
    /// What it is when it is not written; `None` if it must be written.
    usual: Option<String>,
    about: String,
}

/// A word that a key can have, and what it means.
struct Word {
    name: String,
    about: String,
}

/// The JSON Schema of scenario files, indented.
#[must_use]
pub fn json_schema() -> String {
    let mut schema = schema().clone();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), format!("STA scenario, schema {SCHEMA}").into());
    }
    format!("{schema:#}\n")
}

/// Made once: every run of a matrix may ask what its keys hold.
fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(File).into());
    &SCHEMA
}

/// What the last of these keys holds, of which each but the first is a key of the table before it: `duration`, `number`,
/// `tables`. `None` where there is no such key.
#[must_use]
pub fn holds(keys: &[&str]) -> Option<String> {
    let root = schema();
    let (last, tables) = keys.split_last()?;
    let mut at = root;
    for key in tables {
        at = table(root, at.get("properties")?.get(*key)?)?.0;
    }
    let property = at.get("properties")?.get(*last)?;
    Some(key(root, at, last, property).kind)
}

/// Every key as it would stand in a file, with its meaning as a comment.
#[must_use]
pub fn annotated() -> String {
    let mut out = String::from(
        "# Every key of a scenario file. \"(usual: X)\" is what a key is when it is not written.\n",
    );
    for section in sections(schema()) {
        let _ = writeln!(out, "\n# {}", section.about);
        if !section.header.is_empty() {
            let _ = writeln!(out, "{}", section.header);
        }
        for key in &section.keys {
            let usual = key.usual.as_ref().map(|usual| format!(" (usual: {usual})"));
            let _ = writeln!(out, "{} = {}", key.name, key.kind);
            let _ = writeln!(out, "    # {}{}", key.about, usual.unwrap_or_default());
        }
    }
    for (title, words) in vocabularies() {
        let _ = writeln!(out, "\n# {title}");
        for word in words {
            let _ = writeln!(out, "# {:17}{}", word.name, word.about);
        }
    }
    let _ = writeln!(out, "\n# Knobs of `engine`, with what they usually are");
    for (name, usual) in knobs::all() {
        let _ = writeln!(out, "# {:27}{}", format!("{name} = {usual}"), meaning(&name));
    }
    out
}

/// The generated part of `docs/SCENARIOS.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    for section in sections(schema()) {
        let title = if section.header.is_empty() {
            "At the top".to_owned()
        } else {
            format!("`{}`", section.header)
        };
        let _ = writeln!(out, "### {title}\n\n{}\n", cell(&section.about));
        let _ = writeln!(out, "| key | holds | usual | means |\n| --- | --- | --- | --- |");
        for key in &section.keys {
            let usual = key.usual.as_ref().map_or("must be written", String::as_str);
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} |",
                key.name,
                cell(&key.kind),
                cell(usual),
                cell(&key.about)
            );
        }
        out.push('\n');
    }
    for (title, words) in vocabularies() {
        let _ = writeln!(out, "### {title}\n\n| word | means |\n| --- | --- |");
        for word in words {
            let _ = writeln!(out, "| `{}` | {} |", word.name, cell(&word.about));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "### Knobs of `engine`\n\n| knob | usual | means |\n| --- | --- | --- |");
    for (name, usual) in knobs::all() {
        let _ = writeln!(out, "| `{name}` | `{usual}` | {} |", cell(&meaning(&name)));
    }
    out
}

fn meaning(knob: &str) -> String {
    knobs::meaning(knob).unwrap_or_default()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// In which order the tables of a file are told. What is not named comes last.
const ORDER: [&str; 10] =
    ["clock", "network", "site", "group", "host", "content", "event", "fault", "expect", "capsule"];

/// The tables of a file.
fn sections(root: &Value) -> Vec<Section> {
    let (tables, keys): (Vec<_>, Vec<_>) =
        properties(root).partition(|(_, property)| table(root, property).is_some());
    let keys = keys.into_iter().map(|(name, property)| key(root, root, name, property)).collect();
    let mut all = vec![Section { header: String::new(), about: about(root), keys }];
    let mut tables: Vec<_> = tables;
    tables.sort_by_key(|(name, _)| {
        ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len())
    });
    for (name, property) in tables {
        let Some((definition, many)) = table(root, property) else { continue };
        let header = if many { format!("[[{name}]]") } else { format!("[{name}]") };
        let optional = if is_required(root, name) { "" } else { "May be left out." };
        let needs = property.get("needs").and_then(Value::as_str).unwrap_or(optional);
        let about = format!("{} {needs}", about(property)).trim_end().to_owned();
        all.push(section(root, header, about, definition));
        for (inner, property) in properties(definition) {
            // `with` is the same for events and for faults.
            let told = inner == "with" && name != "event";
            if let Some((definition, many)) = table(root, property).filter(|_| !told) {
                let inline = if many { "[{ ... }]" } else { "{ ... }" };
                let header = format!("{inner} = {inline} in {name}");
                all.push(section(root, header, self::about(definition), definition));
            }
        }
    }
    all
}

fn section(root: &Value, header: String, about: String, definition: &Value) -> Section {
    let keys = properties(definition).map(|(name, property)| key(root, definition, name, property));
    Section { header, about, keys: keys.collect() }
}

fn key(root: &Value, parent: &Value, name: &str, property: &Value) -> Key {
    let text = |key: &str| property.get(key).and_then(Value::as_str).map(str::to_owned);
    let optional = !is_required(parent, name);
    Key {
        name: name.to_owned(),
        kind: text("unit").unwrap_or_else(|| kind(root, property)),
        usual: text("usual").or_else(|| optional.then(|| "nothing".to_owned())),
        about: about(property),
    }
}

/// What a key holds, where no unit says it.
fn kind(root: &Value, property: &Value) -> String {
    if let Some((_, many)) = table(root, property) {
        return if many { "tables" } else { "table" }.to_owned();
    }
    let known = match property.get("type") {
        Some(Value::String(one)) => one.as_str(),
        Some(Value::Array(several)) => several.first().and_then(Value::as_str).unwrap_or(""),
        _ => "word",
    };
    let kind = match known {
        "string" => "text",
        "integer" => "number",
        "array" => "list",
        "object" => "table",
        other => other,
    };
    kind.to_owned()
}

/// The table that a key holds, and whether it holds many.
fn table<'a>(root: &'a Value, property: &'a Value) -> Option<(&'a Value, bool)> {
    let named = |value: &'a Value| {
        let name = value.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
        root.get("$defs")?.get(name).filter(|definition| definition.get("properties").is_some())
    };
    let choice = || property.get("anyOf")?.as_array()?.iter().find_map(named);
    match named(property).or_else(choice) {
        Some(definition) => Some((definition, false)),
        None => property.get("items").and_then(named).map(|definition| (definition, true)),
    }
}

/// The keys of a table: those that must be written first, else by name.
fn properties(definition: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = definition.get("properties").and_then(Value::as_object);
    let mut all: Vec<(&str, &Value)> =
        all.into_iter().flatten().map(|(name, property)| (name.as_str(), property)).collect();
    all.sort_by_key(|(name, _)| !is_required(definition, name));
    all.into_iter()
}

fn is_required(definition: &Value, name: &str) -> bool {
    let required = definition.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|required| required == name))
}

fn about(value: &Value) -> String {
    let text = value.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The words that keys can have.
fn vocabularies() -> Vec<(&'static str, Vec<Word>)> {
    let words = |schema: Value| {
        let choices = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
        let word = |choice: &Value| Word {
            name: choice.get("const").and_then(Value::as_str).unwrap_or_default().to_owned(),
            about: about(choice),
        };
        choices.iter().map(word).collect()
    };
    vec![
        ("Worlds", words(schemars::schema_for!(WorldName).into())),
        ("Roles", words(schemars::schema_for!(RoleName).into())),
        ("Verbs: what `do` can be", words(schemars::schema_for!(VerbName).into())),
        (
            "Checks: what `that` and `must-fail` can be",
            words(schemars::schema_for!(CheckName).into()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::{annotated, json_schema, markdown};

    #[test]
    fn every_key_and_word_is_explained() {
        for text in [annotated(), markdown()] {
            for word in
                ["deadline", "at-once", "torn-write", "fairness", "request-timeout", "slowloris"]
            {
                assert!(text.contains(word), "{word}");
            }
            assert!(!text.contains("|  |"), "a key without a meaning: {text}");
        }
        assert!(json_schema().contains("\"additionalProperties\": false"));
    }
}

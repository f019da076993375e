//! Prints settings as a TOML file, each key under what it means: the documentation of its field.

use std::fmt::Write as _;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::Settings;

/// Comments are wrapped at this column.
const COMMENT_WIDTH: usize = 100;

pub(super) fn to_toml(settings: &Settings) -> String {
    let table = Table::try_from(settings).expect("settings are a table");
    let schema = schemars::schema_for!(Settings).to_value();
    let mut out = String::new();
    section(&mut out, &table, &schema, &schema);
    for (name, value) in &table {
        if let Value::Table(inner) = value {
            let property = property(&schema, &schema, name);
            out.push('\n');
            comment(&mut out, &description(property));
            let _ = writeln!(out, "[{name}]");
            section(&mut out, inner, resolve(&schema, property), &schema);
        }
    }
    out
}

/// The keys of `table` that are values, each under its comment.
fn section(out: &mut String, table: &Table, schema: &Json, root: &Json) {
    for (name, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        comment(out, &description(property(root, schema, name)));
        let _ = writeln!(out, "{name} = {value}");
    }
}

fn property<'s>(root: &'s Json, schema: &'s Json, name: &str) -> &'s Json {
    &resolve(root, schema)["properties"][name]
}

/// What a `$ref` stands for; the schema itself where it is none.
fn resolve<'s>(root: &'s Json, schema: &'s Json) -> &'s Json {
    let target =
        schema["$ref"].as_str().and_then(|path| root.pointer(path.trim_start_matches('#')));
    target.unwrap_or(schema)
}

fn description(schema: &Json) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > COMMENT_WIDTH {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}

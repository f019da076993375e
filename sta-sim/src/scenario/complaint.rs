//! What serde and the TOML reader complain of, as something to act on: what the key holds, what was written, what to
//! write instead.

use super::nearest::nearest;
use super::reference;

/// What was written and what is known there, of a message such as `unknown field `coutn`, expected one of ...`.
pub(super) fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let is_one = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let typed = quoted.next().filter(|_| is_one)?;
    Some((typed, quoted.collect()))
}

/// The key that is not there, of a message such as `missing field `name``.
pub(super) fn missing(message: &str) -> Option<&str> {
    Some(message.strip_prefix("missing field ")?.trim_matches('`'))
}

/// A message of serde's about the value of the last of `keys`, which lead there from the top of a file.
pub(super) fn in_our_words(message: &str, keys: &[&str]) -> String {
    if let Some((typed, known)) = unknown(message) {
        let what = if message.starts_with("unknown field") { "key" } else { "word" };
        return match nearest(typed, known.iter().copied()) {
            Some(near) => format!("unknown {what} {typed:?}; did you mean {near:?}?"),
            None => format!("unknown {what} {typed:?}; known here: {}", known.join(", ")),
        };
    }
    if let Some(most) = too_large(message) {
        return format!(
            "is too large: {most} is the most that can stand here; write a smaller number"
        );
    }
    if let Some(field) = missing(message) {
        let path = [keys, &[field]].concat();
        let write = what_to_write(&path, "").map(|write| format!("; write {write}"));
        return format!("the key {field:?} is missing{}", write.unwrap_or_default());
    }
    let rest = ["invalid type: ", "invalid value: "].iter().find_map(|s| message.strip_prefix(s));
    let said = rest.and_then(|rest| of_another_kind(rest, keys));
    said.unwrap_or_else(|| message.to_owned())
}

/// The most that a number can be, of a message about one that is more, such as
/// `invalid value: integer `5000000000`, expected u32`.
fn too_large(message: &str) -> Option<u64> {
    const MOST_OF_TOML: u64 = i64::MAX as u64;
    if message.contains("number overflowed") || message == "u64 value was too large" {
        return Some(MOST_OF_TOML);
    }
    let (got, expected) = message.split_once(", expected ")?;
    let number = got.split_once("integer `")?.1.split('`').next()?;
    let most = match expected {
        "u32" => u32::MAX.into(),
        "u64" | "any valid TOML value" => MOST_OF_TOML,
        _ => return None,
    };
    let is_digits = number.chars().all(|c| c.is_ascii_digit());
    let fits = number.parse::<u64>().is_ok_and(|number| number <= most);
    (is_digits && !fits).then_some(most)
}

/// `string "6", expected u32`: a value of the wrong kind. `None` if nothing is known of the key.
fn of_another_kind(rest: &str, keys: &[&str]) -> Option<String> {
    let (got, expected) = rest.split_once(", expected ")?;
    let (kind, value) = got.split_once([' ', '`']).unwrap_or((got, ""));
    let kind = if got.starts_with("floating point") { "floating point" } else { kind };
    let value = value.trim_start_matches("point ").trim_matches('`').trim_end_matches("` as i128");
    let holds = reference::holds(keys);
    let shown = match kind {
        // A table takes a list for its values in order, and the first of them is a table.
        "map" if holds.as_deref() == Some("table") => "a list".to_owned(),
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "string" => format!("the text {value}"),
        _ => value.to_owned(),
    };
    let holds = match holds.as_deref() {
        Some("number") => "a whole number of 0 or more".to_owned(),
        Some("list" | "tables") => "a list".to_owned(),
        Some("table") => "a table".to_owned(),
        Some("text") => "text".to_owned(),
        Some("word") => "a word".to_owned(),
        Some(quantity) => format!("text ({quantity})"),
        None if expected == "a sequence" => "a list".to_owned(),
        None => return None,
    };
    let write = what_to_write(keys, value).map(|write| format!("; write {write}"));
    Some(format!("holds {holds}, not {shown}{}", write.unwrap_or_default()))
}

/// An example of the last of `keys`, made from the `value` that was written where it can be.
fn what_to_write(keys: &[&str], value: &str) -> Option<String> {
    let key = keys.last()?;
    let key = if key.contains('.') { &format!("{key:?}") } else { *key };
    let digits = value.trim_start_matches(['"', '-', ' ']);
    let digits: String = digits.chars().take_while(char::is_ascii_digit).take(9).collect();
    let or = |usual: &str| if digits.is_empty() { usual.to_owned() } else { digits.clone() };
    let holds = reference::holds(keys);
    let example = match holds.as_deref() {
        Some("tables") if keys.len() > 1 => format!("{key} = [{{ ... }}]"),
        Some("table") if keys.len() > 1 => format!("{key} = {{ ... }}"),
        Some("tables") => format!("[[{key}]]{}", with_keys(key)),
        Some("table") => format!("[{key}]{}", with_keys(key)),
        Some("list") | None if !value.is_empty() => format!("{key} = [{value}]"),
        Some("number") => format!("{key} = {}", or("1")),
        Some("seeds") => format!("{key} = \"0..{}\"", or("20")),
        Some("text") => format!("{key} = \"{}\"", or("...")),
        Some(kind) => format!("{key} = {}", of_kind(kind)?),
        None => return None,
    };
    Some(example)
}

/// What a table that must be there needs at least.
fn with_keys(table: &str) -> &'static str {
    match table {
        "content" => " with name = \"image.bin\" and size = \"8 MiB\"",
        "clock" => " with deadline = \"60s\"",
        "group" => " with name = \"tracker\", name = \"seed\" and name = \"leech\", one each",
        _ => "",
    }
}

/// A quantity of this kind, as text.
fn of_kind(kind: &str) -> Option<&'static str> {
    let known = [
        ("duration", "\"10s\""),
        ("rate", "\"8 Mbit/s\""),
        ("size", "\"64 MiB\""),
        ("share", "\"2%\""),
        ("selector", "\"leech[0]\""),
        ("join", "\"3s\""),
        ("leave", "\"at 30s\""),
        ("behaviour", "\"free-rider\""),
        ("condition", "\"count(complete) >= 3\""),
    ];
    known.iter().find(|(name, _)| kind.starts_with(name)).map(|(_, example)| *example)
}

/// A message of the TOML reader's about `line`, in which it found it.
pub(super) fn of_toml(message: &str, line: &str) -> String {
    if !message.starts_with("string values must be quoted") {
        return message.to_owned();
    }
    let Some((key, value)) = line.split_once('=') else { return message.to_owned() };
    let (key, value) = (key.trim(), value.split('#').next().unwrap_or_default().trim());
    if value.is_empty() {
        return format!("the key {key:?} has no value");
    }
    format!("text stands in quotes; write {key} = {value:?}")
}

//! One file, many runs: the cells of a matrix.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::mistake::Place;
use super::nearest::nearest;
use super::reference::holds;

/// Most cells of a matrix: what a sweep over one seed can show in a table.
const CELLS_MAX: usize = 1_000;

/// Keys that say which runs there are, and what is asked of all of them together.
const OF_THE_WHOLE: [&str; 6] = ["schema", "seeds", "worlds", "matrix", "cover", "capsule"];

/// One combination: key and value.
pub type Cell = Vec<(String, Value)>;

/// Every combination, the last key fastest. One empty cell without a matrix.
///
/// # Errors
/// If a key has no value or one twice, cannot differ between cells, or there are too many combinations.
pub fn cells(matrix: &BTreeMap<String, Vec<Value>>) -> Result<Vec<Cell>, (String, String)> {
    let mut cells: Vec<Cell> = vec![Vec::new()];
    for (key, values) in matrix {
        if values.is_empty() {
            return Err((key.clone(), "has no value, so there would be no run".to_owned()));
        }
        let first = key.split('.').next().unwrap_or_default();
        if OF_THE_WHOLE.contains(&first) {
            let why = "is of the whole file, and not of one cell; write it above, or say it with --seeds or --world";
            return Err((key.clone(), why.to_owned()));
        }
        if let Some((ix, value)) =
            values.iter().enumerate().find(|(ix, value)| values[..*ix].contains(value))
        {
            return Err((
                key.clone(),
                format!("has {value} twice, the second time as number {ix}"),
            ));
        }
        if cells.len() * values.len() > CELLS_MAX {
            return Err((key.clone(), format!("makes more than {CELLS_MAX} runs per seed")));
        }
        let with = |cell: &Cell, value: &Value| {
            let mut cell = cell.clone();
            cell.push((key.clone(), value.clone()));
            cell
        };
        cells = cells
            .iter()
            .flat_map(|cell| values.iter().map(move |value| with(cell, value)))
            .collect();
    }
    Ok(cells)
}

/// Writes `value` at `key` of a file: `group.leech.count`, `content.0.piece`, `clock.deadline`. The entry of an array
/// is named by its `name`, its `id` or its number. The last key may be a new one, and so may a table be of which there is one. Returns the
/// place.
///
/// # Errors
/// If there is no such place.
pub fn set(file: &mut Table, key: &str, value: &Value) -> Result<Place, String> {
    let (mut at, mut rest, mut place) = (file, key, Place::default());
    let mut tables: Vec<&str> = Vec::new();
    while let Some((step, after)) = rest.split_once('.') {
        place = place.key(step);
        tables.push(step);
        if !at.contains_key(step) && holds(&tables).as_deref() == Some("table") {
            at.insert(step.to_owned(), Table::new().into());
        }
        let known: Vec<String> = at.keys().cloned().collect();
        (at, rest) = match at.get_mut(step) {
            Some(Value::Table(table)) => (table, after),
            Some(Value::Array(entries)) => {
                let (index, table, after) = entry(step, entries, after)?;
                place = place.index(index);
                (table, after)
            }
            Some(_) => return Err(format!("{step:?} is no table to write in")),
            None => return Err(nothing_called(step, "table", &known)),
        };
    }
    let is_top = place == Place::default();
    if let Some(Value::Array(_)) = at.get(rest).filter(|_| is_top && !value.is_array()) {
        return Err(format!("does not say which {rest}"));
    }
    at.insert(rest.to_owned(), value.clone());
    Ok(place.key(rest))
}

/// The number of the entry of `entries` that `rest` begins with, the entry, and what follows. A name may have dots: the longest that fits is meant.
fn entry<'a, 'k>(
    of: &str,
    entries: &'a mut [Value],
    rest: &'k str,
) -> Result<(usize, &'a mut Table, &'k str), String> {
    let names = |entry: &Value| -> Vec<String> {
        let name = |key: &&str| Some(entry.get(*key)?.as_str()?.to_owned());
        ["name", "id"].iter().filter_map(name).collect()
    };
    let fits = entries.iter().enumerate().flat_map(|(ix, entry)| {
        let after = |name: String| Some((name.len(), rest.strip_prefix(&name)?.strip_prefix('.')?));
        names(entry).into_iter().filter_map(after).map(move |(len, after)| (len, ix, after))
    });
    let by_name = fits.max_by_key(|(len, ..)| *len).map(|(_, ix, after)| (ix, after));
    let (which, after) = rest.split_once('.').ok_or_else(|| format!("does not say which {of}"))?;
    let by_number = || Some((which.parse().ok().filter(|ix| *ix < entries.len())?, after));
    match by_name.or_else(by_number) {
        Some((ix, after)) => match entries[ix].as_table_mut() {
            Some(table) => Ok((ix, table, after)),
            None => Err(format!("{of} holds no tables to write in")),
        },
        None => {
            let known: Vec<String> = entries.iter().flat_map(names).collect();
            if known.is_empty() {
                return Err(no_names(which, of, entries));
            }
            Err(nothing_called(which, of, &known))
        }
    }
}

/// Of entries that are told apart by their numbers alone.
fn no_names(name: &str, of: &str, entries: &[Value]) -> String {
    let what = |entry: &Value| {
        let word = |key: &&str| Some(entry.get(*key)?.as_str()?.to_owned());
        ["that", "do"].iter().find_map(word)
    };
    let numbered = entries.iter().enumerate().map(|(ix, entry)| match what(entry) {
        Some(word) => format!("{of}.{ix} ({word})"),
        None => format!("{of}.{ix}"),
    });
    let numbered: Vec<String> = numbered.collect();
    let hint = match numbered.is_empty() {
        true => "the file has none".to_owned(),
        false => format!("they have no names, so write a number: {}", numbered.join(", ")),
    };
    format!("there is no {of} {name:?}; {hint}")
}

fn nothing_called(name: &str, what: &str, known: &[String]) -> String {
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("there are {}", known.join(", ")),
    };
    format!("there is no {what} {name:?}; {hint}")
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::{cells, set};

    #[test]
    fn cells_are_all_combinations() {
        let matrix: std::collections::BTreeMap<String, Vec<toml::Value>> =
            toml::from_str("a = [1, 2]\nb = ['x', 'y', 'z']").expect("a matrix");
        let cells = cells(&matrix).expect("cells");
        assert_eq!(cells.len(), 6);
        assert_eq!(cells[1][1].1.as_str(), Some("y"));
        assert_eq!(cells[3][0].1.as_integer(), Some(2));
    }

    #[test]
    fn a_cell_is_one_run_of_its_own() {
        let told = |text: &str| {
            let matrix: std::collections::BTreeMap<String, Vec<toml::Value>> =
                toml::from_str(text).expect("a matrix");
            cells(&matrix).expect_err(text).1
        };
        assert!(told("a = []").contains("no value"));
        assert!(told("a = [1, 2, 1]").contains("has 1 twice"));
        for key in ["seeds", "worlds"] {
            assert!(told(&format!("{key} = ['1', '2']")).contains("is of the whole file"), "{key}");
        }
    }

    #[test]
    fn a_cell_is_written_where_its_key_points() {
        let mut file: Table =
            toml::from_str("[clock]\n[[group]]\nname = 'seed'\n[[group]]\nname = 'leech'\n[[content]]\nname = 'a.b'\n[[content]]\nname = 'a'")
                .expect("TOML");
        for key in ["group.leech.count", "group.0.count", "clock.deadline", "name"] {
            set(&mut file, key, &7.into()).expect(key);
        }
        assert_eq!(file["group"][1]["count"].as_integer(), Some(7));
        assert_eq!(file["group"][0]["count"].as_integer(), Some(7));
        let place = set(&mut file, "content.a.b.piece", &8.into()).expect("a name with a dot");
        assert_eq!(place.to_string(), "content[0].piece");
        set(&mut file, "content.a.piece", &9.into()).expect("a name without");
        assert_eq!(file["content"][0]["piece"].as_integer(), Some(8));
        assert_eq!(file["content"][1]["piece"].as_integer(), Some(9));
        // Tables that are not written have their defaults.
        for key in ["network.latency", "group.leech.disk.read", "group.seed.engine.upload-slots"] {
            set(&mut file, key, &7.into()).expect(key);
        }
        assert_eq!(file["network"]["latency"].as_integer(), Some(7));
        assert_eq!(file["group"][1]["disk"]["read"].as_integer(), Some(7));
        for key in [
            "site.a.up",
            "newtork.latency",
            "group.leach.count",
            "group.leech",
            "group",
            "content.9.size",
            "clock.deadline.x",
        ] {
            set(&mut file, key, &7.into()).expect_err(key);
        }
    }

    #[test]
    fn entries_without_names_are_called_by_number() {
        let mut file: Table = toml::from_str(
            "fault = []\nexpect = [{ that = 'complete' }, { that = 'waste' }]\ncontent = [{ size = '1 MiB' }]",
        )
        .expect("TOML");
        let mut refused = |key: &str| set(&mut file, key, &7.into()).expect_err(key);
        assert_eq!(
            refused("expect.complete.within"),
            "there is no expect \"complete\"; they have no names, so write a number: \
             expect.0 (complete), expect.1 (waste)"
        );
        assert!(refused("content.x.piece").ends_with("write a number: content.0"));
        assert_eq!(refused("fault.cut.on"), "there is no fault \"cut\"; the file has none");
        set(&mut file, "expect.1.at-most", &"2%".into()).expect("the second");
    }
}

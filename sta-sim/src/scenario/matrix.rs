//! One file, many runs: the cells of a matrix.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Most cells of a matrix: what a sweep over one seed can show in a table.
const CELLS_MAX: usize = 1_000;

/// One combination: key and value.
pub type Cell = Vec<(String, Value)>;

/// Every combination, the last key fastest. One empty cell without a matrix.
///
/// # Errors
/// If a key has no value, or there are too many combinations.
pub fn cells(matrix: &BTreeMap<String, Vec<Value>>) -> Result<Vec<Cell>, (String, String)> {
    let mut cells: Vec<Cell> = vec![Vec::new()];
    for (key, values) in matrix {
        if values.is_empty() {
            return Err((key.clone(), "has no value, so there would be no run".to_owned()));
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
/// is named by its `name`, its `id` or its number. The last key may be a new one.
///
/// # Errors
/// If there is no such place.
pub fn set(file: &mut Table, key: &str, value: &Value) -> Result<(), String> {
    let mut steps: Vec<&str> = key.split('.').collect();
    let Some(last) = steps.pop() else { return Err("is no key".to_owned()) };
    let mut at = file;
    let mut steps = steps.into_iter();
    while let Some(step) = steps.next() {
        at = match at.get_mut(step) {
            Some(Value::Table(table)) => table,
            Some(Value::Array(entries)) => {
                let which = steps.next().ok_or_else(|| format!("does not say which {step}"))?;
                entry(entries, which).ok_or_else(|| format!("there is no {step} {which:?}"))?
            }
            _ => return Err(format!("there is no {step:?} to write in")),
        };
    }
    at.insert(last.to_owned(), value.clone());
    Ok(())
}

fn entry<'a>(entries: &'a mut [Value], which: &str) -> Option<&'a mut Table> {
    let is = |table: &Table| {
        ["name", "id"].iter().any(|key| table.get(*key).and_then(Value::as_str) == Some(which))
    };
    let by_name = entries.iter().position(|entry| entry.as_table().is_some_and(is));
    let ix = by_name.or_else(|| which.parse().ok())?;
    entries.get_mut(ix)?.as_table_mut()
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
    fn a_cell_is_written_where_its_key_points() {
        let mut file: Table =
            toml::from_str("[clock]\n[[group]]\nname = 'seed'\n[[group]]\nname = 'leech'")
                .expect("TOML");
        for key in ["group.leech.count", "group.0.count", "clock.deadline", "name"] {
            set(&mut file, key, &7.into()).expect(key);
        }
        assert_eq!(file["group"][1]["count"].as_integer(), Some(7));
        assert_eq!(file["group"][0]["count"].as_integer(), Some(7));
        for key in ["group.leach.count", "group.leech", "content.0.size", "clock.deadline.x"] {
            set(&mut file, key, &7.into()).expect_err(key);
        }
    }
}

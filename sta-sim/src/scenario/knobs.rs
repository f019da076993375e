//! Some of the engine's knobs, by name.
//!
//! The names and the types are those of [`EngineConfig`] itself, found through its serialised form: a knob that the
//! engine gains can be set in a scenario at once.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sta_core::model::config::EngineConfig;
use sta_core::model::ids::Site;

use super::units;

/// Where each knob says what it means.
const SOURCE: &str = include_str!("../../../sta-core/src/model/config.rs");

/// Knobs that differ from what they were. Values are as in the serialised [`EngineConfig`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Knobs(BTreeMap<String, Value>);

/// Why a knob cannot be set so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnobError {
    /// No knob has this name.
    #[error("the engine has no knob {0:?}")]
    Unknown(String),
    /// It has another type or unit.
    #[error("the knob {name:?} takes {wants}, not {got}")]
    Value {
        /// The knob.
        name: String,
        /// What it takes.
        wants: String,
        /// What was given.
        got: String,
    },
}

/// The names of all knobs with their defaults, as text.
#[must_use]
pub fn all() -> Vec<(String, String)> {
    fields(&EngineConfig::default())
        .into_iter()
        .map(|(name, value)| (name, shown(&value)))
        .collect()
}

/// What the knob of this name means: the comment on its field of [`EngineConfig`].
#[must_use]
pub fn meaning(name: &str) -> Option<String> {
    let (_, fields) = SOURCE.split_once("pub struct EngineConfig {")?;
    let (fields, _) = fields.split_once("\n}")?;
    let mut comment = Vec::new();
    for line in fields.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            comment.push(words.trim());
            continue;
        }
        let field = line.strip_prefix("pub ").and_then(|rest| rest.split_once(':'));
        if field.is_some_and(|(field, _)| field.replace('_', "-") == name) {
            return Some(comment.join(" "));
        }
        comment.clear();
    }
    None
}

impl Knobs {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every changed knob, and its value as a scenario file writes it.
    #[must_use]
    pub fn written(&self) -> Vec<(&str, String)> {
        self.0.iter().map(|(name, value)| (name.as_str(), shown(value))).collect()
    }

    /// Adds a knob. `value` is what the file says: text with a unit, a number, or a yes or no.
    ///
    /// # Errors
    /// If there is no such knob, or it takes something else.
    pub fn insert(&mut self, name: &str, value: &Value) -> Result<(), KnobError> {
        let known = fields(&EngineConfig::default());
        let like = known.get(name).ok_or_else(|| KnobError::Unknown(name.to_owned()))?;
        let refused = |wants: &str| KnobError::Value {
            name: name.to_owned(),
            wants: wants.to_owned(),
            got: value.to_string(),
        };
        let taken = match (like, value) {
            (Value::Object(_), Value::String(text)) => {
                let nanos = units::duration(text).map_err(|why| refused(&why.to_string()))?;
                json!({ "secs": nanos / 1_000_000_000, "nanos": nanos % 1_000_000_000 })
            }
            (Value::Object(_), _) => return Err(refused("a duration such as \"20s\"")),
            (Value::Number(_), Value::String(text)) if name.ends_with("bytes") => {
                json!(units::size(text).map_err(|why| refused(&why.to_string()))?)
            }
            (Value::Number(_), Value::Number(n))
                if !name.ends_with("bytes") || n.as_u64() == Some(0) =>
            {
                value.clone()
            }
            (Value::Number(_), _) if name.ends_with("bytes") => {
                return Err(refused("a size such as \"256 KiB\""));
            }
            (Value::Number(_), _) => return Err(refused("a number")),
            (Value::String(_), Value::String(text)) if text.parse::<Site>().is_err() => {
                return Err(refused("up to 64 letters, digits, '.', '_' or '-'"));
            }
            (Value::Bool(_), Value::Bool(_)) | (Value::String(_), Value::String(_)) => {
                value.clone()
            }
            (other, _) => return Err(refused(&format!("something like {other}"))),
        };
        let mut one = Self(BTreeMap::from([(name.to_owned(), taken)]));
        one.try_apply(&EngineConfig::default()).map_err(|why| refused(&why))?;
        self.0.append(&mut one.0);
        Ok(())
    }

    /// `config` with these knobs.
    #[must_use]
    pub fn apply(&self, config: &EngineConfig) -> EngineConfig {
        self.try_apply(config).expect("each knob was tried when it was inserted")
    }

    fn try_apply(&self, config: &EngineConfig) -> Result<EngineConfig, String> {
        let mut all = fields(config);
        all.extend(self.0.clone());
        let config: EngineConfig =
            serde_json::from_value(Value::Object(all)).map_err(|error| error.to_string())?;
        config.check().map_err(|out| match out.knob {
            "block-bytes" => format!("{}, or 0 for what suits each link", out.range),
            _ => out.range.to_owned(),
        })?;
        Ok(config)
    }
}

fn fields(config: &EngineConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(parts) => {
            let part = |name: &str| parts.get(name).and_then(Value::as_u64).unwrap_or(0);
            format!("\"{}\"", units::show_duration(part("secs") * 1_000_000_000 + part("nanos")))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use sta_core::model::config::EngineConfig;

    use super::{KnobError, Knobs, all, meaning};

    #[test]
    fn every_knob_has_a_meaning() {
        for (name, _) in all() {
            let meaning = meaning(&name).unwrap_or_default();
            assert!(meaning.ends_with('.') && meaning.len() > 20, "{name}: {meaning:?}");
        }
        assert_eq!(
            meaning("choke-interval").as_deref(),
            Some("How often the slots are handed out anew.")
        );
        assert_eq!(meaning("no-knob"), None);
    }

    #[test]
    fn every_knob_can_be_set_to_its_own_default() {
        for (name, text) in all() {
            let value = serde_json::from_str(&text).expect("shown as JSON");
            let mut knobs = Knobs::default();
            knobs.insert(&name, &value).unwrap_or_else(|error| panic!("{name} = {text}: {error}"));
            assert_eq!(knobs.apply(&EngineConfig::default()), EngineConfig::default(), "{name}");
        }
    }

    #[test]
    fn a_knob_is_set_and_the_others_stay() {
        let mut knobs = Knobs::default();
        knobs.insert("request-timeout", &json!("1500ms")).expect("a duration");
        knobs.insert("block-bytes", &json!("64 KiB")).expect("a size");
        knobs.insert("upload-slots", &json!(2)).expect("a number");
        let set = knobs.apply(&EngineConfig::default());
        let expected = EngineConfig {
            request_timeout: Duration::from_millis(1500),
            block_bytes: 64 << 10,
            upload_slots: 2,
            ..EngineConfig::default()
        };
        assert_eq!(set, expected);
    }

    #[test]
    fn what_is_no_knob_or_no_value_is_refused() {
        let refused = |name: &str, value| Knobs::default().insert(name, &value).expect_err(name);
        assert_eq!(refused("uplod-slots", json!(3)), KnobError::Unknown("uplod-slots".to_owned()));
        for (name, value) in [
            ("upload-slots", json!(-1)),
            ("upload-slots", json!("3")),
            ("request-timeout", json!(20)),
            ("request-timeout", json!("20 parsec")),
            ("block-bytes", json!(65_536)),
            ("block-bytes", json!("64 GiB")),
            ("block-bytes", json!("1 B")),
            ("upload-slots", json!(0)),
            ("peer-timeout", json!("1s")),
        ] {
            let error = refused(name, value.clone());
            assert!(matches!(error, KnobError::Value { .. }), "{name} = {value}: {error}");
        }
    }
}

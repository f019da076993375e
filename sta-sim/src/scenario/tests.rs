//! What a file must look like to be taken, and what is said of one that does not.

use std::path::Path;

use super::load::{LoadError, Scenario};
use super::plan::{Plan, World};

mod docs;
mod mistakes;
mod plans;

/// A file that is right: every other test changes some of it.
pub(crate) const RIGHT: &str = r#"# Proves that a file is read.
schema = 1
name = "right"

[clock]
deadline = "60s"
healed = "30s"

[[group]]
name = "tracker"

[[group]]
name = "seed"
up = "8 Mbit/s"

[[group]]
name = "leech"
count = 6
up = "8 Mbit/s"

[[content]]
name = "image.bin"
size = "1 MiB"
piece = "128 KiB"

[[event]]
id = "cut"
at = "5s"
do = "cut"
on = "leech[0..2]"
for = "3s"

[[fault]]
do = "power-off"
on = "leech"
every = "exp 4s"
for = "2s"

[[expect]]
that = "complete"
within = "20s"
since = "healed"
"#;

/// Reads `text`, which must be right.
pub(crate) fn read(text: &str) -> Scenario {
    Scenario::read(Path::new("test.toml"), text.to_owned())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The plan of `text`, which must be right.
pub(crate) fn plan(text: &str, seed: u64) -> Plan {
    let scenario = read(text);
    scenario.plan(seed, World::Turmoil, 0).unwrap_or_else(|error| panic!("{error}"))
}

/// What is said of `text`; nothing if it is right.
pub(crate) fn said_of(text: &str) -> String {
    let read = Scenario::read(Path::new("test.toml"), text.to_owned());
    let checked: Result<(), LoadError> = read.and_then(|scenario| scenario.check());
    checked.err().map(|error| error.to_string()).unwrap_or_default()
}

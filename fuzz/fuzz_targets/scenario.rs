//! A scenario file that somebody has written: what is wrong is said, and what is accepted can be planned.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sta_sim::scenario::load::Scenario;

fuzz_target!(|text: &str| {
    match Scenario::read(Path::new("fuzz.toml"), text.to_owned()) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(scenario) => match scenario.check() {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(()) => {
                for world in scenario.worlds() {
                    let seed = scenario.seeds().start;
                    scenario.plan(seed, world, 0).unwrap_or_else(|error| panic!("{error}"));
                }
            }
        },
    }
});

//! `sta-tracker`: see `sta_bin::tracker`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sta_bin::descriptors::raise_limit();
    sta_bin::tracker::main()
}

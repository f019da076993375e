//! Shares files with many machines, and fetches them from many at once. See `sta_bin::node`.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    sta_bin::descriptors::raise_limit();
    sta_bin::node::main()
}

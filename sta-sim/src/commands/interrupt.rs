//! Ctrl-C, where a command has found something by then that is worth telling.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::commands::tell::note;
use crate::exit::Exit;

/// Sets `stop` and what it returns at the first Ctrl-C. The second ends the program at once.
#[must_use]
pub fn stop_at_ctrl_c(stop: &Arc<AtomicBool>) -> Arc<AtomicBool> {
    let (interrupted, stop) = (Arc::new(AtomicBool::new(false)), Arc::clone(stop));
    let set = Arc::clone(&interrupted);
    let handler = move || {
        stop.store(true, Ordering::Relaxed);
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
        note!("ends with what is under way; Ctrl-C once more leaves at once, and tells nothing");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        note!("warning: Ctrl-C will not print what was found so far: {error}");
    }
    interrupted
}

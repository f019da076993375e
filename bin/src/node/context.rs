//! What every command is given.

use std::panic::resume_unwind;
use std::thread;

use tokio::sync::oneshot;

use super::interrupt::Interrupt;
use crate::config::Settings;
use crate::exit::Failure;
use crate::output::Output;

/// The settings, where to print, and when to leave.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) settings: Settings,
    pub(super) output: Output,
    pub(super) interrupt: Interrupt,
}

impl Context {
    /// Runs `work`, which hashes or waits for a disk, on a thread of its own; gives up waiting if the program is asked
    /// to leave. The thread then ends with the process.
    ///
    /// # Errors
    /// If the program is asked to leave.
    pub(super) async fn off_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.interrupt.asked() => Err(Failure::interrupted()),
            result = off_thread(work) => Ok(result),
        }
    }
}

/// Runs `work`, which hashes or waits for a disk, on a thread of its own.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = oneshot::channel();
    let thread = thread::spawn(move || {
        // Nobody waits any more if the program is leaving.
        let _ = done.send(work());
    });
    match result.await {
        Ok(result) => result,
        Err(_) => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => unreachable!("the thread sends before it ends"),
        },
    }
}

//! Ctrl-C, SIGTERM, and SIGHUP of a terminal that goes: the first asks to leave in order, the second leaves at once. Two that come together are one: `timeout`, for
//! instance, sends a signal to its child and to its whole group.
//!
//! Who serves until told to stop has then done what was asked; who had something to finish was interrupted.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Signals within so long of each other are one.
const TOGETHER: Duration = Duration::from_millis(300);

/// Tells when to leave.
#[derive(Debug)]
pub(crate) struct Interrupt {
    asked: mpsc::UnboundedReceiver<()>,
}

impl Interrupt {
    /// Listens from now on. Must be called within a runtime.
    ///
    /// # Errors
    /// If the system does not let the process listen for signals.
    pub(crate) fn listen(output: &Output) -> Result<Self, Failure> {
        let failed = |error| Failure::start("signals", error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut hangup = if hangup_is_ignored() {
            None
        } else {
            Some(signal(SignalKind::hangup()).map_err(failed)?)
        };
        let (sender, asked) = mpsc::unbounded_channel();
        let (mut first, output) = (true, output.clone());
        let (mut pause, mut counts) = (Box::pin(sleep(Duration::ZERO)), true);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = &mut pause, if !counts => {
                        counts = true;
                        continue;
                    }
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    () = next(&mut hangup) => {}
                }
                if !std::mem::replace(&mut counts, false) {
                    continue;
                }
                pause = Box::pin(sleep(TOGETHER));
                if !std::mem::take(&mut first) || sender.send(()).is_err() {
                    output.note("leaving at once");
                    std::process::exit(Exit::Interrupted as i32);
                }
            }
        });
        Ok(Self { asked })
    }

    /// Waits until the program is asked to leave.
    pub(crate) async fn asked(&mut self) {
        if self.asked.recv().await.is_none() {
            std::future::pending::<()>().await; // The runtime is going down.
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether the process was started so that it outlives its terminal, as by `nohup`. Where the system does not say, it was not.
fn hangup_is_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

/// The same, by what Linux says of the process.
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1, which is SIGHUP.
    ignored.is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn who_ignores_hangup_is_known() {
        let status =
            |mask| format!("Name:\tsta-node\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n");
        assert!(ignores_hangup(&status("0000000000001001")));
        assert!(!ignores_hangup(&status("0000000000001000")));
        assert!(!ignores_hangup(&status("what")) && !ignores_hangup(""));
    }
}

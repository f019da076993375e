//! Ctrl-C, SIGTERM, and SIGHUP of a terminal that goes: the first asks to leave in order, the second leaves at once. Two that come together are one: `timeout`, for
//! instance, sends a signal to its child and to its whole group.
//!
//! Who serves until told to stop has then done what was asked; who had something to finish was interrupted.
//!
//! A thread of its own listens: whatever the rest of the program waits for, a reader of its output or a disk that hangs, the second
//! signal ends it.

use std::io::Write as _;
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::exit::{Exit, Failure};

/// Signals within so long of each other are one.
const TOGETHER: Duration = Duration::from_millis(300);

/// So long the last word may take.
const TO_SAY: Duration = Duration::from_millis(50);

/// Tells when to leave.
#[derive(Debug)]
pub(crate) struct Interrupt {
    /// Says it once,
    asks: mpsc::UnboundedReceiver<()>,
    /// and then it is so.
    asked: bool,
}

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system does not let the process listen for signals.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed = |error| Failure::start("signals", error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let signals = {
            let _within = runtime.enter();
            Signals::listen().map_err(failed)?
        };
        let (sender, asks) = mpsc::unbounded_channel();
        let listen = move || runtime.block_on(signals.tell(&sender));
        std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(failed)?;
        Ok(Self { asks, asked: false })
    }

    /// Waits until the program is asked to leave, or has been.
    pub(crate) async fn asked(&mut self) {
        self.asked = self.asked || self.asks.recv().await.is_some();
        if !self.asked {
            std::future::pending::<()>().await; // The process is going down.
        }
    }

    /// Whether the program has been asked to leave.
    pub(crate) fn was_asked(&mut self) -> bool {
        self.asked = self.asked || self.asks.try_recv().is_ok();
        self.asked
    }
}

/// What asks the program to leave.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let hangup = if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// Tells of the first signal, and ends the process at the second.
    async fn tell(mut self, asks: &mpsc::UnboundedSender<()>) {
        let mut first = true;
        loop {
            self.any().await;
            if !std::mem::take(&mut first) {
                // Whoever reads that may be what the program waits for. Without a thread for it nothing is said.
                let say = || writeln!(std::io::stderr(), "leaving at once");
                let _ = std::thread::Builder::new().spawn(say);
                sleep(TO_SAY).await;
                std::process::exit(Exit::Interrupted as i32);
            }
            // Who listens no more is leaving already.
            let _ = asks.send(());
            let mut together = pin!(sleep(TOGETHER));
            loop {
                tokio::select! {
                    biased;
                    () = &mut together => break,
                    () = self.any() => {}
                }
            }
        }
    }

    async fn any(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = next(&mut self.hangup) => {}
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

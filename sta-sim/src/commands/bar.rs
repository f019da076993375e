//! What a person who waits for one run sees of it: how much has come, at which moment of its own time.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sta_core::model::time::Time;

use crate::execute::wall_clock;
use crate::scenario::plan::{Plan, Role};
use crate::scenario::view::{Onlooker, View};

/// A run that is over by then has not been waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// A bar on stderr, where that is a terminal. It is gone when the run is over.
pub struct Bar {
    bar: ProgressBar,
    begin: Instant,
}

impl Bar {
    /// A bar for a run that begins now.
    #[must_use]
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
        let style = "{elapsed_precise} [{wide_bar}] {bytes} of {total_bytes}  {msg}";
        let style = ProgressStyle::with_template(style).expect("the template is right");
        Self { bar: bar.with_style(style.progress_chars("=> ")), begin: wall_clock() }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Onlooker for Bar {
    fn look(&self, plan: &Plan, now: Time, view: &dyn View) {
        if self.begin.elapsed() < PATIENCE {
            return;
        }
        let nodes = plan.hosts.iter().enumerate().filter(|(_, host)| host.role == Role::Node);
        let seen: Vec<_> = nodes.map(|(ix, _)| view.progress(ix)).collect();
        let complete = seen.iter().filter(|progress| progress.is_complete()).count();
        self.bar.set_length(seen.iter().map(|progress| progress.of).sum());
        self.bar.set_position(seen.iter().map(|progress| progress.have).sum());
        let nodes = seen.len();
        self.bar.set_message(format!("{now} of its own time, {complete} of {nodes} complete"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

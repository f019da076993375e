//! One run from its file to its verdict: what `run`, `sweep` and `replay` have in common.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::exit::Exit;
use crate::figures::figures;
use crate::flow;
use crate::outcome::{Outcome, Verdict};
use crate::runlog::RunLog;
use crate::scenario::capsule::{self, Failure};
use crate::scenario::load::{LoadError, Scenario};
use crate::scenario::plan::{Plan, World};
use crate::scenario::view::Onlooker;
use crate::verdict::judge;
use crate::world::stage::StageError;
use crate::world::staged_world;

/// A run that is asked for.
#[derive(Clone, Debug)]
pub struct Job {
    /// The file.
    pub scenario: Arc<Scenario>,
    /// The seed.
    pub seed: u64,
    /// Where.
    pub world: World,
    /// Which cell of its matrix.
    pub cell: usize,
}

/// A run that is done.
#[derive(Debug)]
pub struct Done {
    /// What was to happen.
    pub plan: Arc<Plan>,
    /// What happened.
    pub log: RunLog,
    /// What is to be thought of it.
    pub outcome: Outcome,
}

impl Done {
    /// See [`Outcome::alone`].
    #[must_use]
    pub fn by_itself(self) -> Self {
        Self { outcome: self.outcome.alone(), ..self }
    }

    /// With what was measured of each node, if that is `asked` for.
    #[must_use]
    pub fn with_hosts(mut self, asked: bool) -> Self {
        self.outcome.figures = asked.then(|| figures(&self.plan, &self.log));
        self
    }
}

/// What comes of a run.
type Run = Result<Done, ExecuteError>;

/// Why a run could not be.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The file is wrong, or asks for what the world cannot do.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Turmoil, or this machine, cannot carry it.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The flow world cannot honour it.
    #[error(transparent)]
    Flow(#[from] flow::world::Refusal),
    /// The simulator itself is at fault.
    #[error("a bug of the simulator ended the run: {0}")]
    Bug(String),
}

impl Job {
    /// One job for each cell of the scenario's matrix. Seed and world are the file's first unless given.
    #[must_use]
    pub fn of(scenario: Scenario, seed: Option<u64>, world: Option<World>) -> Vec<Self> {
        let seed = seed.unwrap_or_else(|| scenario.seeds().start);
        let world = world.or_else(|| scenario.worlds().first().copied()).unwrap_or(World::Turmoil);
        let scenario = Arc::new(scenario);
        let job = |cell| Self { scenario: Arc::clone(&scenario), seed, world, cell };
        (0..scenario.cells()).map(job).collect()
    }

    /// What it is to be, if it can be.
    ///
    /// # Errors
    /// If the file is wrong, or asks for what the world cannot do.
    pub fn plan(&self) -> Result<Arc<Plan>, LoadError> {
        Ok(Arc::new(self.scenario.plan(self.seed, self.world, self.cell)?))
    }

    /// Runs it, before an onlooker if there is one, and judges it.
    ///
    /// # Errors
    /// If it could not run.
    pub fn execute(&self, onlooker: Option<&dyn Onlooker>) -> Result<Done, ExecuteError> {
        let plan = self.plan()?;
        let begin = wall_clock();
        let log = match self.world {
            World::Turmoil => staged_world::on_turmoil(&plan, onlooker)?,
            World::Flow => flow::world::run(&plan, None, onlooker)?,
            World::Tcp => staged_world::over_tcp(&plan, onlooker)?,
        };
        let outcome = judge(&plan, &log, begin.elapsed());
        Ok(Done { plan, log, outcome })
    }

    /// [`Self::execute`], so that nothing a run leaves behind reaches another: what has a runtime gets a thread of its own. The
    /// flow world has none, and stays where the memory of the run before it is still at hand.
    ///
    /// # Errors
    /// As [`Self::execute`], and if the simulator itself panicked.
    pub fn execute_alone(&self, onlooker: Option<&dyn Onlooker>) -> Result<Done, ExecuteError> {
        let ended = match self.world {
            World::Flow => catch_unwind(AssertUnwindSafe(|| self.execute(onlooker))),
            World::Turmoil | World::Tcp => self.execute_on_a_thread(onlooker)?,
        };
        ended.map_err(|panic| ExecuteError::Bug(words_of(&*panic)))?
    }

    fn execute_on_a_thread(
        &self,
        onlooker: Option<&dyn Onlooker>,
    ) -> Result<std::thread::Result<Run>, ExecuteError> {
        let thread = std::thread::Builder::new().name(format!("seed {}", self.seed));
        let refused = |error| ExecuteError::Bug(format!("no thread could be started: {error}"));
        std::thread::scope(|scope| {
            let run = thread.spawn_scoped(scope, || self.execute(onlooker)).map_err(refused)?;
            Ok(run.join())
        })
    }

    /// The text of the run's capsule.
    ///
    /// # Errors
    /// If the file is wrong.
    pub fn capsule(&self, done: &Done) -> Result<String, LoadError> {
        let file = self.scenario.file_of(self.cell)?;
        let (check, evidence) = match done.outcome.failures().first() {
            Some((check, finding)) => {
                ((*check).to_owned(), format!("{}: {}", finding.at, finding.what))
            }
            None => ("nothing".to_owned(), done.outcome.cause().unwrap_or_default()),
        };
        let said = &done.log.hashes().said;
        let failure =
            Failure { check: &check, evidence: &evidence, log_hash: said, end: done.log.end };
        Ok(capsule::write(&file, &done.plan, &done.log.occurrences, failure))
    }
}

/// How the program ends after a run with this verdict.
#[must_use]
pub const fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Passed => Exit::Done,
        Verdict::NotLive => Exit::NotLive,
        Verdict::Unproved | Verdict::Failed => Exit::Failed,
    }
}

/// The words of a panic.
fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// The real time, for people.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "a person is told how long a run takes on this machine"
)]
pub fn wall_clock() -> Instant {
    Instant::now()
}

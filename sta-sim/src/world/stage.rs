//! A stage for hosts: something that gives each a process, a network of our own shaping and a clock.
//!
//! Two of them: [`super::turmoil_stage`], where time is simulated and everything repeats, and [`super::tcp_stage`], on the
//! real clock over loopback TCP. What is done on a stage is the same for both: [`super::staged_world`].

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sta_core::io::clock::Clock;
use sta_core::io::transport::Transport;
use sta_core::model::address::Address;
use sta_core::model::time::Time;

use super::fabric::{Edge, HostId};
use super::shaping::SharedFabric;

/// A process, from its start until it ends by itself.
pub type Process = Pin<Box<dyn Future<Output = ()>>>;
/// What runs on a host: called at each start.
pub type Software = Arc<dyn Fn(HostCx) -> Process + Send + Sync>;

/// What a host's software finds when it starts.
#[derive(Clone)]
pub struct HostCx {
    /// Which host it is.
    pub id: HostId,
    /// Its number on the network.
    pub ip: IpAddr,
    /// Where its process is to listen.
    pub listen: SocketAddr,
    /// Its shaped transport.
    pub transport: Arc<dyn Transport>,
    /// Its clock, which stands still while the process does.
    pub clock: Arc<HostClock>,
}

/// The clock of a host: the world's, but for a process that is paused.
pub struct HostClock {
    world: Arc<dyn Clock>,
    /// When the process was paused; [`RUNS`] if it is not.
    stopped: AtomicU64,
}

const RUNS: u64 = u64::MAX;

impl HostClock {
    /// The clock of a process that runs.
    #[must_use]
    pub fn new(world: Arc<dyn Clock>) -> Self {
        Self { world, stopped: AtomicU64::new(RUNS) }
    }

    /// It stands still from now on.
    pub fn stop(&self) {
        self.stopped.store(self.world.now().as_nanos(), Ordering::Relaxed);
    }

    /// It tells the world's time again.
    pub fn go_on(&self) {
        self.stopped.store(RUNS, Ordering::Relaxed);
    }
}

impl Clock for HostClock {
    fn now(&self) -> Time {
        let world = self.world.now().as_nanos();
        Time::from_nanos(world.min(self.stopped.load(Ordering::Relaxed)))
    }
}

/// Why a stage cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StageError {
    /// More hosts than it can carry.
    #[error(
        "{hosts} hosts are too many for the {world} world: {why}; up to {most} run here, more in the flow world"
    )]
    TooManyHosts {
        /// How many are asked for, at the least.
        hosts: usize,
        /// How many run.
        most: usize,
        /// Which world.
        world: &'static str,
        /// What stands against it.
        why: &'static str,
    },
    /// The machine does not give what is needed.
    #[error("the tcp world cannot start: {0}")]
    Machine(String),
    /// A host panicked.
    #[error("{} panicked: {what}", host.map_or_else(|| "the world".to_owned(), |id| format!("host {id}")))]
    Panicked {
        /// Which, if it was one.
        host: Option<HostId>,
        /// The message and the place.
        what: String,
    },
}

/// See the module's text.
pub trait Stage {
    /// Adds a host that does not run yet.
    ///
    /// # Errors
    /// [`StageError::TooManyHosts`].
    fn add_host(
        &mut self,
        name: &str,
        edge: Edge,
        software: Software,
    ) -> Result<HostId, StageError>;

    /// Where the process of `host`, called `name`, listens, as others are told.
    fn address(&self, host: HostId, name: &str) -> Address;

    /// The world's time since the start.
    fn now(&self) -> Time;

    /// The network, for faults.
    fn fabric(&self) -> &SharedFabric;

    /// Whether `host`'s process runs, paused or not.
    fn runs(&self, host: HostId) -> bool;

    /// Lets a moment pass: at most a millisecond.
    ///
    /// # Errors
    /// [`StageError::Panicked`], after which the stage is of no more use.
    fn step(&mut self) -> Result<(), StageError>;

    /// Starts the process of `host`, which does not run.
    ///
    /// # Errors
    /// As [`Self::step`].
    fn start(&mut self, host: HostId) -> Result<(), StageError>;

    /// The process of `host` dies; its kernel closes what it had open.
    ///
    /// # Errors
    /// As [`Self::step`].
    fn crash(&mut self, host: HostId) -> Result<(), StageError>;

    /// The machine of `host` goes dark.
    ///
    /// # Errors
    /// As [`Self::step`].
    fn power_off(&mut self, host: HostId) -> Result<(), StageError>;

    /// The process of `host` stands still.
    fn pause(&mut self, host: HostId);

    /// The process of `host` goes on.
    fn resume(&mut self, host: HostId);
}

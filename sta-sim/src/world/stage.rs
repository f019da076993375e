//! A stage for hosts: turmoil's simulation with our network, our clock, and processes that start, die, go dark and pause.
//!
//! Knows nothing of scenarios, nodes or trackers. A tick is a millisecond or a few: finer than tokio's timers is not to be had,
//! coarser quantises delays. Within a tick every host sees the same time.

use std::cell::RefCell;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sta_core::io::clock::Clock;
use sta_core::io::transport::Transport;
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;

use super::fabric::{Edge, Fabric, HostId};
use super::panics::{Panic, watch};
use super::shaping::{Shaped, SharedFabric};
use super::turmoil_net::TurmoilTransport;

/// The shortest step of the simulation.
pub const TICK_MIN: Duration = Duration::from_millis(1);
/// The longest: [`super::fabric`]'s windows bridge two of them.
pub const TICK_MAX: Duration = Duration::from_millis(4);
/// Most hosts. turmoil's work for a tick grows with the cube of their number: 64 take 0.5 s of real time for each
/// simulated second when idle, 200 take 17 s.
pub const HOSTS_MAX: usize = 64;
/// Writes that wait on one stream, and connections that wait on one listener: turmoil has one number for both and
/// panics when the latter are more. The former never are: [`super::fabric`]'s window is less.
const TCP_CAPACITY: usize = 1024;

/// What a host's software finds when it starts.
#[derive(Clone)]
pub struct HostCx {
    /// Which host it is.
    pub id: HostId,
    /// Its number on the network.
    pub ip: IpAddr,
    /// Its shaped transport.
    pub transport: Arc<dyn Transport>,
    /// Its clock, which stands still while the process does.
    pub clock: Arc<HostClock>,
}

/// The clock of a host: the world's, but for a process that is paused.
#[derive(Debug)]
pub struct HostClock {
    world: Arc<AtomicU64>,
    /// When the process was paused; [`RUNS`] if it is not.
    stopped: AtomicU64,
}

const RUNS: u64 = u64::MAX;
/// The number of a host that is added to a stage that has panicked.
const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

impl Clock for HostClock {
    fn now(&self) -> Time {
        let world = self.world.load(Ordering::Relaxed);
        Time::from_nanos(world.min(self.stopped.load(Ordering::Relaxed)))
    }
}

/// Why a stage cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StageError {
    /// More hosts than turmoil can carry.
    #[error(
        "{0} hosts are too many for the turmoil world: its work for each millisecond grows with the cube of their \
         number; up to {HOSTS_MAX} run here, more in the flow world"
    )]
    TooManyHosts(usize),
    /// A host panicked.
    #[error("{} panicked: {what}", host.map_or_else(|| "the world".to_owned(), |id| format!("host {id}")))]
    Panicked {
        /// Which, if it was one.
        host: Option<HostId>,
        /// The message and the place.
        what: String,
    },
}

type Software = Rc<dyn Fn(HostCx) -> std::pin::Pin<Box<dyn Future<Output = ()>>>>;

struct Host {
    name: String,
    cx: HostCx,
    software: Software,
    /// Whether turmoil knows of it: it has been started once.
    known: bool,
    runs: bool,
}

/// See the module's text.
pub struct Stage {
    /// `None` once turmoil itself has panicked: it cannot even be dropped then.
    sim: Option<turmoil::Sim<'static>>,
    fabric: Arc<SharedFabric>,
    clock: Arc<AtomicU64>,
    hosts: Vec<Host>,
    /// Which runtime is which host's. One for each start.
    runtimes: Rc<RefCell<Vec<(tokio::runtime::Id, HostId)>>>,
}

impl Stage {
    /// An empty stage. Everything drawn on it comes from `seed`. Whoever waits for something goes on at the end of a
    /// `tick`, so it should not be longer than the shortest delay between two hosts.
    ///
    /// # Panics
    /// If `tick` is not of whole milliseconds from [`TICK_MIN`] to [`TICK_MAX`].
    #[must_use]
    pub fn new(seed: Seed, core_latency: Duration, tick: Duration) -> Self {
        let whole = tick.subsec_nanos().is_multiple_of(TICK_MIN.subsec_nanos());
        assert!(whole && (TICK_MIN..=TICK_MAX).contains(&tick), "a tick of {tick:?}");
        let sim = turmoil::Builder::new()
            .rng_seed(seed.child("turmoil").0)
            .epoch(SystemTime::UNIX_EPOCH)
            .tick_duration(tick)
            .simulation_duration(Duration::MAX)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(Duration::ZERO)
            .fail_rate(0.0)
            .tcp_capacity(TCP_CAPACITY)
            .build();
        let clock = Arc::new(AtomicU64::new(0));
        let world = HostClock { world: Arc::clone(&clock), stopped: AtomicU64::new(RUNS) };
        let fabric = Fabric::new(seed.child("fabric"), core_latency);
        Self {
            sim: Some(sim),
            fabric: SharedFabric::new(fabric, Arc::new(world)),
            clock,
            hosts: Vec::new(),
            runtimes: Rc::default(),
        }
    }

    /// Adds a host that does not run yet. `software` is called at each start; what it returns is the process, which
    /// ends when that future does or when it is stopped.
    ///
    /// # Errors
    /// [`StageError::TooManyHosts`].
    pub fn add<Fut: Future<Output = ()> + 'static>(
        &mut self,
        name: &str,
        edge: Edge,
        software: impl Fn(HostCx) -> Fut + 'static,
    ) -> Result<HostId, StageError> {
        if self.hosts.len() == HOSTS_MAX {
            return Err(StageError::TooManyHosts(HOSTS_MAX + 1));
        }
        let id = self.fabric.with(|fabric| {
            let id = fabric.add_host(name, edge);
            fabric.process_down(id);
            id
        });
        let ip = self.sim.as_ref().map_or(NOWHERE, |sim| sim.lookup(name));
        self.fabric.number(ip, id);
        let inner = Arc::new(TurmoilTransport::new(ip));
        let transport = Arc::new(Shaped::new(inner, Arc::clone(&self.fabric), id));
        let stopped = AtomicU64::new(RUNS);
        let clock = Arc::new(HostClock { world: Arc::clone(&self.clock), stopped });
        self.hosts.push(Host {
            name: name.to_owned(),
            cx: HostCx { id, ip, transport, clock },
            software: Rc::new(move |cx| Box::pin(software(cx))),
            known: false,
            runs: false,
        });
        Ok(id)
    }

    /// Simulated time since the start.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_nanos(self.clock.load(Ordering::Relaxed))
    }

    /// The network, for faults.
    #[must_use]
    pub fn fabric(&self) -> &SharedFabric {
        &self.fabric
    }

    /// What `host`'s software is given.
    #[must_use]
    pub fn cx(&self, host: HostId) -> &HostCx {
        &self.hosts[host].cx
    }

    /// Whether `host`'s process runs, paused or not.
    #[must_use]
    pub fn runs(&self, host: HostId) -> bool {
        self.hosts[host].runs
    }

    /// One tick: what is due on the network happens, then every host goes on until it waits.
    ///
    /// # Errors
    /// [`StageError::Panicked`], after which the stage is of no more use.
    pub fn step(&mut self) -> Result<(), StageError> {
        self.fabric.tick();
        self.in_turmoil(|sim| {
            let result = sim.step();
            // A host's software that panicked is an error here too; it is reported by the watch.
            result.map(|_| sim.elapsed()).unwrap_or_else(|_| sim.elapsed())
        })
        .map(|elapsed| {
            let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
            self.clock.store(nanos, Ordering::Relaxed);
        })
    }

    /// Starts the process of `host`, which does not run.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn start(&mut self, host: HostId) -> Result<(), StageError> {
        self.fabric.with(|fabric| fabric.process_up(host));
        let Host { name, cx, software, known, runs } = &mut self.hosts[host];
        *runs = true;
        let (name, first) = (name.clone(), !std::mem::replace(known, true));
        let (cx, software) = (cx.clone(), Rc::clone(software));
        let runtimes = Rc::clone(&self.runtimes);
        self.in_turmoil(move |sim| {
            if !first {
                return sim.bounce(name);
            }
            sim.host(name, move || {
                let (runtimes, id) = (Rc::clone(&runtimes), cx.id);
                let process = software(cx.clone());
                async move {
                    runtimes.borrow_mut().push((tokio::runtime::Handle::current().id(), id));
                    process.await;
                    // A host whose software has returned is not ticked: its streams would stay open, unread.
                    std::future::pending().await
                }
            });
        })
    }

    /// The process of `host` dies; its kernel closes what it had open.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn crash(&mut self, host: HostId) -> Result<(), StageError> {
        self.kill(host)?;
        self.fabric.with(|fabric| fabric.process_down(host));
        Ok(())
    }

    /// The machine of `host` goes dark.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn power_off(&mut self, host: HostId) -> Result<(), StageError> {
        self.fabric.with(|fabric| fabric.power_off(host));
        self.kill(host)
    }

    /// The process of `host` stands still.
    pub fn pause(&mut self, host: HostId) {
        self.hosts[host].cx.clock.stopped.store(self.now().as_nanos(), Ordering::Relaxed);
        self.fabric.with(|fabric| fabric.pause(host));
    }

    /// The process of `host` goes on.
    pub fn resume(&mut self, host: HostId) {
        self.hosts[host].cx.clock.stopped.store(RUNS, Ordering::Relaxed);
        self.fabric.with(|fabric| fabric.resume(host));
    }

    fn kill(&mut self, host: HostId) -> Result<(), StageError> {
        self.resume(host);
        self.hosts[host].runs = false;
        let name = self.hosts[host].name.clone();
        if self.hosts[host].known {
            self.in_turmoil(|sim| sim.crash(name))?;
        }
        Ok(())
    }

    fn in_turmoil<R>(
        &mut self,
        f: impl FnOnce(&mut turmoil::Sim<'static>) -> R,
    ) -> Result<R, StageError> {
        let gone = |what: &str| StageError::Panicked { host: None, what: what.to_owned() };
        let sim = self.sim.as_mut().ok_or_else(|| gone("it has panicked before"))?;
        let (result, panic) = watch(|| f(sim));
        if result.is_none() {
            std::mem::forget(self.sim.take());
        }
        match (panic, result) {
            (Some(panic), _) => Err(self.whose(panic)),
            (None, Some(result)) => Ok(result),
            (None, None) => Err(gone("for no known reason")),
        }
    }

    fn whose(&self, panic: Panic) -> StageError {
        let runtimes = self.runtimes.borrow();
        let host = runtimes.iter().find(|(runtime, _)| Some(*runtime) == panic.runtime);
        StageError::Panicked { host: host.map(|(_, host)| *host), what: panic.what }
    }
}

//! The stage where everything repeats: turmoil's simulation with our network, our clock, and processes that start, die,
//! go dark and pause.
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
use sta_core::model::address::Address;
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;

use super::fabric::{Edge, Fabric, HostId};
use super::panics::{Panic, watch};
use super::shaping::{Shaped, SharedFabric};
use super::stage::{HostClock, HostCx, Process, Software, Stage, StageError};
use super::turmoil_net::{Lanes, TurmoilTransport};
use crate::scenario::site::Core;

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

/// Where every process listens: each host has a number of its own.
const PORT: u16 = 6_881;
/// The number of a host that is added to a stage that has panicked.
const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// The time that turmoil has come to, in nanoseconds.
#[derive(Debug, Default)]
struct Simulated(AtomicU64);

impl Clock for Simulated {
    fn now(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

type LocalSoftware = Rc<dyn Fn(HostCx) -> Process>;

struct Host {
    name: String,
    cx: HostCx,
    software: LocalSoftware,
    /// Whether turmoil knows of it: it has been started once.
    known: bool,
    runs: bool,
}

/// See the module's text.
pub struct TurmoilStage {
    /// `None` once turmoil itself has panicked: it cannot even be dropped then.
    sim: Option<turmoil::Sim<'static>>,
    fabric: Arc<SharedFabric>,
    lanes: Lanes,
    clock: Arc<Simulated>,
    hosts: Vec<Host>,
    /// Which runtime is which host's. One for each start.
    runtimes: Rc<RefCell<Vec<(tokio::runtime::Id, HostId)>>>,
}

impl TurmoilStage {
    /// An empty stage. Everything drawn on it comes from `seed`. Whoever waits for something goes on at the end of a
    /// `tick`, so it should not be much longer than the shortest delay between two hosts.
    ///
    /// # Panics
    /// If `tick` is not of whole milliseconds from [`TICK_MIN`] to [`TICK_MAX`].
    #[must_use]
    pub fn new(seed: Seed, core: Core, tick: Duration) -> Self {
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
        let clock = Arc::new(Simulated::default());
        let fabric = Fabric::new(seed.child("fabric"), core);
        Self {
            sim: Some(sim),
            fabric: SharedFabric::new(fabric, Arc::clone(&clock) as Arc<dyn Clock>),
            lanes: Lanes::default(),
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
            let why = "its work for each millisecond grows with the cube of their number";
            let (hosts, most, world) = (HOSTS_MAX + 1, HOSTS_MAX, "turmoil");
            return Err(StageError::TooManyHosts { hosts, most, world, why });
        }
        let id = self.fabric.with(|fabric| {
            let id = fabric.add_host(name, edge);
            fabric.process_down(id);
            id
        });
        let ip = self.sim.as_ref().map_or(NOWHERE, |sim| sim.lookup(name));
        self.fabric.number(ip, id);
        let inner = Arc::new(TurmoilTransport::new(ip, self.lanes.clone()));
        let transport = Arc::new(Shaped::new(inner, Arc::clone(&self.fabric), id));
        let clock = Arc::new(HostClock::new(Arc::clone(&self.clock) as Arc<dyn Clock>));
        self.hosts.push(Host {
            name: name.to_owned(),
            cx: HostCx { id, ip, listen: (ip, PORT).into(), transport, clock },
            software: Rc::new(move |cx| Box::pin(software(cx))),
            known: false,
            runs: false,
        });
        Ok(id)
    }

    /// What `host`'s software is given.
    #[must_use]
    pub fn cx(&self, host: HostId) -> &HostCx {
        &self.hosts[host].cx
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

impl Stage for TurmoilStage {
    fn add_host(
        &mut self,
        name: &str,
        edge: Edge,
        software: Software,
    ) -> Result<HostId, StageError> {
        self.add(name, edge, move |cx| software(cx))
    }

    fn address(&self, _: HostId, name: &str) -> Address {
        Address { host: name.to_owned(), port: PORT }
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn fabric(&self) -> &SharedFabric {
        &self.fabric
    }

    fn runs(&self, host: HostId) -> bool {
        self.hosts[host].runs
    }

    fn step(&mut self) -> Result<(), StageError> {
        self.fabric.tick();
        self.in_turmoil(|sim| {
            let result = sim.step();
            // A host's software that panicked is an error here too; it is reported by the watch.
            result.map(|_| sim.elapsed()).unwrap_or_else(|_| sim.elapsed())
        })
        .map(|elapsed| {
            let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
            self.clock.0.store(nanos, Ordering::Relaxed);
        })
    }

    fn start(&mut self, host: HostId) -> Result<(), StageError> {
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

    fn crash(&mut self, host: HostId) -> Result<(), StageError> {
        self.fabric.with(|fabric| fabric.process_down(host));
        self.kill(host)
    }

    fn power_off(&mut self, host: HostId) -> Result<(), StageError> {
        self.fabric.with(|fabric| fabric.power_off(host));
        self.kill(host)
    }

    fn pause(&mut self, host: HostId) {
        self.hosts[host].cx.clock.stop();
        self.fabric.with(|fabric| fabric.pause(host));
    }

    fn resume(&mut self, host: HostId) {
        self.hosts[host].cx.clock.go_on();
        self.fabric.with(|fabric| fabric.resume(host));
    }
}

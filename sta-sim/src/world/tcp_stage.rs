//! The stage in real time: each host a thread with a runtime of its own, over loopback TCP that our network shapes.
//!
//! Nothing here repeats: threads and kernel decide who is first. A process dies with its runtime, and with it every task and
//! socket that it had. Hosts share the address 127.0.0.1 and differ by their ports, which lie below those that the
//! system gives away by itself, in a block that one simulator at a time holds.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sta_core::io::clock::{Clock, RuntimeClock};
use sta_core::model::address::Address;
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;
use sta_net_tcp::TcpTransport;
use tokio::sync::oneshot;

use super::fabric::{Edge, Fabric, HostId};
use super::panics::{self, watch};
use super::shaping::{Shaped, SharedFabric};
use super::stage::{HostClock, HostCx, Software, Stage, StageError};
use crate::scenario::site::Core;

/// Most hosts: what one machine runs without measuring itself.
pub const HOSTS_MAX: usize = 64;
/// How late something may happen on the network that nobody asked about: a fifth of the shortest delay that turmoil has.
const GRAIN: Duration = Duration::from_micros(200);
/// How long a process may take until it listens. One that takes longer goes on, and is dialled in vain at first.
const LISTEN_PATIENCE: Duration = Duration::from_secs(2);
/// How often a host looks whether a task of its process has panicked.
const PANIC_LOOK: Duration = Duration::from_millis(50);
/// Blocks of ports: the first of each says that it is taken, the others are for hosts.
const BLOCK_PORTS: u16 = 128;
const FIRST_PORT: u16 = 10_240;
/// The ports from 32,768 on are those that Linux gives to whoever dials.
const BLOCKS: u16 = (32_768 - FIRST_PORT) / BLOCK_PORTS;

/// See the module's text.
pub struct TcpStage {
    fabric: Arc<SharedFabric>,
    clock: Arc<dyn Clock>,
    hosts: Vec<Host>,
    /// The first port of our block, held.
    block: TcpListener,
    /// Whose thread has panicked, and how.
    panicked: Arc<Mutex<Option<(HostId, String)>>>,
}

struct Host {
    cx: HostCx,
    software: Software,
    process: Option<Running>,
}

/// A process: what ends it, and the thread that ends with it.
struct Running {
    kill: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl TcpStage {
    /// An empty stage, whose clock runs from now on. Delays and losses are drawn from `seed`.
    ///
    /// # Errors
    /// [`StageError::Machine`] if there are no ports.
    pub fn new(seed: Seed, core: Core) -> Result<Self, StageError> {
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::start());
        let fabric = Fabric::new(seed.child("fabric"), core);
        Ok(Self {
            fabric: SharedFabric::new(fabric, Arc::clone(&clock)),
            clock,
            hosts: Vec::new(),
            block: free_block()?,
            panicked: Arc::default(),
        })
    }

    fn socket_addr(&self, host: HostId) -> SocketAddr {
        let first = self.block.local_addr().map_or(0, |addr| addr.port());
        (Ipv4Addr::LOCALHOST, first + 1 + host as u16).into()
    }

    /// Ends the process of `host`, and returns when nothing is left of it.
    fn kill(&mut self, host: HostId) {
        self.resume(host);
        if let Some(Running { kill, thread }) = self.hosts[host].process.take() {
            // An error means that it has ended by itself: it has panicked, which is known already.
            let _ = (kill.send(()), thread.join());
        }
    }

    fn check(&self) -> Result<(), StageError> {
        let panicked = self.panicked.lock().unwrap_or_else(PoisonError::into_inner).take();
        panicked.map_or(Ok(()), |(host, what)| Err(StageError::Panicked { host: Some(host), what }))
    }
}

impl Stage for TcpStage {
    fn add_host(
        &mut self,
        name: &str,
        edge: Edge,
        software: Software,
    ) -> Result<HostId, StageError> {
        if self.hosts.len() == HOSTS_MAX {
            let (hosts, most, world) = (HOSTS_MAX + 1, HOSTS_MAX, "tcp");
            let why = "one machine has to run them all";
            return Err(StageError::TooManyHosts { hosts, most, world, why });
        }
        let id = self.fabric.with(|fabric| {
            let id = fabric.add_host(name, edge);
            fabric.process_down(id);
            id
        });
        let listen = self.socket_addr(id);
        self.fabric.listens_at(listen, id);
        let inner = Arc::new(TcpTransport::new());
        let transport = Arc::new(Shaped::fetching_early(inner, Arc::clone(&self.fabric), id));
        let clock = Arc::new(HostClock::new(Arc::clone(&self.clock)));
        let cx = HostCx { id, ip: listen.ip(), listen, transport, clock };
        self.hosts.push(Host { cx, software, process: None });
        Ok(id)
    }

    fn address(&self, host: HostId, _: &str) -> Address {
        self.socket_addr(host).into()
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn fabric(&self) -> &SharedFabric {
        &self.fabric
    }

    fn runs(&self, host: HostId) -> bool {
        self.hosts[host].process.is_some()
    }

    fn step(&mut self) -> Result<(), StageError> {
        std::thread::sleep(GRAIN);
        self.fabric.tick();
        self.check()
    }

    fn start(&mut self, host: HostId) -> Result<(), StageError> {
        self.fabric.with(|fabric| fabric.process_up(host));
        let before = self.fabric.listened(host);
        let Host { cx, software, process } = &mut self.hosts[host];
        let (kill, killed) = oneshot::channel();
        let (panicked, id) = (Arc::clone(&self.panicked), cx.id);
        let (cx, software) = (cx.clone(), Arc::clone(software));
        let thread = std::thread::Builder::new().name(format!("host-{host}")).spawn(move || {
            if let Some(what) = live(cx, &software, killed) {
                let mut first = panicked.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert((id, what));
            }
        });
        let no_thread = |error| StageError::Machine(format!("no thread for a host: {error}"));
        *process = Some(Running { kill, thread: thread.map_err(no_thread)? });
        // Who is started after it may dial it at once, as in the other worlds.
        let patience = self.now() + LISTEN_PATIENCE;
        while self.fabric.listened(host) == before && self.now() < patience {
            self.step()?;
        }
        Ok(())
    }

    fn crash(&mut self, host: HostId) -> Result<(), StageError> {
        self.fabric.with(|fabric| fabric.process_down(host));
        self.kill(host);
        self.check()
    }

    fn power_off(&mut self, host: HostId) -> Result<(), StageError> {
        self.fabric.with(|fabric| fabric.power_off(host));
        self.kill(host);
        self.check()
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

impl Drop for TcpStage {
    fn drop(&mut self) {
        (0..self.hosts.len()).for_each(|host| self.kill(host));
    }
}

/// Runs a process on this thread until it is killed or panics; the first panic of any of its tasks.
fn live(cx: HostCx, software: &Software, killed: oneshot::Receiver<()>) -> Option<String> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system has another epoll instance");
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = killed => {}
                () = panic_of_a_task() => {}
                // A process that has stopped in order still holds what its kernel would.
                () = async { software(cx).await; std::future::pending().await } => {}
            }
        });
    };
    let (_, panic) = watch(run);
    panic.map(|panic| panic.what)
}

async fn panic_of_a_task() {
    while !panics::seen() {
        tokio::time::sleep(PANIC_LOOK).await;
    }
}

/// The first port of a block that nobody uses, held. Every simulator begins to look elsewhere.
fn free_block() -> Result<TcpListener, StageError> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let first = std::process::id() % u32::from(BLOCKS);
    for block in 0..BLOCKS {
        let block = (first as u16 + block) % BLOCKS;
        let port = FIRST_PORT + block * BLOCK_PORTS;
        let Ok(held) = bind(port) else { continue };
        if (1..=HOSTS_MAX as u16).all(|host| bind(port + host).is_ok()) {
            return Ok(held);
        }
    }
    let last = FIRST_PORT + BLOCKS * BLOCK_PORTS;
    Err(StageError::Machine(format!(
        "no {HOSTS_MAX} ports in a row are free on 127.0.0.1 between {FIRST_PORT} and {last}; end what holds them"
    )))
}

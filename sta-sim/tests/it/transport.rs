//! What every transport must do, done by turmoil's and by the shaped ones.

use std::cell::Cell;
use std::future::Future;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sta_core::io::clock::{Clock, RuntimeClock};
use sta_core::io::transport::{Batch, Transport as _};
use sta_core::model::address::Address;
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;
use sta_core::testing::transport_suite;
use sta_net_tcp::TcpTransport;
use sta_sim::scenario::dist::Dist;
use sta_sim::scenario::site::Core;
use sta_sim::scenario::units::Ppm;
use sta_sim::world::fabric::{Edge, Fabric, WINDOW_BYTES_MAX};
use sta_sim::world::shaping::{Shaped, SharedFabric};
use sta_sim::world::stage::{HostCx, Stage as _};
use sta_sim::world::turmoil_net::{Lanes, TurmoilTransport};
use sta_sim::world::turmoil_stage::{TICK_MIN, TurmoilStage};

/// Runs `suite` on one host.
fn conforms<Fut: Future<Output = ()> + 'static>(edge: Edge, suite: fn(HostCx) -> Fut) {
    let mut stage = TurmoilStage::new(Seed(1), Core::default(), TICK_MIN);
    let done = Rc::new(Cell::new(false));
    let tell = Rc::clone(&done);
    let host = stage.add("host", edge, move |cx| {
        let tell = Rc::clone(&tell);
        async move {
            suite(cx).await;
            tell.set(true);
        }
    });
    stage.start(host.expect("one host")).expect("it starts");
    while !done.get() {
        stage.step().expect("no story panics");
        assert!(stage.now().as_secs_f64() < 600.0, "a story does not end");
    }
}

/// But one story: turmoil does not wake a writer without credit when its peer resets the stream, so a send to nobody
/// hangs. The shaped transport, which is what hosts get, does not come so far.
async fn all_but_one(cx: HostCx) {
    let (transport, ip) = (&TurmoilTransport::new(cx.ip, Lanes::default()), cx.ip);
    transport_suite::addresses_agree(transport, ip).await;
    transport_suite::bytes_arrive_in_order(transport, ip).await;
    transport_suite::bodies_of_bytes_and_files_arrive_between_their_headers(transport, ip).await;
    transport_suite::much_that_is_waited_for_arrives_and_so_does_little_after_it(transport, ip)
        .await;
    transport_suite::a_large_transfer_goes_both_ways_at_once(transport, ip).await;
    transport_suite::an_end_is_seen_and_the_other_direction_lives_on(transport, ip).await;
    transport_suite::what_cannot_be_read_is_an_error(transport, ip).await;
    transport_suite::connecting_to_nobody_fails(transport, ip).await;
    transport_suite::many_connections_are_open_at_once(transport, ip).await;
    transport_suite::a_receiver_that_does_not_read_makes_the_sender_wait(transport, ip).await;
}

async fn all_shaped(cx: HostCx) {
    transport_suite::all(&*cx.transport, cx.ip).await;
}

#[test]
fn turmoils_transport_conforms() {
    conforms(Edge::default(), all_but_one);
}

#[test]
fn the_shaped_transport_conforms() {
    conforms(Edge::default(), all_shaped);
    let slow = Edge {
        site: None,
        up: Some(10_000_000),
        down: Some(5_000_000),
        latency: Duration::from_millis(20),
        jitter: Dist::Uniform { min: 0, max: 5_000_000 },
        loss: Ppm(1_000),
    };
    conforms(slow, all_shaped);
}

/// The fabric shapes real TCP as well, in real time.
#[test]
fn shaped_tcp_conforms() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut fabric = Fabric::new(Seed(1), Core::of(Duration::from_millis(1)));
        let edge = Edge { up: Some(200_000_000), down: Some(200_000_000), ..Edge::default() };
        let host = fabric.add_host("here", edge);
        let fabric = SharedFabric::new(fabric, Arc::new(RuntimeClock::start()));
        let driven = Arc::clone(&fabric);
        tokio::spawn(async move { driven.drive().await });
        let shaped = Shaped::fetching_early(Arc::new(TcpTransport::new()), fabric, host);
        let suite = transport_suite::all(&shaped, Ipv4Addr::LOCALHOST.into());
        tokio::time::timeout(Duration::from_secs(120), suite).await.expect("every story ends");
    });
}

/// Time stands still, so that nothing that is sent arrives: a whole window is on its way all the same, however little of it
/// two kernels keep that are next door to each other.
#[test]
fn real_tcp_carries_a_window_that_its_kernels_would_not_keep() {
    struct Still;
    impl Clock for Still {
        fn now(&self) -> Time {
            Time::ZERO
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut fabric = Fabric::new(Seed(1), Core::of(Duration::from_millis(1)));
        let hosts = ["here", "there"].map(|name| fabric.add_host(name, Edge::default()));
        let fabric = SharedFabric::new(fabric, Arc::new(Still));
        let [here, there] = hosts.map(|host| {
            let tcp = Arc::new(TcpTransport::new());
            Shaped::fetching_early(tcp, Arc::clone(&fabric), host)
        });
        let at = (Ipv4Addr::LOCALHOST, 0).into();
        let mut listener = there.listen(at).await.expect("a free port");
        let to = Address::from(listener.local_addr());
        let (sender, receiver) = tokio::join!(here.connect(&to), listener.accept());
        let mut sender = sender.expect("it listens").send;
        let mut receiver = receiver.expect("it is dialled").recv;
        let mut batch = Batch::default();
        batch.heads.resize(WINDOW_BYTES_MAX as usize, 7);
        let mut space = [0; 1];
        tokio::select! {
            biased;
            _ = receiver.recv(&mut space) => panic!("something arrived while time stood still"),
            sent = sender.send(&mut batch) => sent.expect("the window has room for it"),
        }
    });
}

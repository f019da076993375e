use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Fair, FlowId, LinkId, UNLIMITED};

/// A case with a known answer: its name, uplinks, downlinks, flows, and the rates they are to have.
type Known<'a> = (&'a str, &'a [u64], &'a [u64], &'a [Spec], &'a [u64]);
/// Uplinks, downlinks, and flows that begin or end.
type Story = (Vec<u64>, Vec<u64>, Vec<(bool, usize, Spec)>);

/// A flow as a test writes it: index of its uplink, of its downlink, and its cap.
type Spec = (usize, usize, u64);

/// Progressive filling, a unit at a time: slow and obvious.
fn filled(ups: &[u64], downs: &[u64], flows: &[Spec]) -> Vec<u64> {
    let mut rates = vec![0; flows.len()];
    let mut growing = vec![true; flows.len()];
    let crosses = |link: usize, &(up, down, _): &Spec| link == up || link == ups.len() + down;
    let capacities: Vec<u64> = ups.iter().chain(downs).copied().collect();
    while growing.contains(&true) {
        let wanted = |f: usize| rates[f] + u64::from(growing[f]);
        let short: Vec<usize> = (0..capacities.len())
            .filter(|&link| {
                let on_it = (0..flows.len()).filter(|&f| crosses(link, &flows[f]));
                on_it.map(wanted).sum::<u64>() > capacities[link]
            })
            .collect();
        for f in 0..flows.len() {
            let stopped = rates[f] == flows[f].2 || short.iter().any(|&l| crosses(l, &flows[f]));
            // The bend: nobody stops below one byte per second.
            growing[f] &= !stopped || rates[f] == 0;
            rates[f] += u64::from(growing[f]);
        }
    }
    rates
}

/// The same links and flows, started in the order given.
struct Rig {
    fair: Fair,
    ups: Vec<LinkId>,
    downs: Vec<LinkId>,
    started: u32,
    /// The rates that it was told: all that a user of [`Fair`] knows.
    told: BTreeMap<FlowId, u64>,
}

impl Rig {
    fn new(ups: &[u64], downs: &[u64]) -> Self {
        let mut fair = Fair::default();
        let ups = ups.iter().map(|&c| fair.add_link(c)).collect();
        let downs = downs.iter().map(|&c| fair.add_link(c)).collect();
        Self { fair, ups, downs, started: 0, told: BTreeMap::new() }
    }

    fn start(&mut self, (up, down, cap): Spec) -> FlowId {
        let flow = FlowId(self.started);
        self.started += 1;
        self.fair.start(flow, self.ups[up], self.downs[down], cap);
        flow
    }

    fn rates(&mut self, flows: &[FlowId]) -> Vec<u64> {
        self.fair.settle(|flow, rate| {
            self.told.insert(flow, rate);
        });
        flows.iter().map(|flow| self.told[flow]).collect()
    }
}

fn rates(ups: &[u64], downs: &[u64], flows: &[Spec]) -> Vec<u64> {
    let mut rig = Rig::new(ups, downs);
    let flows: Vec<FlowId> = flows.iter().map(|&flow| rig.start(flow)).collect();
    rig.rates(&flows)
}

const FREE: u64 = UNLIMITED;

#[test]
fn worked_by_hand() {
    // (uplinks, downlinks, flows) -> rates
    let table: &[Known] = &[
        ("one flow takes the lesser link", &[10], &[30], &[(0, 0, FREE)], &[10]),
        ("a cap below both", &[10], &[30], &[(0, 0, 4)], &[4]),
        (
            "one sender, three receivers",
            &[90],
            &[100; 3],
            &[(0, 0, FREE), (0, 1, FREE), (0, 2, FREE)],
            &[30, 30, 30],
        ),
        (
            "three senders, one receiver",
            &[100; 3],
            &[90],
            &[(0, 0, FREE), (1, 0, FREE), (2, 0, FREE)],
            &[30, 30, 30],
        ),
        (
            "what a slow receiver leaves goes to the others",
            &[90],
            &[10, 100, 100],
            &[(0, 0, FREE), (0, 1, FREE), (0, 2, FREE)],
            &[10, 40, 40],
        ),
        (
            "what a capped one leaves, too",
            &[90],
            &[100; 3],
            &[(0, 0, 20), (0, 1, FREE), (0, 2, FREE)],
            &[20, 35, 35],
        ),
        (
            // d0 has three flows: 10 each. u0 gives what is left, 20, to its second; d1 then has 40 for u1's second.
            "levels in a row",
            &[30, 90, 90],
            &[30, 60],
            &[(0, 0, FREE), (1, 0, FREE), (2, 0, FREE), (0, 1, FREE), (1, 1, FREE)],
            &[10, 10, 10, 20, 40],
        ),
        (
            "a tie leaves the rest to nobody",
            &[3, 9],
            &[3, 9],
            &[(0, 0, FREE), (0, 1, FREE), (1, 0, FREE)],
            &[1, 1, 1],
        ),
        (
            "never less than one",
            &[2],
            &[9; 3],
            &[(0, 0, FREE), (0, 1, FREE), (0, 2, FREE)],
            &[1, 1, 1],
        ),
    ];
    for (name, ups, downs, flows, expected) in table {
        assert_eq!(rates(ups, downs, flows), *expected, "{name}");
        assert_eq!(filled(ups, downs, flows), *expected, "{name}, a unit at a time");
    }
}

#[test]
fn an_end_gives_back_what_a_start_took() {
    let mut rig = Rig::new(&[100, 100], &[100, 100]);
    let flows = [(0, 0, FREE), (0, 1, FREE), (1, 1, FREE)].map(|flow| rig.start(flow));
    assert_eq!(rig.rates(&flows), [50, 50, 50]);
    rig.fair.end(flows[1]);
    assert_eq!(rig.rates(&[flows[0], flows[2]]), [100, 100]);
    rig.fair.set_capacity(rig.ups[0], 7);
    assert_eq!(rig.rates(&[flows[0], flows[2]]), [7, 100]);
}

#[test]
fn an_end_and_a_start_at_the_same_moment_change_no_rate_of_others() {
    let mut rig = Rig::new(&[100], &[80; 3]);
    let first = [(0, 0, FREE), (0, 1, FREE)].map(|flow| rig.start(flow));
    assert_eq!(rig.rates(&first), [50, 50]);
    rig.fair.end(first[0]);
    let next = rig.start((0, 2, FREE));
    let mut told = Vec::new();
    rig.fair.settle(|flow, rate| told.push((flow, rate)));
    assert!(told.contains(&(next, 50)));
    assert!(told.iter().all(|&(flow, rate)| flow == next || (flow, rate) == (first[1], 50)));
}

/// Links of `range`, and flows that start (true) or end; which one ends is an index into those there are.
fn stories(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Story> {
    let links = || prop::collection::vec(range.clone(), 1..7);
    (links(), links()).prop_flat_map(move |(ups, downs)| {
        let cap = prop_oneof![3 => Just(FREE), 1 => 1..=30u64];
        let spec = (0..ups.len(), 0..downs.len(), cap);
        let steps = prop::collection::vec((prop::bool::weighted(0.7), 0..1000usize, spec), 1..40);
        (Just(ups), Just(downs), steps)
    })
}

proptest! {
    /// Step by step, and settled only now and then, the rates are those of filling from nothing.
    #[test]
    fn repaired_rates_are_those_of_progressive_filling((ups, downs, steps) in stories(1..=60)) {
        let mut rig = Rig::new(&ups, &downs);
        let mut alive: Vec<(FlowId, Spec)> = Vec::new();
        for (start, which, spec) in steps {
            if start || alive.is_empty() {
                alive.push((rig.start(spec), spec));
            } else {
                let (flow, _) = alive.remove(which % alive.len());
                rig.fair.end(flow);
            }
            if which % 3 == 0 {
                continue;
            }
            let (ids, specs): (Vec<FlowId>, Vec<Spec>) = alive.iter().copied().unzip();
            prop_assert_eq!(rig.rates(&ids), filled(&ups, &downs, &specs));
        }
    }

    /// The definition of max-min fairness, where filling a unit at a time would take too long: every flow below its cap
    /// crosses a link that is used up (to less than a unit a flow) and on which nobody has more.
    #[test]
    fn every_flow_has_a_bottleneck((ups, downs, steps) in stories(1_000..=5_000_000_000)) {
        let mut rig = Rig::new(&ups, &downs);
        let specs: Vec<Spec> = steps.iter().map(|step| step.2).collect();
        let flows: Vec<FlowId> = specs.iter().map(|&spec| rig.start(spec)).collect();
        let rates = rig.rates(&flows);
        let on = |link: usize| -> Vec<u64> {
            let crosses = |spec: &Spec| spec.0 == link || ups.len() + spec.1 == link;
            specs.iter().zip(&rates).filter(|(spec, _)| crosses(spec)).map(|(_, &rate)| rate).collect()
        };
        for (link, &capacity) in ups.iter().chain(&downs).enumerate() {
            prop_assert!(on(link).iter().sum::<u64>() <= capacity, "link {link} carries too much");
        }
        for (&(up, down, cap), &rate) in specs.iter().zip(&rates) {
            let is_bottleneck = |link: usize, capacity: u64| {
                let all = on(link);
                let used_up = all.iter().sum::<u64>() + all.len() as u64 > capacity;
                used_up && all.iter().all(|&other| other <= rate)
            };
            let stopped = rate == cap
                || is_bottleneck(up, ups[up])
                || is_bottleneck(ups.len() + down, downs[down]);
            prop_assert!(stopped, "flow {up} to {down}, cap {cap}, has {rate}");
        }
    }
}

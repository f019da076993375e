use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Fair, FlowId, LinkId, UNLIMITED};

/// A case with a known answer: its name, uplinks, downlinks, flows, and the rates they are to have.
type Known<'a> = (&'a str, &'a [u64], &'a [u64], &'a [Spec], &'a [u64]);
/// Links, and flows that begin or end.
type Story = (Links, Vec<(bool, usize, Spec)>);

/// A flow as a test writes it: index of its uplink, of its downlink, and its cap.
type Spec = (usize, usize, u64);

/// What links can carry. Uplinks and downlinks are shared out among the sites in turn, and the last ones of a round are of none.
#[derive(Clone, Debug, Default)]
struct Links {
    ups: Vec<u64>,
    downs: Vec<u64>,
    /// Up and down.
    sites: Vec<[u64; 2]>,
}

impl Links {
    fn new(ups: &[u64], downs: &[u64]) -> Self {
        Self { ups: ups.to_vec(), downs: downs.to_vec(), sites: Vec::new() }
    }

    /// Of all links in a row: uplinks, downlinks, those of sites.
    fn capacities(&self) -> Vec<u64> {
        let sites = self.sites.iter().flatten();
        self.ups.iter().chain(&self.downs).chain(sites).copied().collect()
    }

    /// Which of them a flow crosses.
    fn path(&self, &(up, down, _): &Spec) -> Vec<usize> {
        let hosts = self.ups.len() + self.downs.len();
        let site =
            |host: usize| Some(host % (self.sites.len() + 1)).filter(|&s| s < self.sites.len());
        let mut path = vec![up, self.ups.len() + down];
        if site(up) != site(down) {
            path.extend(site(up).map(|site| hosts + 2 * site));
            path.extend(site(down).map(|site| hosts + 2 * site + 1));
        }
        path
    }
}

/// Progressive filling, a unit at a time: slow and obvious.
fn filled(links: &Links, flows: &[Spec]) -> Vec<u64> {
    let mut rates = vec![0; flows.len()];
    let mut growing = vec![true; flows.len()];
    let crosses = |link: usize, flow: &Spec| links.path(flow).contains(&link);
    let capacities = links.capacities();
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
    links: Links,
    started: u32,
    /// The rates that it was told: all that a user of [`Fair`] knows.
    told: BTreeMap<FlowId, u64>,
}

impl Rig {
    fn new(links: &Links) -> Self {
        let mut fair = Fair::default();
        for capacity in links.capacities() {
            fair.add_link(capacity);
        }
        Self { fair, links: links.clone(), started: 0, told: BTreeMap::new() }
    }

    fn start(&mut self, spec: Spec) -> FlowId {
        let flow = FlowId(self.started);
        self.started += 1;
        let path = self.links.path(&spec).into_iter().map(|link| LinkId(link as u32));
        self.fair.start(flow, path, spec.2);
        flow
    }

    fn rates(&mut self, flows: &[FlowId]) -> Vec<u64> {
        self.fair.settle(|flow, rate| {
            self.told.insert(flow, rate);
        });
        flows.iter().map(|flow| self.told[flow]).collect()
    }
}

fn rates(links: &Links, flows: &[Spec]) -> Vec<u64> {
    let mut rig = Rig::new(links);
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
        let links = Links::new(ups, downs);
        assert_eq!(rates(&links, flows), *expected, "{name}");
        assert_eq!(filled(&links, flows), *expected, "{name}, a unit at a time");
    }
}

#[test]
fn hosts_of_a_site_share_its_link_worked_by_hand() {
    // One site: hosts 0 and 2 are of it, 1 and 3 of none.
    let site = |up, down| Links { sites: vec![[up, down]], ..Links::new(&[100; 4], &[100; 4]) };
    let out = [(0, 1, FREE), (2, 3, FREE), (0, 2, FREE)];
    // Out of it two share 60; what stays within has what host 0 has left.
    assert_eq!(rates(&site(60, 500), &out), [30, 30, 70]);
    let into = [(1, 0, FREE), (3, 2, FREE), (3, 1, FREE)];
    assert_eq!(rates(&site(500, 60), &into), [30, 30, 70]);
    // Two sites, host 0 of the first, 1 of the second, 2 of none: the lesser of their links, and what it leaves on the other.
    let two = Links { sites: vec![[50, 9], [9, 20]], ..Links::new(&[100; 3], &[100; 3]) };
    assert_eq!(rates(&two, &[(0, 1, FREE), (0, 2, FREE)]), [20, 30]);
}

#[test]
fn an_end_gives_back_what_a_start_took() {
    let mut rig = Rig::new(&Links::new(&[100, 100], &[100, 100]));
    let flows = [(0, 0, FREE), (0, 1, FREE), (1, 1, FREE)].map(|flow| rig.start(flow));
    assert_eq!(rig.rates(&flows), [50, 50, 50]);
    rig.fair.end(flows[1]);
    assert_eq!(rig.rates(&[flows[0], flows[2]]), [100, 100]);
    rig.fair.set_capacity(LinkId(0), 7);
    assert_eq!(rig.rates(&[flows[0], flows[2]]), [7, 100]);
}

#[test]
fn an_end_and_a_start_at_the_same_moment_change_no_rate_of_others() {
    let mut rig = Rig::new(&Links::new(&[100], &[80; 3]));
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
    let site = [range.clone(), range.clone()];
    let sites = prop::collection::vec(site, 0..3);
    (links(), links(), sites).prop_flat_map(move |(ups, downs, sites)| {
        let cap = prop_oneof![3 => Just(FREE), 1 => 1..=30u64];
        let spec = (0..ups.len(), 0..downs.len(), cap);
        let steps = prop::collection::vec((prop::bool::weighted(0.7), 0..1000usize, spec), 1..40);
        (Just(Links { ups, downs, sites }), steps)
    })
}

proptest! {
    /// Step by step, and settled only now and then, the rates are those of filling from nothing.
    #[test]
    fn repaired_rates_are_those_of_progressive_filling((links, steps) in stories(1..=60)) {
        let mut rig = Rig::new(&links);
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
            prop_assert_eq!(rig.rates(&ids), filled(&links, &specs));
        }
    }

    /// The definition of max-min fairness, where filling a unit at a time would take too long: every flow below its cap
    /// crosses a link that is used up (to less than a unit a flow) and on which nobody has more.
    #[test]
    fn every_flow_has_a_bottleneck((links, steps) in stories(1_000..=5_000_000_000)) {
        let mut rig = Rig::new(&links);
        let specs: Vec<Spec> = steps.iter().map(|step| step.2).collect();
        let flows: Vec<FlowId> = specs.iter().map(|&spec| rig.start(spec)).collect();
        let rates = rig.rates(&flows);
        let on = |link: usize| -> Vec<u64> {
            let crosses = |spec: &Spec| links.path(spec).contains(&link);
            specs.iter().zip(&rates).filter(|(spec, _)| crosses(spec)).map(|(_, &rate)| rate).collect()
        };
        let capacities = links.capacities();
        for (link, &capacity) in capacities.iter().enumerate() {
            prop_assert!(on(link).iter().sum::<u64>() <= capacity, "link {link} carries too much");
        }
        for (spec, &rate) in specs.iter().zip(&rates) {
            let is_bottleneck = |link: usize| {
                let all = on(link);
                let used_up = all.iter().sum::<u64>() + all.len() as u64 > capacities[link];
                used_up && all.iter().all(|&other| other <= rate)
            };
            let stopped = rate == spec.2 || links.path(spec).into_iter().any(is_bottleneck);
            prop_assert!(stopped, "flow {spec:?} has {rate}");
        }
    }
}

//! The world: everything there is, and the loop that makes it go.

use std::collections::BTreeMap;

use coordinator_core::model::GroupSpec;
use coordinator_core::time::Mono;

use super::Options;
use super::act::Answer;
use super::agent::{Agent, Asked};
use super::clock::{At, START, ms};
use super::cloud::Cloud;
use super::coordinator::Coordinator;
use super::event::{Event, Message, NodeIx, Timer};
use super::faults::Fault;
use super::invariants::{Broken, Oracle};
use super::mutation::Mutation;
use super::net::Network;
use super::queue::Queue;
use super::random::Random;
use super::setup::{self, COORDINATORS, LastResort, Timings};
use super::trace::Trace;

/// A world with everything in it. Nothing outside it has any influence on it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: At,
    pub(crate) queue: Queue,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) timings: Timings,
    /// Whether votes are withheld while a leader was heard of. Safety must not rest on it.
    pub(crate) sticky_votes: bool,
    /// What is declared for the worst case, anywhere.
    pub(crate) last_resort: LastResort,
    pub(crate) specs: Vec<GroupSpec>,
    pub(crate) coordinators: Vec<Coordinator>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) cloud: Cloud,
    pub(crate) net: Network,
    pub(crate) faults: BTreeMap<u64, Fault>,
    pub(crate) calm: bool,
    pub(crate) calm_since: At,
    /// The last number given to anything that needs one.
    pub(crate) numbers: u64,
    pub(crate) oracle: Oracle,
    pub(crate) events: u64,
}

impl World {
    /// The world of a seed, at its beginning.
    pub(crate) fn new(options: Options) -> World {
        let mut random = Random::new(options.seed);
        let timings = Timings::drawn(&mut random);
        let mut specs = setup::groups(&mut random, &timings);
        // Drawn beside the rest: a world without them is the same as ever.
        let last_resort = setup::last_resort(&mut Random::new(!options.seed), &mut specs);
        let sizes: Vec<usize> = specs.iter().map(|spec| spec.appliances.len()).collect();
        let mut agents = Vec::new();
        for (group, spec) in specs.iter().enumerate() {
            for (place, appliance) in spec.appliances.iter().enumerate() {
                let clock = timings.machine(&mut random);
                agents.push(Agent::new(appliance.name.clone(), group, place, clock));
            }
        }
        let coordinators: Vec<_> =
            (0..COORDINATORS).map(|_| Coordinator::new(timings.clock(&mut random, START))).collect();
        let mut world = World {
            now: START,
            queue: Queue::default(),
            last_resort,
            sticky_votes: random.percent(80),
            random,
            trace: Trace::new(options.keep),
            mutation: options.mutation,
            timings,
            net: Network::new(COORDINATORS + agents.len()),
            oracle: Oracle::new(&specs, options.thorough),
            specs,
            coordinators,
            agents,
            cloud: Cloud::new(&sizes),
            faults: BTreeMap::new(),
            calm: false,
            calm_since: START,
            numbers: 0,
            events: 0,
        };
        world.begin_everything();
        world
    }

    fn begin_everything(&mut self) {
        let (timings, sticky) = (self.timings, self.sticky_votes);
        let last_resort = self.last_resort;
        self.trace.line(self.now, format_args!("{timings:?}, sticky votes {sticky}, {last_resort:?}"));
        for node in 0..COORDINATORS {
            self.begin_coordinator(node);
        }
        for agent in 0..self.agents.len() {
            self.agents[agent].start(self.now, self.mutation);
            self.begin_agent(agent);
        }
        // Some seconds to form the cluster and to activate the groups.
        self.queue.push(self.now + ms(6_000), Event::Nemesis);
        self.queue.push(self.now + super::phases::CHAOS, Event::Phase);
    }

    /// Runs until `end`, or until an invariant is broken.
    pub(crate) fn run(&mut self, end: At) -> Option<Broken> {
        while self.oracle.broken.is_none() && self.queue.next_at().is_some_and(|at| at <= end) {
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            self.events += 1;
            self.trace.fold(at);
            self.trace.fold(event.digest());
            self.handle(event);
        }
        self.oracle_at_the_end();
        self.oracle.broken.take()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Nemesis => self.on_nemesis(),
            Event::Strike(plan) => self.strike(plan),
            Event::FaultEnds(id) => self.end(id),
            Event::PowersOff { node, life, call, agent } => self.on_powers_off(node, life, call, agent),
            Event::PowerOn(agent) => self.power_on(agent),
            Event::Phase => self.on_phase(),
            Event::Calm => self.on_calm(),
            Event::CloudArrive { node, life, call, request } => {
                self.on_cloud_arrive(node, life, call, request);
            }
            Event::Deliver { to, .. } => self.for_node(to, None, event),
            Event::Timer { node, life, .. } | Event::CloudAnswered { node, life, .. } => {
                self.for_node(node, Some(life), event);
            }
        }
    }

    /// What is for a process reaches it if it lives, and once it is not paused.
    fn for_node(&mut self, node: NodeIx, life: Option<u64>, event: Event) {
        let (up, paused, now_living, inbox) = match node.checked_sub(COORDINATORS) {
            None => {
                let c = &mut self.coordinators[node];
                (c.up, c.paused > 0, c.life, &mut c.inbox)
            }
            Some(agent) => {
                let a = &mut self.agents[agent];
                (a.up, a.paused > 0, a.life, &mut a.inbox)
            }
        };
        if !up || life.is_some_and(|life| life != now_living) {
            return;
        }
        if paused {
            inbox.push_back(event);
            return;
        }
        match event {
            Event::Deliver { from, to, message } if to < COORDINATORS => {
                self.for_coordinator(to, from, message)
            }
            Event::Deliver { from, to, message } => self.for_agent(to - COORDINATORS, from, message),
            Event::Timer { node, timer, .. } => self.on_timer(node, timer),
            Event::CloudAnswered { node, call, answer, .. } => self.on_cloud_answered(node, call, answer),
            _ => {}
        }
    }

    fn for_coordinator(&mut self, node: NodeIx, from: NodeIx, message: Message) {
        match message {
            Message::Vote { term, last, pre } => self.on_vote(node, from, term, last, pre),
            Message::Voted { term, granted, pre } => self.on_voted(node, from, term, granted, pre),
            Message::Append(append) => self.on_append(node, from, &append),
            Message::Appended { term, matched, hint, sent } => {
                self.on_appended(node, from, term, matched, hint, sent);
            }
            Message::Report { request, report } => self.on_report(node, from, request, report),
            Message::Sights { seq, sights } => self.on_sights(node, from, seq, sights),
            Message::Reply { .. } | Message::Promise { .. } | Message::Promised { .. } => {}
        }
    }

    fn for_agent(&mut self, agent: usize, from: NodeIx, message: Message) {
        match message {
            Message::Reply { request, instruction, declared } => {
                self.on_reply(agent, from, request, instruction, declared);
            }
            Message::Promise { ask, token, for_ms } => {
                self.on_asked(agent, Asked { from, ask, token, for_ms });
            }
            Message::Promised { ask, promised, token } => {
                self.on_promised(agent, from, ask, promised, token);
            }
            _ => {}
        }
    }

    fn on_timer(&mut self, node: NodeIx, timer: Timer) {
        match timer {
            Timer::Election => self.on_election_timer(node),
            Timer::Heartbeat => self.on_heartbeat_timer(node),
            Timer::Synced { len, vote } => self.on_synced(node, len, vote),
            Timer::Say { to, message } => self.send(node, to, message),
            Timer::Probe { agent, probe } => self.on_probe(node, agent, probe),
            Timer::Vantage => self.on_vantage_timer(node),
            Timer::Round { number } => self.on_round(node, number),
            Timer::ProposalLate { index, term } => self.on_proposal_late(node, index, term),
            Timer::ConfirmLate { id } => self.on_confirm_late(node, id),
            Timer::CallLate { call } => self.on_call_late(node, call),
            Timer::MoveWakes { task, ask } => self.answer_move(node, task, ask, Answer::Slept),
            Timer::Report { to } => self.on_report_timer(node - COORDINATORS, to),
            Timer::Turn => self.turn(node - COORDINATORS),
            Timer::Stored => self.on_stored(node - COORDINATORS),
            Timer::Promiser => self.on_promiser_timer(node - COORDINATORS),
            Timer::PromisesOver { round } => self.on_promises_over(node - COORDINATORS, round),
        }
    }

    pub(crate) fn life(&self, node: NodeIx) -> u64 {
        match node.checked_sub(COORDINATORS) {
            None => self.coordinators[node].life,
            Some(agent) => self.agents[agent].life,
        }
    }

    /// A coordinator's monotonic clock.
    pub(crate) fn mono(&self, node: NodeIx) -> Mono {
        self.coordinators[node].clock.mono(self.now)
    }
}

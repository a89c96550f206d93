//! A pool with its leader: three vantages that agree, and a load balancer that does as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use coordinator_core::apply::Rejection;
use coordinator_core::command::{CommandBody, StepOutcome};
use coordinator_core::decide::Observations;
use coordinator_core::event::Event;
use coordinator_core::ids::{ApplianceName, NodeId, PoolName};
use coordinator_core::observe::{Sight, VantageReport, Verdict};
use coordinator_core::pool::{
    ChangeMember, MemberSpec, Pool, PoolCommand, PoolPolicy, PoolReason, PoolSpec, RecordPlacement, Side,
    Standing, Way, action, decide,
};
use coordinator_core::time::{Mono, Now};

use crate::common::{Log, appliance, probe};

pub(crate) fn name() -> PoolName {
    "proxies".parse().expect("a pool's name")
}

pub(crate) fn backend_pool(what: &str, members: &[&str]) -> Way {
    let target = |member: &&str| (appliance(member), format!("nic-{member}-{what}"));
    Way::BackendPool {
        adapter: "azure".parse().expect("an adapter's name"),
        backend_pool: what.to_owned(),
        targets: members.iter().map(target).collect(),
    }
}

/// A pool of members `10.1.0.1` and following, with both sides.
pub(crate) fn pool(members: &[&str]) -> PoolSpec {
    let own = |i: usize| IpAddr::V4(Ipv4Addr::new(10, 1, 0, u8::try_from(i + 1).expect("few members")));
    let member = |(i, name): (usize, &&str)| MemberSpec {
        name: appliance(name),
        address: own(i),
        probes: vec![probe()],
    };
    PoolSpec {
        name: name(),
        members: members.iter().enumerate().map(member).collect(),
        ingress: Some(backend_pool("front", members)),
        egress: Some(backend_pool("back", members)),
        policy: PoolPolicy::default(),
    }
}

pub(crate) struct World {
    pub(crate) log: Log,
    pub(crate) verdicts: BTreeMap<ApplianceName, Verdict>,
}

impl World {
    /// A pool whose members are all in and up.
    pub(crate) fn in_service(spec: PoolSpec) -> World {
        let mut world = World::declared(spec);
        for member in world.names() {
            world.see(member.as_str(), Verdict::Up);
        }
        world.settle();
        world.finish();
        assert_eq!(world.standings(), vec!["in"; world.names().len()]);
        // Nobody has come up just now.
        world.pass(Duration::from_secs(60));
        world.settle();
        world
    }

    pub(crate) fn declared(spec: PoolSpec) -> World {
        let mut world = World { log: Log::default(), verdicts: BTreeMap::new() };
        world.log.by_operator(CommandBody::Pool(PoolCommand::Put(spec))).expect("a sound declaration");
        world
    }

    pub(crate) fn pool(&self) -> &Pool {
        self.log.state.pools.get(&name()).expect("the pool is declared")
    }

    pub(crate) fn names(&self) -> Vec<ApplianceName> {
        self.pool().spec.members.iter().map(|m| m.name.clone()).collect()
    }

    pub(crate) fn see(&mut self, member: &str, verdict: Verdict) {
        self.verdicts.insert(appliance(member), verdict);
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        self.log.at += span;
    }

    pub(crate) fn standing(&self, member: &str) -> &Standing {
        &self.pool().members[&appliance(member)].standing
    }

    /// In the declared order.
    pub(crate) fn standings(&self) -> Vec<&'static str> {
        let of = |member: &MemberSpec| self.pool().members[&member.name].standing.word();
        self.pool().spec.members.iter().map(of).collect()
    }

    fn observations(&self, now: Mono) -> Observations {
        let sight = |(member, verdict): (&ApplianceName, &Verdict)| Sight {
            appliance: member.clone(),
            verdict: *verdict,
            detail: "tcp: as told".to_owned(),
        };
        let report = || VantageReport::new(now, self.verdicts.iter().map(sight));
        Observations {
            vantages: [1, 2, 3].map(NodeId).into(),
            reports: [1, 2, 3].map(|node| (NodeId(node), report())).into(),
        }
    }

    pub(crate) fn decide(&self) -> decide::PoolDecision {
        let mono = Mono(Duration::from_secs(1_000) + self.log.at);
        let now = Now { mono, wall: self.log.wall() };
        decide::decide(&self.log.state, &self.observations(mono), now)
    }

    pub(crate) fn reasons(&self) -> Vec<PoolReason> {
        self.decide().reasons.remove(&name()).expect("reasons of the pool")
    }

    /// Decides and applies until nothing more is proposed, without the load balancer.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            let decision = self.decide();
            if decision.propose.is_empty() {
                return;
            }
            for body in decision.propose {
                self.log.by_coordinator(body).expect("what is decided is accepted");
            }
        }
        panic!("the decisions do not settle: {:?}", self.decide().propose);
    }

    /// The load balancer does everything that is pending, and so on until all is at rest.
    pub(crate) fn finish(&mut self) {
        for _ in 0..100 {
            let pending = action::pending(&self.log.state);
            if pending.is_empty() {
                return;
            }
            for placing in pending {
                for (side, _) in placing.sides {
                    let record = self.record(placing.member.as_str(), side, StepOutcome::Done);
                    record.expect("a step of a running change");
                }
            }
            self.settle();
        }
        panic!("the changes do not end: {:?}", action::pending(&self.log.state));
    }

    pub(crate) fn record(
        &mut self,
        member: &str,
        side: Side,
        outcome: StepOutcome,
    ) -> Result<Vec<Event>, Rejection> {
        let change = self.standing(member).change().expect("a change is under way");
        let record = RecordPlacement {
            pool: name(),
            member: appliance(member),
            token: change.token,
            side,
            outcome,
            calls: Vec::new(),
            took: Duration::from_millis(40),
        };
        self.log.by_coordinator(CommandBody::Pool(PoolCommand::RecordPlacement(record)))
    }

    pub(crate) fn take_out(&mut self, member: &str) -> Result<Vec<Event>, Rejection> {
        self.log.by_operator(CommandBody::Pool(PoolCommand::TakeOut(asked(member, None))))
    }

    pub(crate) fn put_in(&mut self, member: &str) -> Result<Vec<Event>, Rejection> {
        self.log.by_operator(CommandBody::Pool(PoolCommand::PutIn(asked(member, None))))
    }

    pub(crate) fn pending(&self) -> BTreeSet<(String, bool)> {
        let pending = action::pending(&self.log.state);
        pending.into_iter().map(|placing| (placing.member.to_string(), placing.inside)).collect()
    }
}

pub(crate) fn asked(member: &str, expected: Option<coordinator_core::ids::Token>) -> ChangeMember {
    ChangeMember {
        pool: name(),
        member: appliance(member),
        expected,
        reason: "patching".to_owned(),
        because: vec![PoolReason::Requested { reason: "patching".to_owned() }],
        evidence: Vec::new(),
    }
}

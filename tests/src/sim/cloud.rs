//! A cloud with conditional writes: NICs, public IPs and route tables.
//!
//! The rules are those of `cloud-adapters/src/simulated/cloud.rs`: a write replaces a document if
//! its ETag is still the one that was read; a resource that the cloud is at work on refuses
//! writes; a public IP that one NIC has is refused to another.

use coordinator_core::ids::Token;

use super::act::{CloudAnswer, Failure, Request};
use super::clock::{At, ms};
use super::event::{Event, NodeIx};
use super::trace::Since;
use super::world::World;

/// A resource's number.
pub(crate) type ResourceIx = usize;

/// What a document says, apart from its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doc {
    /// A NIC, and whether it has the group's public IP.
    Nic { has: bool },
    /// A route table, and the appliance of the group at which its route points.
    Table { hop: usize },
}

/// One resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resource {
    pub(crate) group: usize,
    /// The place in its group of the appliance that a NIC belongs to.
    pub(crate) place: usize,
    pub(crate) etag: u64,
    pub(crate) token: Option<Token>,
    pub(crate) doc: Doc,
    pub(crate) busy_until: At,
}

/// The cloud and its moods.
#[derive(Debug, Default)]
pub(crate) struct Cloud {
    pub(crate) resources: Vec<Resource>,
    pub(crate) version: u64,
    /// Calls take long to arrive, long enough to outlive the leader that made them.
    pub(crate) late: u32,
    pub(crate) failing: u32,
    pub(crate) losing_replies: u32,
}

impl Cloud {
    /// A NIC for each appliance and a table for each group; each points at the last appliance.
    pub(crate) fn new(sizes: &[usize]) -> Cloud {
        let mut cloud = Cloud::default();
        for (group, size) in sizes.iter().enumerate() {
            let mut add = |place, doc| {
                cloud.version += 1;
                let etag = cloud.version;
                cloud.resources.push(Resource { group, place, etag, token: None, doc, busy_until: 0 });
            };
            for place in 0..*size {
                add(place, Doc::Nic { has: place + 1 == *size });
            }
            add(*size, Doc::Table { hop: size - 1 });
        }
        cloud
    }

    pub(crate) fn nics(&self, group: usize) -> Vec<ResourceIx> {
        self.of(group, |doc| matches!(doc, Doc::Nic { .. }))
    }

    pub(crate) fn tables(&self, group: usize) -> Vec<ResourceIx> {
        self.of(group, |doc| matches!(doc, Doc::Table { .. }))
    }

    fn of(&self, group: usize, kind: impl Fn(&Doc) -> bool) -> Vec<ResourceIx> {
        let wanted = |r: &Resource| r.group == group && kind(&r.doc);
        (0..self.resources.len()).filter(|i| wanted(&self.resources[*i])).collect()
    }

    /// The appliances whose NIC has the group's public IP.
    pub(crate) fn carriers(&self, group: usize) -> Vec<usize> {
        let nics = self.nics(group);
        let has = nics.iter().map(|i| &self.resources[*i]).filter(|r| r.doc == (Doc::Nic { has: true }));
        has.map(|r| r.place).collect()
    }

    /// Where the group's route points.
    pub(crate) fn hop(&self, group: usize) -> Option<usize> {
        self.tables(group).first().and_then(|i| match self.resources[*i].doc {
            Doc::Table { hop } => Some(hop),
            Doc::Nic { .. } => None,
        })
    }
}

impl World {
    /// A coordinator makes a call. It may never arrive, or arrive when nobody waits any more.
    pub(crate) fn call_cloud(&mut self, node: NodeIx, call: u64, request: Request) {
        if self.coordinators[node].cloud_cut > 0 {
            return;
        }
        let late = self.cloud.late > 0 && self.random.percent(50);
        let wait = if late { self.random.long_tail_ms(500, 25_000) } else { self.random.span_ms(2, 60) };
        let life = self.life(node);
        self.queue.push(self.now + wait, Event::CloudArrive { node, life, call, request });
    }

    /// A call arrives, whether its sender still lives or not.
    pub(crate) fn on_cloud_arrive(&mut self, node: NodeIx, life: u64, call: u64, request: Request) {
        let (answer, takes) = match &request {
            _ if self.cloud.failing > 0 && self.random.percent(50) => {
                (CloudAnswer::Refused(Failure::Transient), 0)
            }
            Request::PublicIp { group } => (CloudAnswer::PublicIp(self.cloud.carriers(*group).pop()), 0),
            Request::Read { resource } => {
                let r = self.cloud.resources[*resource];
                (CloudAnswer::Read { seen: r, settled: r.busy_until <= self.now }, 0)
            }
            Request::Write { resource, etag, token, doc, keeps_etag } => {
                self.cloud_write(node, *resource, *etag, *token, *doc, *keeps_etag)
            }
            Request::PowerOff { agent } => {
                let agent = *agent;
                let at = self.now + self.random.long_tail_ms(200, 9_000);
                return self.queue.push(at, Event::PowersOff { node, life, call, agent });
            }
        };
        if self.cloud.losing_replies > 0 && self.random.percent(40) || self.coordinators[node].cloud_cut > 0 {
            return;
        }
        let at = self.now + takes + self.random.span_ms(1, 40);
        self.queue.push(at, Event::CloudAnswered { node, life, call, answer });
    }

    /// A power-off is carried out, whoever asked for it and however long ago, or fails.
    pub(crate) fn on_powers_off(&mut self, node: NodeIx, life: u64, call: u64, agent: usize) {
        let answer = if self.random.percent(80) {
            self.power_off(agent);
            CloudAnswer::Written
        } else {
            CloudAnswer::Refused(Failure::Transient)
        };
        if self.cloud.losing_replies > 0 && self.random.percent(40) || self.coordinators[node].cloud_cut > 0 {
            return;
        }
        let at = self.now + self.random.span_ms(1, 40);
        self.queue.push(at, Event::CloudAnswered { node, life, call, answer });
    }

    fn cloud_write(
        &mut self,
        node: NodeIx,
        resource: ResourceIx,
        etag: u64,
        token: Token,
        doc: Doc,
        keeps_etag: bool,
    ) -> (CloudAnswer, At) {
        let before = self.cloud.resources[resource];
        if before.etag != etag {
            return (CloudAnswer::Refused(Failure::Conflict), 0);
        }
        let elsewhere = || {
            let carriers = self.cloud.carriers(before.group);
            let releasing = self
                .cloud
                .nics(before.group)
                .into_iter()
                .any(|i| i != resource && self.cloud.resources[i].busy_until > self.now);
            releasing || carriers.iter().any(|place| *place != before.place)
        };
        if before.busy_until > self.now || doc == (Doc::Nic { has: true }) && elsewhere() {
            return (CloudAnswer::Refused(Failure::Transient), 0);
        }
        let rewired = before.doc != doc;
        let takes = if rewired { self.random.long_tail_ms(20, 2_500) } else { 0 };
        self.cloud.version += 1;
        let after = Resource {
            etag: if keeps_etag && !rewired { etag } else { self.cloud.version },
            token: Some(token),
            doc,
            busy_until: self.now + takes,
            ..before
        };
        self.cloud.resources[resource] = after;
        self.trace.line(
            self.now,
            format_args!(
                "cloud: c{} wrote r{resource} {doc:?} with token {token}, done at{}",
                node + 1,
                Since(after.busy_until)
            ),
        );
        self.oracle_cloud_wrote(resource, &before, &after);
        (CloudAnswer::Written, takes)
    }
}

/// How long a caller waits for the cloud.
pub(crate) const CALL_TIMEOUT: At = ms(10_000);

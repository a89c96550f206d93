//! The adapter for this world's cloud, and the gate and the pace of a move.
//!
//! Reads and plans as `cloud-adapters/src/simulated/adapter` does: a public IP is looked up, then
//! every NIC; off the NIC that has it, then onto the one that is to have it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::contract::{
    Actual, Adapter, AdapterError, Change, Gate, Journal, MoveJob, Pace, Pointing, ResourceLocks,
    ResourceSeen,
};
use coordinator_core::ids::{ApplianceName, GroupName, Token};
use coordinator_core::model::BindingSpec;
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use serde_json::{Value, json};

use super::port::{Answer, Ask, Port};
use super::{CloudAnswer, Failure, Request};
use crate::sim::cloud::{Doc, Resource, ResourceIx};

/// A deliberate mistake of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    /// It writes without claiming.
    NeverClaims,
    /// Its claims leave the ETags as they are.
    ClaimsInName,
    /// Its gate asks no quorum.
    AsksNobody,
}

/// One move's connection to the cloud.
#[derive(Debug)]
pub(super) struct SimAdapter {
    port: Arc<Port>,
    group: usize,
    public_ip: bool,
    names: Vec<ApplianceName>,
    resources: Vec<ResourceIx>,
    wrong: Wrong,
    locks: ResourceLocks,
}

impl SimAdapter {
    pub(super) fn new(
        port: Arc<Port>,
        group: usize,
        public_ip: bool,
        names: Vec<ApplianceName>,
        resources: Vec<ResourceIx>,
        wrong: Wrong,
    ) -> SimAdapter {
        SimAdapter { port, group, public_ip, names, resources, wrong, locks: ResourceLocks::default() }
    }

    pub(super) fn port(&self) -> &Arc<Port> {
        &self.port
    }

    async fn call(&self, attempt: &str, request: Request) -> Result<CloudAnswer, AdapterError> {
        match self.port.ask(Ask::Call(request)).await {
            Answer::Cloud(CloudAnswer::Refused(Failure::Conflict)) => {
                Err(AdapterError::conflict(attempt, "412"))
            }
            Answer::Cloud(CloudAnswer::Refused(Failure::Transient)) => {
                Err(AdapterError::transient(attempt, "503, 409, or no answer"))
            }
            Answer::Cloud(answer) => Ok(answer),
            other => Err(AdapterError::permanent(attempt, format!("{other:?} is no answer of the cloud"))),
        }
    }

    async fn read_one(&self, resource: ResourceIx) -> Result<(Resource, bool), AdapterError> {
        match self.call("read", Request::Read { resource }).await? {
            CloudAnswer::Read { seen, settled } => Ok((seen, settled)),
            other => Err(AdapterError::permanent("read", format!("{other:?} is no document"))),
        }
    }

    async fn read_all(&self) -> Result<Actual, AdapterError> {
        let mut associated = None;
        if self.public_ip {
            let answer = self.call("look up", Request::PublicIp { group: self.group }).await?;
            if let CloudAnswer::PublicIp(place) = answer {
                associated = Some(place);
            }
        }
        let read = try_join_all(self.resources.iter().map(|resource| self.read_one(*resource))).await?;
        let pointed = read.iter().find_map(|(seen, _)| match seen.doc {
            Doc::Nic { has } => has.then_some(seen.place),
            Doc::Table { hop } => Some(hop),
        });
        // The look-up and the documents are of different moments: only if they agree is this one.
        let agree = associated.is_none_or(|associated| associated == pointed);
        let resources = self.resources.iter().zip(&read).map(|(resource, (seen, _))| ResourceSeen {
            id: resource.to_string(),
            etag: seen.etag.to_string(),
            token: seen.token,
            document: document(seen.doc, seen.token),
        });
        Ok(Actual {
            pointing: pointed.map_or(Pointing::Nowhere, |place| Pointing::At(self.names[place].clone())),
            token: read.iter().filter_map(|(seen, _)| seen.token).max(),
            settled: agree && read.iter().all(|(_, settled)| *settled),
            resources: resources.collect(),
        })
    }
}

impl Adapter for SimAdapter {
    fn resources(&self, _: &BindingSpec) -> Result<BTreeSet<String>, AdapterError> {
        Ok(self.resources.iter().map(ResourceIx::to_string).collect())
    }

    fn locks(&self) -> &ResourceLocks {
        &self.locks
    }

    fn read<'a>(
        &'a self,
        _: &'a GroupName,
        _: &'a BindingSpec,
        _: &'a Journal,
    ) -> BoxFuture<'a, Result<Actual, AdapterError>> {
        self.read_all().boxed()
    }

    fn plan_claim(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        if self.wrong == Wrong::NeverClaims {
            return Ok(Vec::new());
        }
        let unclaimed = actual.resources.iter().filter(|seen| seen.token < Some(job.token));
        Ok(unclaimed.map(|seen| change(seen, doc_of(&seen.document), job.token)).collect())
    }

    fn plan(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError> {
        let to = self.names.iter().position(|name| *name == job.to).unwrap_or_default();
        let (mut off, mut on) = (Vec::new(), Vec::new());
        for (place, seen) in actual.resources.iter().enumerate() {
            let turned = |doc| change(seen, doc, job.token);
            match doc_of(&seen.document) {
                Doc::Nic { has: true } if place != to => off.push(turned(Doc::Nic { has: false })),
                Doc::Nic { has: false } if place == to => on.push(turned(Doc::Nic { has: true })),
                Doc::Table { hop } if hop != to => on.push(turned(Doc::Table { hop: to })),
                _ => {}
            }
        }
        Ok(off.into_iter().chain(on).collect())
    }

    fn write<'a>(&'a self, change: &'a Change, _: &'a Journal) -> BoxFuture<'a, Result<(), AdapterError>> {
        let number = |text: &str| text.parse().unwrap_or_default();
        let token = Token(change.document["token"].as_u64().unwrap_or_default());
        let (resource, etag, doc) =
            (number(&change.resource), number(&change.etag), doc_of(&change.document));
        let resource = usize::try_from(resource).unwrap_or_default();
        let keeps_etag = self.wrong == Wrong::ClaimsInName;
        async move {
            let request = Request::Write { resource, etag, token, doc, keeps_etag };
            self.call(&change.attempt, request).await.map(|_| ())
        }
        .boxed()
    }
}

impl Gate for SimAdapter {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        async move {
            if self.wrong == Wrong::AsksNobody {
                return Ok(());
            }
            match self.port.ask(Ask::Confirm).await {
                Answer::Confirmed(true) => Ok(()),
                _ => Err(AdapterError::deposed("no quorum confirms it")),
            }
        }
        .boxed()
    }
}

impl Pace for SimAdapter {
    fn now(&self) -> Duration {
        self.port.now()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        self.port.ask(Ask::Sleep(span)).map(|_| ()).boxed()
    }

    fn chance(&self) -> f64 {
        self.port.chance()
    }
}

fn document(doc: Doc, token: Option<Token>) -> Value {
    let token = token.map(|token| token.0);
    match doc {
        Doc::Nic { has } => json!({ "has": has, "token": token }),
        Doc::Table { hop } => json!({ "hop": hop, "token": token }),
    }
}

fn doc_of(document: &Value) -> Doc {
    match document["hop"].as_u64() {
        Some(hop) => Doc::Table { hop: usize::try_from(hop).unwrap_or_default() },
        None => Doc::Nic { has: document["has"] == Value::Bool(true) },
    }
}

fn change(seen: &ResourceSeen, doc: Doc, token: Token) -> Change {
    Change {
        attempt: "write".to_owned(),
        resource: seen.id.clone(),
        etag: seen.etag.clone(),
        document: document(doc, Some(token)),
    }
}

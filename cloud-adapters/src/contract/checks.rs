//! What can be found out before anything is at stake. Everything here reads; only
//! [`write_unchanged`] writes, and then what it has just read.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use coordinator_api::v1::{Check, CheckItem};
use coordinator_core::ids::{GroupName, Token};
use coordinator_core::model::BindingSpec;
use futures::future::BoxFuture;

use super::{Adapter, AdapterError, Change, Gate, Journal, Pointing, inspect};

/// What is asked about: the bindings of one group that one adapter moves.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The group.
    pub group: &'a GroupName,
    /// Its newest grant: nothing may carry a higher one.
    pub token: Token,
    /// The bindings.
    pub bindings: &'a [BindingSpec],
}

/// A host that calls go to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// A name, or an address as text.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// How a cloud would carry a packet to an address, by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Where the packet is to go.
    pub to: IpAddr,
    /// The cloud's word for the kind of hop; `None` when no route fits.
    pub kind: Option<String>,
    /// The addresses of the next hop, if it has any.
    pub via: Vec<IpAddr>,
}

/// What an adapter can find out about its cloud. An adapter that has none of it is looked at
/// through [`Adapter::read`] alone.
pub trait Checks: Send + Sync {
    /// The hosts that calls go to, tokens included, but for those on this very machine or link.
    fn endpoints(&self) -> Vec<Endpoint>;

    /// What each coordinator has to find out for itself, since each has an identity and a way of
    /// its own: whether the cloud answers, and what it permits.
    fn reach<'a>(&'a self, subject: Subject<'a>, journal: &'a Journal) -> BoxFuture<'a, Vec<CheckItem>>;

    /// What any coordinator would find: whether the resources are as a move needs them.
    fn look<'a>(&'a self, subject: Subject<'a>, journal: &'a Journal) -> BoxFuture<'a, Vec<CheckItem>>;

    /// How packets leave a network interface, by the cloud's own word. `nic` is the adapter's id
    /// of it.
    ///
    /// # Errors
    /// When the cloud does not say.
    fn hops<'a>(
        &'a self,
        nic: &'a str,
        to: &'a [IpAddr],
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<Vec<Hop>, AdapterError>>;
}

/// What can be said of bindings by reading them.
pub async fn look_at_bindings(
    adapter: &dyn Adapter,
    subject: Subject<'_>,
    journal: &Journal,
    deadline: Duration,
) -> Vec<CheckItem> {
    let mut items = Vec::new();
    for binding in subject.bindings {
        let what = format!("{} {}", binding.kind.word(), binding.name);
        items.push(match inspect(adapter, subject.group, binding, journal, deadline).await {
            Ok(actual) => match actual.pointing {
                Pointing::At(appliance) => {
                    CheckItem::pass(Check::Binding, what, format!("it points at {appliance}"))
                }
                other => {
                    let advice = "see who changed it; a move sets it right";
                    CheckItem::warn(Check::Binding, what, format!("it points at {other}"), advice)
                }
            },
            Err(error) => {
                let advice = "correct the declaration, or the way to the cloud";
                CheckItem::fail(Check::Binding, what, error.chain(), advice)
            }
        });
    }
    items
}

/// Writes each resource that a move may write as it was read, one after the other: whether a write
/// is permitted, only a write can tell. Nothing changes but the versions.
///
/// The gate is asked before each write; once it refuses, nothing more is written. A move that
/// begins meanwhile waits for one such write at most, since each resource is locked by itself.
pub async fn write_unchanged(
    adapter: &dyn Adapter,
    subject: Subject<'_>,
    gate: &dyn Gate,
    journal: &Journal,
) -> Vec<CheckItem> {
    let (mut items, mut tried) = (Vec::new(), BTreeSet::new());
    for binding in subject.bindings {
        // One that this adapter cannot move is told by the other checks.
        for id in adapter.resources(binding).unwrap_or_default() {
            if !tried.insert(id.clone()) {
                continue;
            }
            match write_one(adapter, subject.group, binding, &id, gate, journal).await {
                Ok(()) => items.push(CheckItem::pass(
                    Check::Write,
                    short(&id),
                    "a write that changes nothing is accepted",
                )),
                Err(error) if error.is_deposed() => {
                    let advice = "run this again when the group is at rest";
                    items.push(CheckItem::warn(
                        Check::Write,
                        short(&id),
                        format!("not tried: {}", error.chain()),
                        advice,
                    ));
                    return items;
                }
                Err(error) => {
                    let advice = "correct what the cloud names: a move would fail on it as well";
                    items.push(CheckItem::fail(Check::Write, short(&id), error.chain(), advice));
                }
            }
        }
    }
    items
}

async fn write_one(
    adapter: &dyn Adapter,
    group: &GroupName,
    binding: &BindingSpec,
    id: &str,
    gate: &dyn Gate,
    journal: &Journal,
) -> Result<(), AdapterError> {
    // Before the wait for a turn, which may be that for a whole move; and once more before the write.
    gate.confirm().await?;
    let _turn = adapter.locks().acquire(&BTreeSet::from([id.to_owned()])).await;
    let attempt = format!("write {} as it is", short(id));
    let actual = adapter.read(group, binding, journal).await?;
    if !actual.settled {
        return Err(AdapterError::transient(attempt, "the cloud is changing it"));
    }
    let seen = actual.resources.into_iter().find(|seen| seen.id == id);
    let seen = seen.ok_or_else(|| AdapterError::transient(&attempt, "it was not read"))?;
    let change = Change { attempt, resource: seen.id, etag: seen.etag, document: seen.document };
    gate.confirm().await?;
    adapter.write(&change, journal).await
}

/// The end of an id: enough for people who know their own network.
fn short(id: &str) -> String {
    let parts: Vec<&str> = id.split('/').collect();
    parts.get(parts.len().saturating_sub(2)..).unwrap_or_default().join("/")
}

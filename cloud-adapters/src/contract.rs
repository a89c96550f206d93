//! What every adapter must do, and the one driver that uses it.
//!
//! A move is always: read → claim (write the token onto every resource that may have to change,
//! which moves its ETag) → read again → plan the difference → write, conditional on what was
//! read → read back. Conditional writes alone do not fence: a deposed leader's late *detach*
//! carries a valid ETag as long as nobody wrote in between. The claim is what makes it stale.
//!
//! An [`Adapter`] knows one cloud: it reads, plans (purely) and makes one conditional write.
//! Everything that must hold for all of them is in [`move_bindings`]: the order of steps, the gate
//! before each write, the comparison of tokens, the bounds, and the reading back.

mod backoff;
mod checks;
mod driver;
mod error;
mod journal;
mod locks;
mod pace;
mod patience;
mod placing;
mod power;

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator_core::ids::{ApplianceName, GroupName, Token};
use coordinator_core::model::BindingSpec;
use coordinator_core::state::Difference;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

pub use backoff::Backoff;
pub use checks::{Checks, Endpoint, Hop, Subject, look_at_bindings, write_unchanged};
pub use driver::{
    Preview, PreviewedWrite, Report, entangled, inspect, move_binding, move_binding_at, move_bindings,
    preview,
};
pub use error::{AdapterError, Cause};
pub use journal::{JOURNAL_CALLS, Journal, UnderWay};
pub use locks::{ResourceLocks, Turn};
pub use pace::{Pace, RealTime};
pub use placing::{BackendPools, Place, PlaceJob, PlaceReport, PlacesSeen, SideSeen, place, places};
pub use power::{Power, PowerOffJob, power_off};

/// The shortest rest between two readings of a group at rest.
pub const READINGS: Duration = Duration::from_secs(5);

/// One binding to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveJob {
    /// The group.
    pub group: GroupName,
    /// The fencing token of the operation.
    pub token: Token,
    /// The binding.
    pub binding: BindingSpec,
    /// Where it must point.
    pub to: ApplianceName,
}

/// Where a binding points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointing {
    /// At an appliance of the group.
    At(ApplianceName),
    /// At nothing.
    Nowhere,
    /// At something that no appliance of the group is declared for.
    Elsewhere(String),
}

impl std::fmt::Display for Pointing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pointing::At(appliance) => write!(f, "{appliance}"),
            Pointing::Nowhere => f.write_str("nothing"),
            Pointing::Elsewhere(what) => write!(f, "{what}, which is no appliance of the group"),
        }
    }
}

/// What the cloud says of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actual {
    /// Where it points.
    pub pointing: Pointing,
    /// The highest token of the group on any of the resources.
    pub token: Option<Token>,
    /// Whether the cloud has finished every earlier change, and its answers agree with each
    /// other. While this is false `pointing` may be about to change, and nothing is planned.
    pub settled: bool,
    /// Every resource that a move may have to change.
    pub resources: Vec<ResourceSeen>,
}

/// A resource as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSeen {
    /// Its id, unique within the adapter, for instance `nics/nic-a`.
    pub id: String,
    /// What a conditional write names as the version that it replaces.
    pub etag: String,
    /// The token of the group that was found on it.
    pub token: Option<Token>,
    /// All of it, as the cloud gave it: what is written back but for the one difference.
    pub document: serde_json::Value,
}

/// One conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is for, to follow "could not", for instance ``update route `default` in table
    /// `rt-hub` ``.
    pub attempt: String,
    /// The resource's id.
    pub resource: String,
    /// The version that it replaces.
    pub etag: String,
    /// What replaces it, as a whole, with the token on it.
    pub document: serde_json::Value,
}

/// Asked before each write: does this node still lead, by a quorum's word of just now?
pub trait Gate: Send + Sync {
    /// # Errors
    /// [`AdapterError::Deposed`] when it does not, or when that cannot be found out in time.
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>>;
}

/// A connection to one cloud. Use it through [`move_binding`] and [`inspect`].
pub trait Adapter: Send + Sync {
    /// The ids of the resources that a move of `binding` may write, as far as the declaration
    /// tells.
    ///
    /// # Errors
    /// [`AdapterError::Permanent`] when this adapter cannot move such a binding.
    fn resources(&self, binding: &BindingSpec) -> Result<BTreeSet<String>, AdapterError>;

    /// The locks that keep the moves of one process from fighting over a resource.
    fn locks(&self) -> &ResourceLocks;

    /// How it puts members into the backend pools of load balancers; `None` when it cannot, and then
    /// no pool may be declared to use it.
    fn backend_pools(&self) -> Option<&dyn BackendPools> {
        None
    }

    /// How it powers machines off; `None` when it cannot, and then no appliance may be declared to
    /// be fenced by it.
    fn power(&self) -> Option<&dyn Power> {
        None
    }

    /// What it can find out of its cloud before anything is at stake; `None` when that is no more
    /// than a read tells.
    fn checks(&self) -> Option<&dyn Checks> {
        None
    }

    /// Reads where `binding` points, and every resource that a move of it may have to change.
    ///
    /// # Errors
    /// Every class but [`AdapterError::Deposed`].
    fn read<'a>(
        &'a self,
        group: &'a GroupName,
        binding: &'a BindingSpec,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<Actual, AdapterError>>;

    /// Reads for several bindings, in their order. An adapter whose bindings share resources reads
    /// each resource once; without more ado each binding is read by itself, side by side.
    fn read_all<'a>(
        &'a self,
        asks: &'a [(&'a GroupName, &'a BindingSpec)],
        journal: &'a Journal,
    ) -> BoxFuture<'a, Vec<Result<Actual, AdapterError>>> {
        join_all(asks.iter().map(|(group, binding)| self.read(group, binding, journal))).boxed()
    }

    /// The writes that put `job.token` onto each resource that carries an older one or none, and
    /// change nothing else. Pure.
    ///
    /// # Errors
    /// [`AdapterError::Permanent`] when a document is not of the form that it must have.
    fn plan_claim(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError>;

    /// The writes, in order, that make the binding point at `job.to`. Empty when it does. Pure.
    ///
    /// # Errors
    /// [`AdapterError::Permanent`] when no write can.
    fn plan(&self, actual: &Actual, job: &MoveJob) -> Result<Vec<Change>, AdapterError>;

    /// What differs, field by field, from a binding that points at `active`. For people; nothing is
    /// decided by it. Empty when this adapter cannot tell more than where the binding points. Pure.
    fn differences(
        &self,
        _actual: &Actual,
        _binding: &BindingSpec,
        _active: &ApplianceName,
    ) -> Vec<Difference> {
        Vec::new()
    }

    /// How long to rest between two readings of all of `bindings`, so that watching a group at
    /// rest does not use up what the cloud lets its callers ask. Default 5 s.
    fn rest_between_readings(&self, _bindings: &[&BindingSpec]) -> Duration {
        READINGS
    }

    /// Makes one conditional write, and returns once the cloud has carried it out. It never
    /// repeats the request: whether it took effect after a failure is for the next read to say.
    ///
    /// # Errors
    /// [`AdapterError::Conflict`] when the resource is not as it was read; [`Transient`] also
    /// when it is not known whether the write took effect.
    ///
    /// [`Transient`]: AdapterError::Transient
    fn write<'a>(
        &'a self,
        change: &'a Change,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Waits for a change that was accepted earlier, by this leader or another one, at a `place`
    /// that [`Journal::accepted`] was told. Changes nothing, and returns as well when the place is
    /// none or known no more: what became of the change is for the next read to say. An adapter
    /// that tells no places has nothing to wait for.
    fn resume<'a>(&'a self, _resource: &'a str, _place: &'a str, _journal: &'a Journal) -> BoxFuture<'a, ()> {
        async {}.boxed()
    }
}

//! What every node knows after applying the same commands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chain::Chain;
use crate::command::{Actor, OperationKind, ReleaseProof};
use crate::ids::{ApplianceName, BindingName, GroupName, OperationId, PoolName, Token};
use crate::model::{ApplianceSpec, GroupSpec, ProbeSpec, Trigger};
use crate::notice::NoticeSource;
use crate::observe::{Evidence, Verdict};
use crate::pool::Pool;
use crate::reason::Reason;
use crate::time::{WallTime, millis};

mod drift;
mod fence;
mod notice;
mod path;

pub use drift::{Difference, Drift, KEPT_DIFFERENCES};
pub use fence::Fence;
pub use notice::Announced;
pub use path::{HeartbeatPath, Path, Traffic};

/// Ended operations kept per group; the history keeps their events for longer.
pub const KEPT_OPERATIONS: usize = 50;

/// Resources of one operation that a cloud may be at work on at once; of more than that, the
/// next leader asks the resources themselves.
pub const KEPT_UNDER_WAY: usize = 256;

/// Withdrawn virtual addresses in quarantine at once, and withdrawn ports of gates; one more is
/// refused.
pub const KEPT_WITHDRAWN: usize = 1024;

/// What is in quarantine, and until when no group may declare it again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// Virtual addresses. At most [`KEPT_WITHDRAWN`].
    pub vips: BTreeMap<IpAddr, WallTime>,
    /// The ports of probe gates, by appliance. At most [`KEPT_WITHDRAWN`] in all.
    pub gates: BTreeMap<ApplianceName, BTreeMap<u16, WallTime>>,
}

impl Withdrawn {
    /// How many ports of gates there are.
    pub fn gate_count(&self) -> usize {
        self.gates.values().map(BTreeMap::len).sum()
    }

    /// Without what is over at `time`.
    pub fn pruned(&self, time: WallTime) -> Withdrawn {
        let mut left = self.clone();
        left.vips.retain(|_, until| *until > time);
        left.gates.retain(|_, ports| {
            ports.retain(|_, until| *until > time);
            !ports.is_empty()
        });
        left
    }
}

/// The replicated state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The newest time seen in a command: never goes back.
    pub time: WallTime,
    /// By name.
    pub groups: BTreeMap<GroupName, Group>,
    /// What was taken out of a group whose appliance may still hold it.
    pub withdrawn: Withdrawn,
    /// Where the history stands.
    pub history: Chain,
    /// By name.
    #[serde(default)]
    pub pools: BTreeMap<PoolName, Pool>,
}

impl State {
    /// The group and the declaration of an appliance, by the appliance's name alone: an
    /// appliance belongs to one group.
    pub fn group_of(&self, appliance: &ApplianceName) -> Option<&Group> {
        self.groups.values().find(|g| g.spec.appliance(appliance).is_some())
    }

    /// The pool that an appliance is a member of.
    pub fn pool_of(&self, appliance: &ApplianceName) -> Option<&Pool> {
        self.pools.values().find(|pool| pool.spec.member(appliance).is_some())
    }

    /// Every appliance that is watched, of groups and of pools: its name, its own address and its
    /// probes.
    pub fn watched(&self) -> impl Iterator<Item = (&ApplianceName, IpAddr, &[ProbeSpec])> {
        let grouped = self.groups.values().flat_map(|group| &group.spec.appliances);
        let pooled = self.pools.values().flat_map(|pool| &pool.spec.members);
        let grouped = grouped.map(|a| (&a.name, a.address, a.probes.as_slice()));
        grouped.chain(pooled.map(|m| (&m.name, m.address, m.probes.as_slice())))
    }

    /// An operation, running or ended, with its group.
    pub fn operation(&self, id: OperationId) -> Option<(&Group, &Operation)> {
        self.groups.values().find_map(|g| {
            let all = g.operation.iter().chain(g.ended.iter());
            all.into_iter().find(|o| o.id == id).map(|o| (g, o))
        })
    }
}

/// A group as the log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// As declared.
    pub spec: GroupSpec,
    /// The log index of the newest declaration.
    pub revision: u64,
    /// Whether it moves by itself.
    pub mode: Trigger,
    /// Automatic moves are stopped, and why.
    pub frozen: Option<Reason>,
    /// The appliance with the active role, granted under `token`.
    pub active: Option<ApplianceName>,
    /// The fencing token of the newest grant.
    pub token: Token,
    /// Appliances that may still hold a lease under an older token. No grant to `active` while
    /// this is not empty.
    pub unreleased: BTreeMap<ApplianceName, Token>,
    /// Appliances that may go on past their lease, on promises of the others to accept no grant.
    /// While this is not empty, nobody whom they cannot have asked may join the group, and no
    /// virtual address may leave it.
    pub relies: BTreeSet<ApplianceName>,
    /// Earlier actives that are to be switched off, while the operation that needs it runs.
    pub fencing: BTreeMap<ApplianceName, Fence>,
    /// What is known of each declared appliance.
    pub appliances: BTreeMap<ApplianceName, Appliance>,
    /// The running operation.
    pub operation: Option<Operation>,
    /// Ended operations, newest last, at most [`KEPT_OPERATIONS`].
    pub ended: VecDeque<Operation>,
    /// When the newest move ended.
    pub moved_at: Option<WallTime>,
    /// When automatic moves started, within the flap window, oldest first.
    pub automatic_moves: VecDeque<WallTime>,
    /// Why the group is held where it is, if it ought to move.
    pub hold: Option<Reason>,
    /// Differences between the log and the cloud, per binding.
    pub drift: BTreeMap<BindingName, Drift>,
    /// The path through the active appliance.
    pub path: Path,
    /// The ways between agents that were found to be down, and since when.
    pub heartbeats_down: BTreeMap<HeartbeatPath, WallTime>,
}

impl Group {
    /// A group as first declared: nothing is active and nothing is known of its appliances.
    pub fn new(spec: GroupSpec, revision: u64, time: WallTime) -> Group {
        let unknown = |a: &ApplianceSpec| (a.name.clone(), Appliance::unknown(time));
        Group {
            appliances: spec.appliances.iter().map(unknown).collect(),
            spec,
            revision,
            mode: Trigger::Automatic,
            frozen: None,
            active: None,
            token: Token::NONE,
            unreleased: BTreeMap::new(),
            relies: BTreeSet::new(),
            fencing: BTreeMap::new(),
            operation: None,
            ended: VecDeque::new(),
            moved_at: None,
            automatic_moves: VecDeque::new(),
            hold: None,
            drift: BTreeMap::new(),
            path: Path::unknown(time),
            heartbeats_down: BTreeMap::new(),
        }
    }

    /// The appliance that is to be active when there is a choice: the first declared.
    pub fn preferred(&self) -> Option<&ApplianceName> {
        self.spec.appliances.first().map(|a| &a.name)
    }

    /// The declared appliances without the active role, in order of preference.
    pub fn standbys(&self) -> impl Iterator<Item = &ApplianceName> {
        let names = self.spec.appliances.iter().map(|a| &a.name);
        names.filter(|name| self.active.as_ref() != Some(*name))
    }

    /// The recorded verdict on an appliance; unknown when it is not declared.
    pub fn verdict(&self, name: &ApplianceName) -> Verdict {
        self.appliances.get(name).map_or(Verdict::Unknown, |a| a.verdict)
    }

    /// Whether an appliance is in maintenance.
    pub fn in_maintenance(&self, name: &ApplianceName) -> bool {
        self.appliances.get(name).is_some_and(|a| a.maintenance.is_some())
    }

    /// Automatic moves that still weigh on the flap budget at `time`.
    pub fn recent_moves(&self, time: WallTime) -> usize {
        self.automatic_moves.iter().filter(|at| time.since(**at) < self.spec.policy.flap_window).count()
    }

    /// Whether one more automatic move at `time` would break the flap budget.
    pub fn flap_budget_spent(&self, time: WallTime) -> bool {
        let allowed = usize::try_from(self.spec.policy.flap_moves).unwrap_or(usize::MAX);
        self.recent_moves(time) >= allowed
    }
}

/// What the log knows of an appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appliance {
    /// The recorded group verdict.
    pub verdict: Verdict,
    /// Since when.
    pub since: WallTime,
    /// In maintenance, and the operator's reason.
    pub maintenance: Option<String>,
    /// The group moved away from it because the path through it failed, and it has not been seen
    /// to carry traffic since: the group does not return to it by itself.
    pub path_failed: bool,
    /// What is announced to happen to it, by who announces it.
    pub announced: BTreeMap<NoticeSource, Announced>,
}

impl Appliance {
    /// An appliance of which nothing is known yet.
    pub fn unknown(since: WallTime) -> Appliance {
        let announced = BTreeMap::new();
        Appliance { verdict: Verdict::Unknown, since, maintenance: None, path_failed: false, announced }
    }
}

/// One requested move, end to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The log index of its start: also its fencing token.
    pub id: OperationId,
    /// What kind of move.
    pub kind: OperationKind,
    /// Who was active before.
    pub from: Option<ApplianceName>,
    /// Who becomes active.
    pub to: ApplianceName,
    /// Who asked.
    pub actor: Actor,
    /// The operator's reason.
    pub reason: String,
    /// Why, in order.
    pub because: Vec<Reason>,
    /// What the vantages said at the start.
    pub evidence: Vec<Evidence>,
    /// When it started.
    pub started: WallTime,
    /// When and how it ended.
    pub ended: Option<(WallTime, Ending)>,
    /// When and how it became known that the old active holds no lease, where one is needed.
    pub released: Option<(WallTime, ReleaseProof)>,
    /// One per binding, in the declared order.
    pub steps: Vec<Step>,
    /// While it runs: what a cloud has accepted and may still be at work on, by resource, and
    /// where to ask how that goes; both in the adapter's own words. At most [`KEPT_UNDER_WAY`].
    pub under_way: BTreeMap<String, String>,
    /// Once completed, in a group with path probes: whether traffic was seen to pass, and when
    /// that was recorded.
    pub traffic: Option<(WallTime, Traffic)>,
}

impl Operation {
    /// Whether every step is done.
    pub fn all_done(&self) -> bool {
        self.steps.iter().all(|s| s.done.is_some())
    }

    /// Whether it has been running for longer than `limit` at `time`.
    pub fn stalled(&self, time: WallTime, limit: Duration) -> bool {
        self.ended.is_none() && time.since(self.started) >= limit
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every binding points at the new active.
    Completed,
    /// A newer operation took over before it was done.
    Superseded(OperationId),
}

/// The move of one binding within an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which binding.
    pub binding: BindingName,
    /// When it was done.
    pub done: Option<WallTime>,
    /// Attempts recorded so far.
    pub attempts: u32,
    /// How long the newest attempt took.
    #[serde(rename = "took_ms", with = "millis")]
    pub took: Duration,
    /// What went wrong in the newest attempt.
    pub error: Option<String>,
}

//! `GET /v1/groups` and `GET /v1/groups/{group}`.

use std::net::IpAddr;

use coordinator_core::ids::{ApplianceName, BindingName, GroupName, NodeId, OperationId, Token};
use coordinator_core::model::{GroupSpec, Trigger};
use coordinator_core::notice::{NoticeKind, NoticeSource};
use coordinator_core::observe::Verdict;
use coordinator_core::state::Difference;
use serde::{Deserialize, Serialize};

use super::operation::OperationView;
use super::time::Timestamp;

/// `GET /v1/groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupList {
    /// By name.
    pub groups: Vec<GroupSummary>,
}

/// One line on a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSummary {
    /// Its name.
    pub name: GroupName,
    /// Who has the active role.
    pub active: Option<ApplianceName>,
    /// The fencing token of the newest grant.
    pub token: Token,
    /// Whether it moves by itself.
    pub mode: Trigger,
    /// Automatic moves are stopped, and why.
    pub frozen: Option<String>,
    /// It ought to move but is held, and why.
    pub hold: Option<String>,
    /// The running operation.
    pub operation: Option<OperationId>,
    /// Appliances that are up by the group verdict.
    pub up: u32,
    /// All its appliances.
    pub appliances: u32,
    /// Bindings that point elsewhere than they must.
    pub drifting: u32,
}

/// Everything about a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// The line of the list.
    #[serde(flatten)]
    pub summary: GroupSummary,
    /// The log index of the newest declaration.
    pub revision: u64,
    /// Why it moves, or why it does not: one sentence each. Only the leader has any.
    pub why: Vec<String>,
    /// When the newest move ended.
    pub moved_at: Option<Timestamp>,
    /// In the order of preference.
    pub members: Vec<ApplianceStatus>,
    /// In the declared order.
    pub bindings: Vec<BindingStatus>,
    /// The path through the active appliance, in a group with path probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathStatus>,
    /// The running operation.
    pub running: Option<OperationView>,
    /// As declared.
    pub spec: GroupSpec,
}

/// One appliance of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplianceStatus {
    /// Its name.
    pub name: ApplianceName,
    /// Its own address.
    pub address: IpAddr,
    /// Its part in the group.
    pub role: ApplianceRole,
    /// The recorded group verdict.
    pub verdict: Verdict,
    /// Since when.
    pub since: Timestamp,
    /// In maintenance, and the operator's reason.
    pub maintenance: Option<String>,
    /// What each vantage says; the leader has all of them, others their own.
    pub vantages: Vec<VantageSight>,
    /// Its agent's newest report to the answering node.
    pub agent: Option<AgentStatus>,
    /// It may go on past its lease, for as long as the others promise to accept no grant.
    #[serde(default)]
    pub relies: bool,
    /// It is to be switched off.
    #[serde(default)]
    pub fencing: Option<FencingStatus>,
    /// How its agent hears its peers, one entry per declared address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heartbeats: Vec<HeartbeatStatus>,
    /// What is announced to happen to it, by the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<NoticeStatus>,
    /// Who may have announced something else: that source is not heard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices_unknown: Vec<UnheardStatus>,
}

/// Something that is announced to happen to an appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeStatus {
    /// Who says so.
    pub source: NoticeSource,
    /// The source's own id.
    pub id: String,
    /// What.
    pub kind: NoticeKind,
    /// Not earlier than this; `None` when it has begun, or may begin at any moment.
    pub not_before: Option<Timestamp>,
    /// Whether it has begun.
    pub started: bool,
    /// How long it lasts, in seconds, if anybody says.
    pub lasts_secs: Option<u32>,
    /// In the source's own words.
    pub about: String,
    /// Whether it is a reason to leave the appliance, by the group's policy.
    pub drains: bool,
}

/// A source of notices that is not heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnheardStatus {
    /// Which.
    pub source: NoticeSource,
    /// Why.
    pub why: String,
}

/// How the fencing of an appliance goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencingStatus {
    /// How it is switched off, in words.
    pub how: String,
    /// Since when it is to be.
    pub since: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// What went wrong in the newest.
    pub error: Option<String>,
    /// Whether nothing is granted or written before it is off.
    pub holds: bool,
}

/// One way from an agent to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatStatus {
    /// The peer.
    pub to: ApplianceName,
    /// Which of the peer's declared addresses, from 0: the management network, the direct link.
    pub path: u8,
    /// Whether the peer answers there, by the agent's newest report; `None` when it has said
    /// nothing of it to the answering node.
    pub up: Option<bool>,
    /// The mean time from question to answer, in microseconds.
    pub rtt_us: Option<u32>,
    /// Since when the log has it as down.
    pub down_since: Option<Timestamp>,
}

/// The path through the active appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// The recorded group verdict.
    pub verdict: Verdict,
    /// Since when.
    pub since: Timestamp,
    /// It was down before the newest move as well, so it does not decide.
    pub down_before_move: bool,
    /// What each vantage says; the leader has all of them, others their own.
    pub vantages: Vec<VantageSight>,
}

/// An appliance's part in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplianceRole {
    /// Has the active role, and every binding points at it.
    Active,
    /// Has the active role; bindings are still on their way.
    Activating,
    /// Has lost the active role, but it is not yet proved that it holds no lease or is off.
    Releasing,
    /// Can take over.
    Standby,
    /// Is not promoted unless forced.
    Maintenance,
}

impl ApplianceRole {
    /// As written in tables.
    pub fn word(self) -> &'static str {
        match self {
            ApplianceRole::Active => "active",
            ApplianceRole::Activating => "activating",
            ApplianceRole::Releasing => "releasing",
            ApplianceRole::Standby => "standby",
            ApplianceRole::Maintenance => "maintenance",
        }
    }
}

/// What one vantage says of an appliance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VantageSight {
    /// The coordinator that looks.
    pub node: NodeId,
    /// Its verdict.
    pub verdict: Verdict,
    /// The deciding probe and its result.
    pub detail: String,
    /// How old this is.
    pub age_ms: u64,
}

/// What an agent said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Its version.
    pub version: String,
    /// The highest token that it has accepted.
    pub highest: Token,
    /// The token of the lease that it holds.
    pub holding: Option<Token>,
    /// Whether the VIPs are up and the probe gates open.
    pub vips_up: bool,
    /// What keeps the appliance from carrying traffic.
    pub faults: Vec<String>,
    /// The peer that relayed the report, when the agent's own way to the answering node fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<ApplianceName>,
    /// How old this is.
    pub age_ms: u64,
}

/// One binding of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingStatus {
    /// Its name.
    pub name: BindingName,
    /// `vip`, `probe-gate`, `public-ip`, `route`, …
    pub kind: String,
    /// What it is, for a person: the address, or the resource's id.
    pub what: String,
    /// Where it points by the log.
    pub points_at: Option<ApplianceName>,
    /// How the cloud differs from the log, in one sentence.
    pub drift: Option<String>,
    /// The same, field by field, as far as the adapter can tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

//! The operator API, version 1: what goes over the wire, as JSON.
//!
//! Requests refuse fields they do not know; answers may gain fields at any time, so a client
//! must ignore those it does not know. Times are RFC 3339 in UTC, durations whole milliseconds
//! in fields named `…_ms`. The routes are described in `docs/api.md`, the error codes in
//! `docs/errors.md`.

mod dry_run;
mod group;
mod history;
mod operation;
mod pool;
mod preflight;
mod problem;
mod request;
mod status;
mod time;

pub use dry_run::{DryRun, MoveEstimate, PlannedPart, PlannedWrite, StepEstimate, Timings};
pub use group::{
    AgentStatus, ApplianceRole, ApplianceStatus, BindingStatus, FencingStatus, GroupList, GroupStatus,
    GroupSummary, HeartbeatStatus, NoticeStatus, PathStatus, UnheardStatus, VantageSight,
};
pub use history::{
    Cursor, CursorError, HistoryEvent, HistoryFilter, HistoryPage, MAX_LIMIT, RecordFilter, RecordPage,
    default_limit,
};
pub use operation::{
    CallView, OperationFilter, OperationList, OperationState, OperationView, ReleaseView, StepView,
    TrafficView,
};
pub use pool::{MemberRequest, MemberStanding, MemberStatus, PoolList, PoolStatus, PoolSummary, SideStatus};
pub use preflight::{Check, CheckItem, CheckVerdict, Preflight, PreflightRequest};
pub use problem::{Code, PROBLEM_CONTENT_TYPE, Problem};
pub use request::{
    Accepted, Changed, ConfirmOffRequest, Consistency, FailbackRequest, MaintenanceRequest, ModeRequest,
    ReadOptions, SwitchoverRequest, Transferred, UnfreezeRequest,
};
pub use status::{ClusterStatus, Health, NodeRole, NodeStatus, Readiness};
pub use time::Timestamp;

/// Most bytes of a request's body.
pub const MAX_BODY: usize = 256 * 1024;

/// How long a preflight may take, the writes that it may be asked for included, in seconds. Every
/// other request takes at most ten.
pub const PREFLIGHT_LIMIT: std::time::Duration = std::time::Duration::from_secs(150);

/// Most bytes of an operator's reason.
pub const MAX_REASON: usize = 1024;

/// Carries the request id, in requests and in every answer.
pub const REQUEST_ID: &str = "x-request-id";

/// In every problem answer: its [`Code`], for those who do not read the body.
pub const PROBLEM_CODE: &str = "x-pointsman-problem";

/// In answers to reads: how old the data may be, in milliseconds. Absent when that is not known.
pub const AGE_MS: &str = "x-pointsman-age-ms";

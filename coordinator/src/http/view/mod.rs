//! From the state and the control loop's overview to what goes over the wire. Pure: the time is
//! part of the input.

mod cluster;
mod group;
mod history;
mod operation;
mod pool;

pub(super) use cluster::{cluster_status, readiness};
pub(super) use group::{group_status, group_summary};
pub(super) use history::{history_event, history_query, record_query};
pub(super) use operation::{add_calls, operation_view};
pub(super) use pool::{pool_status, pool_summary};

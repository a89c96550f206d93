//! What the routes need of the node: the log and the control loop, behind one seam, so that the
//! routes are tested without storage or a network.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::Adapters;
use coordinator_api::agent::{AgentReply, AgentReport};
use coordinator_api::v1::{DryRun, Preflight, PreflightRequest};
use coordinator_core::command::Command;
use coordinator_core::decide::MoveRequest;
use coordinator_core::event::Event;
use coordinator_core::ids::{NodeId, OperationId};
use coordinator_core::model::GroupSpec;
use coordinator_core::pool::PoolSpec;
use coordinator_core::state::State;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::GroupLimits;
use crate::control_loop::{ControlHandle, MoveRefused, Overview, VantageReply, VantageUpdate};
use crate::dry_run::add_writes;
use crate::preflight::{PartReply, PartRequest, PreflightRefused, Preflights};
use crate::raft::{
    HistoryError, HistoryQuery, Leadership, NotConfirmed, ProposeError, Replica, ReplicaStatus, TransferError,
};

/// The node as the routes see it. Every method is documented at [`Replica`] or [`ControlHandle`].
pub trait Backend: Send + Sync + 'static {
    /// See [`Replica::status`].
    fn status(&self) -> ReplicaStatus;
    /// See [`Replica::state`].
    fn state(&self) -> Arc<State>;
    /// See [`Replica::watch_state`].
    fn watch_state(&self) -> watch::Receiver<Arc<State>>;
    /// See [`Replica::leadership`].
    fn leadership(&self) -> watch::Receiver<Leadership>;
    /// See [`ControlHandle::overview`].
    fn overview(&self) -> Overview;
    /// See [`Replica::confirm_leadership`].
    fn confirm_leadership(&self, limit: Duration) -> BoxFuture<'_, Result<(), NotConfirmed>>;
    /// See [`Replica::propose`].
    fn propose(&self, command: Command, limit: Duration) -> BoxFuture<'_, Result<Vec<Event>, ProposeError>>;
    /// See [`ControlHandle::request_move`].
    fn request_move<'a>(
        &'a self,
        request: MoveRequest,
        operator: &'a str,
    ) -> BoxFuture<'a, Result<OperationId, MoveRefused>>;
    /// See [`ControlHandle::sketch_move`], with what the clouds say.
    fn dry_run<'a>(
        &'a self,
        request: &'a MoveRequest,
        operator: &'a str,
    ) -> BoxFuture<'a, Result<DryRun, MoveRefused>>;
    /// See [`Replica::history`].
    fn history(&self, query: HistoryQuery) -> BoxFuture<'_, Result<Vec<Event>, HistoryError>>;
    /// See [`Replica::transfer_leadership`].
    fn transfer_leadership(&self) -> BoxFuture<'_, Result<NodeId, TransferError>>;
    /// See [`ControlHandle::agent_report`].
    fn agent_report(&self, report: AgentReport) -> AgentReply;
    /// See [`ControlHandle::vantage_update`].
    fn vantage_update(&self, update: VantageUpdate) -> VantageReply;
    /// See [`Preflights::run`].
    fn preflight<'a>(
        &'a self,
        request: &'a PreflightRequest,
    ) -> BoxFuture<'a, Result<Preflight, PreflightRefused>>;
    /// See [`Preflights::part`].
    fn preflight_part<'a>(&'a self, ask: &'a PartRequest) -> BoxFuture<'a, PartReply>;
    /// See [`GroupLimits::faults`].
    fn group_faults(&self, spec: &GroupSpec) -> Vec<String>;
    /// See [`GroupLimits::pool_faults`].
    fn pool_faults(&self, spec: &PoolSpec) -> Vec<String>;
}

/// The real one.
#[derive(Clone)]
pub struct Node {
    /// The log and the state.
    pub replica: Replica,
    /// The control loop.
    pub control: ControlHandle,
    /// What this node's configuration demands of groups.
    pub limits: GroupLimits,
    /// The clouds.
    pub adapters: Arc<Adapters>,
    /// What is found out before anything is at stake.
    pub preflights: Preflights,
}

impl Backend for Node {
    fn status(&self) -> ReplicaStatus {
        self.replica.status()
    }

    fn state(&self) -> Arc<State> {
        self.replica.state()
    }

    fn watch_state(&self) -> watch::Receiver<Arc<State>> {
        self.replica.watch_state()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.replica.leadership()
    }

    fn overview(&self) -> Overview {
        self.control.overview()
    }

    fn confirm_leadership(&self, limit: Duration) -> BoxFuture<'_, Result<(), NotConfirmed>> {
        Box::pin(self.replica.confirm_leadership(limit))
    }

    fn propose(&self, command: Command, limit: Duration) -> BoxFuture<'_, Result<Vec<Event>, ProposeError>> {
        Box::pin(self.replica.propose(command, limit))
    }

    fn request_move<'a>(
        &'a self,
        request: MoveRequest,
        operator: &'a str,
    ) -> BoxFuture<'a, Result<OperationId, MoveRefused>> {
        Box::pin(self.control.request_move(request, operator))
    }

    fn dry_run<'a>(
        &'a self,
        request: &'a MoveRequest,
        operator: &'a str,
    ) -> BoxFuture<'a, Result<DryRun, MoveRefused>> {
        Box::pin(async move {
            let sketch = self.control.sketch_move(request, operator).await?;
            Ok(add_writes(&self.adapters, sketch).await)
        })
    }

    fn history(&self, query: HistoryQuery) -> BoxFuture<'_, Result<Vec<Event>, HistoryError>> {
        Box::pin(self.replica.history(query))
    }

    fn transfer_leadership(&self) -> BoxFuture<'_, Result<NodeId, TransferError>> {
        Box::pin(self.replica.transfer_leadership())
    }

    fn agent_report(&self, report: AgentReport) -> AgentReply {
        self.control.agent_report(report)
    }

    fn vantage_update(&self, update: VantageUpdate) -> VantageReply {
        self.control.vantage_update(update)
    }

    fn preflight<'a>(
        &'a self,
        request: &'a PreflightRequest,
    ) -> BoxFuture<'a, Result<Preflight, PreflightRefused>> {
        Box::pin(self.preflights.run(request))
    }

    fn preflight_part<'a>(&'a self, ask: &'a PartRequest) -> BoxFuture<'a, PartReply> {
        Box::pin(self.preflights.part(ask))
    }

    fn group_faults(&self, spec: &GroupSpec) -> Vec<String> {
        self.limits.warn(spec);
        self.limits.faults(spec)
    }

    fn pool_faults(&self, spec: &PoolSpec) -> Vec<String> {
        self.limits.pool_faults(spec)
    }
}

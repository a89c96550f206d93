//! One method per route.

use coordinator_core::ids::{ApplianceName, GroupName, OperationId, PoolName};
use coordinator_core::model::GroupSpec;
use coordinator_core::pool::PoolSpec;
use reqwest::Method;

use super::{Client, ClientError, MARGIN};
use crate::v1::{
    Accepted, Changed, ClusterStatus, ConfirmOffRequest, Consistency, DryRun, FailbackRequest, GroupList,
    GroupStatus, HistoryFilter, HistoryPage, MaintenanceRequest, MemberRequest, ModeRequest, OperationFilter,
    OperationList, OperationView, PREFLIGHT_LIMIT, PoolList, PoolStatus, Preflight, PreflightRequest,
    ReadOptions, RecordFilter, RecordPage, SwitchoverRequest, Transferred, UnfreezeRequest,
};

type Result<T> = std::result::Result<T, ClientError>;

/// Every method fails with [`ClientError`]; what the coordinator has against a request is in
/// [`ClientError::Problem`].
impl Client {
    /// `GET /v1/status`.
    pub async fn status(&self, consistency: Consistency) -> Result<ClusterStatus> {
        self.get("/v1/status", &ReadOptions { consistency }).await
    }

    /// `GET /v1/groups`.
    pub async fn groups(&self, consistency: Consistency) -> Result<GroupList> {
        self.get("/v1/groups", &ReadOptions { consistency }).await
    }

    /// `GET /v1/groups/{group}`.
    pub async fn group(&self, group: &GroupName, consistency: Consistency) -> Result<GroupStatus> {
        self.get(&format!("/v1/groups/{group}"), &ReadOptions { consistency }).await
    }

    /// `PUT /v1/groups/{group}`: declares the group or replaces its declaration.
    pub async fn put_group(&self, spec: &GroupSpec) -> Result<Changed> {
        self.send(Method::PUT, &format!("/v1/groups/{}", spec.name), spec).await
    }

    /// `DELETE /v1/groups/{group}`: its bindings stay where they are.
    pub async fn remove_group(&self, group: &GroupName) -> Result<Changed> {
        self.send_empty(Method::DELETE, &format!("/v1/groups/{group}")).await
    }

    /// `POST /v1/groups/{group}/switchover`.
    pub async fn switchover(&self, group: &GroupName, request: &SwitchoverRequest) -> Result<Accepted> {
        self.send(Method::POST, &format!("/v1/groups/{group}/switchover"), request).await
    }

    /// `POST /v1/groups/{group}/failback`.
    pub async fn failback(&self, group: &GroupName, request: &FailbackRequest) -> Result<Accepted> {
        self.send(Method::POST, &format!("/v1/groups/{group}/failback"), request).await
    }

    /// What [`Client::switchover`] would do: sets `dry_run`.
    pub async fn try_switchover(&self, group: &GroupName, request: SwitchoverRequest) -> Result<DryRun> {
        let request = SwitchoverRequest { dry_run: true, ..request };
        self.send(Method::POST, &format!("/v1/groups/{group}/switchover"), &request).await
    }

    /// What [`Client::failback`] would do: sets `dry_run`.
    pub async fn try_failback(&self, group: &GroupName, request: FailbackRequest) -> Result<DryRun> {
        let request = FailbackRequest { dry_run: true, ..request };
        self.send(Method::POST, &format!("/v1/groups/{group}/failback"), &request).await
    }

    /// `POST /v1/groups/{group}/mode`.
    pub async fn set_mode(&self, group: &GroupName, request: &ModeRequest) -> Result<Changed> {
        self.send(Method::POST, &format!("/v1/groups/{group}/mode"), request).await
    }

    /// `POST /v1/groups/{group}/unfreeze`.
    pub async fn unfreeze(&self, group: &GroupName, request: &UnfreezeRequest) -> Result<Changed> {
        self.send(Method::POST, &format!("/v1/groups/{group}/unfreeze"), request).await
    }

    /// `POST /v1/groups/{group}/appliances/{appliance}/maintenance`.
    pub async fn set_maintenance(
        &self,
        group: &GroupName,
        appliance: &ApplianceName,
        request: &MaintenanceRequest,
    ) -> Result<Changed> {
        let path = format!("/v1/groups/{group}/appliances/{appliance}/maintenance");
        self.send(Method::POST, &path, request).await
    }

    /// `POST /v1/groups/{group}/appliances/{appliance}/confirm-off`.
    pub async fn confirm_off(
        &self,
        group: &GroupName,
        appliance: &ApplianceName,
        request: &ConfirmOffRequest,
    ) -> Result<Changed> {
        let path = format!("/v1/groups/{group}/appliances/{appliance}/confirm-off");
        self.send(Method::POST, &path, request).await
    }

    /// `GET /v1/pools`.
    pub async fn pools(&self, consistency: Consistency) -> Result<PoolList> {
        self.get("/v1/pools", &ReadOptions { consistency }).await
    }

    /// `GET /v1/pools/{pool}`.
    pub async fn pool(&self, pool: &PoolName, consistency: Consistency) -> Result<PoolStatus> {
        self.get(&format!("/v1/pools/{pool}"), &ReadOptions { consistency }).await
    }

    /// `PUT /v1/pools/{pool}`: declares the pool or replaces its declaration.
    pub async fn put_pool(&self, spec: &PoolSpec) -> Result<Changed> {
        self.send(Method::PUT, &format!("/v1/pools/{}", spec.name), spec).await
    }

    /// `DELETE /v1/pools/{pool}`: its members stay where they are.
    pub async fn remove_pool(&self, pool: &PoolName) -> Result<Changed> {
        self.send_empty(Method::DELETE, &format!("/v1/pools/{pool}")).await
    }

    /// `POST /v1/pools/{pool}/members/{member}/take-out`.
    pub async fn take_out(
        &self,
        pool: &PoolName,
        member: &ApplianceName,
        request: &MemberRequest,
    ) -> Result<Changed> {
        self.send(Method::POST, &format!("/v1/pools/{pool}/members/{member}/take-out"), request).await
    }

    /// `POST /v1/pools/{pool}/members/{member}/put-in`.
    pub async fn put_in(
        &self,
        pool: &PoolName,
        member: &ApplianceName,
        request: &MemberRequest,
    ) -> Result<Changed> {
        self.send(Method::POST, &format!("/v1/pools/{pool}/members/{member}/put-in"), request).await
    }

    /// `GET /v1/operations`.
    pub async fn operations(&self, filter: &OperationFilter) -> Result<OperationList> {
        self.get("/v1/operations", filter).await
    }

    /// `GET /v1/operations/{id}`.
    pub async fn operation(&self, id: OperationId, consistency: Consistency) -> Result<OperationView> {
        self.get(&format!("/v1/operations/{id}"), &ReadOptions { consistency }).await
    }

    /// `GET /v1/history`.
    pub async fn history(&self, filter: &HistoryFilter) -> Result<HistoryPage> {
        self.get("/v1/history", filter).await
    }

    /// `POST /v1/preflight`. Takes longer than everything else: up to [`PREFLIGHT_LIMIT`].
    pub async fn preflight(&self, request: &PreflightRequest) -> Result<Preflight> {
        let limit = PREFLIGHT_LIMIT + MARGIN;
        self.ask(Method::POST, "/v1/preflight", |asked| asked.json(request).timeout(limit)).await
    }

    /// `GET /v1/history/records`.
    pub async fn records(&self, filter: &RecordFilter) -> Result<RecordPage> {
        self.get("/v1/history/records", filter).await
    }

    /// `POST /v1/cluster/transfer-leadership`.
    pub async fn transfer_leadership(&self) -> Result<Transferred> {
        self.send_empty(Method::POST, "/v1/cluster/transfer-leadership").await
    }
}

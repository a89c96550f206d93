//! `/v1/pools/…`.

use axum::extract::State;
use axum::{Extension, Json};
use coordinator_api::v1::{Changed, Code, MemberRequest, PoolList, PoolStatus, ReadOptions};
use coordinator_core::command::CommandBody;
use coordinator_core::ids::{ApplianceName, PoolName};
use coordinator_core::pool::{ChangeMember, PoolCommand, PoolReason, PoolSpec};
use serde_json::Value;

use super::change;
use super::groups::declaration;
use crate::http::ApiState;
use crate::http::auth::Operator;
use crate::http::error::ApiError;
use crate::http::extract::{Body, Path, Query, reason};
use crate::http::view::{pool_status, pool_summary};

pub(super) async fn list(State(api): State<ApiState>, Query(_): Query<ReadOptions>) -> Json<PoolList> {
    Json(PoolList { pools: api.backend.state().pools.values().map(pool_summary).collect() })
}

pub(super) async fn show(
    State(api): State<ApiState>,
    Path(name): Path<PoolName>,
    Query(_): Query<ReadOptions>,
) -> Result<Json<PoolStatus>, ApiError> {
    let state = api.backend.state();
    let pool = state.pools.get(&name);
    let pool = pool.ok_or_else(|| ApiError::new(Code::UnknownPool, format!("there is no pool {name}")))?;
    Ok(Json(pool_status(&state, pool, &api.backend.overview())))
}

pub(super) async fn put(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<PoolName>,
    Body(given): Body<Value>,
) -> Result<Json<Changed>, ApiError> {
    let spec: PoolSpec = declaration("pool", given)?;
    if spec.name != name {
        let detail = format!("the path says pool {name}, the body pool {}", spec.name);
        return Err(ApiError::new(Code::Unprocessable, detail));
    }
    let faults = api.backend.pool_faults(&spec);
    if !faults.is_empty() {
        let detail = format!("the declaration of pool {name} does not fit this cluster's configuration");
        return Err(ApiError::new(Code::Unprocessable, detail).because(faults));
    }
    change(&api, operator, CommandBody::Pool(PoolCommand::Put(spec))).await.map(Json)
}

pub(super) async fn remove(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<PoolName>,
) -> Result<Json<Changed>, ApiError> {
    change(&api, operator, CommandBody::Pool(PoolCommand::Remove(name))).await.map(Json)
}

pub(super) async fn take_out(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path((pool, member)): Path<(PoolName, ApplianceName)>,
    Body(request): Body<MemberRequest>,
) -> Result<Json<Changed>, ApiError> {
    let asked = asked(pool, member, request)?;
    change(&api, operator, CommandBody::Pool(PoolCommand::TakeOut(asked))).await.map(Json)
}

pub(super) async fn put_in(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path((pool, member)): Path<(PoolName, ApplianceName)>,
    Body(request): Body<MemberRequest>,
) -> Result<Json<Changed>, ApiError> {
    let asked = asked(pool, member, request)?;
    change(&api, operator, CommandBody::Pool(PoolCommand::PutIn(asked))).await.map(Json)
}

fn asked(pool: PoolName, member: ApplianceName, request: MemberRequest) -> Result<ChangeMember, ApiError> {
    let reason = reason(request.reason)?;
    let because = vec![PoolReason::Requested { reason: reason.clone() }];
    Ok(ChangeMember { pool, member, expected: None, reason, because, evidence: Vec::new() })
}

//! `/v1/groups/…` but for the moves.

use axum::extract::State;
use axum::{Extension, Json};
use coordinator_api::v1::{
    Changed, Code, ConfirmOffRequest, GroupList, GroupStatus, MaintenanceRequest, ModeRequest, ReadOptions,
    UnfreezeRequest,
};
use coordinator_core::command::CommandBody;
use coordinator_core::ids::{ApplianceName, GroupName};
use coordinator_core::model::GroupSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::change;
use crate::control_loop::wall_now;
use crate::http::ApiState;
use crate::http::auth::Operator;
use crate::http::error::ApiError;
use crate::http::extract::{Body, Path, Query, reason};
use crate::http::view::{group_status, group_summary};

pub(super) async fn list(State(api): State<ApiState>, Query(_): Query<ReadOptions>) -> Json<GroupList> {
    Json(GroupList { groups: api.backend.state().groups.values().map(group_summary).collect() })
}

pub(super) async fn show(
    State(api): State<ApiState>,
    Path(name): Path<GroupName>,
    Query(_): Query<ReadOptions>,
) -> Result<Json<GroupStatus>, ApiError> {
    let state = api.backend.state();
    let group = state.groups.get(&name);
    let group =
        group.ok_or_else(|| ApiError::new(Code::UnknownGroup, format!("there is no group {name}")))?;
    Ok(Json(group_status(&state, group, &api.backend.overview(), wall_now())))
}

pub(super) async fn put(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<GroupName>,
    Body(given): Body<Value>,
) -> Result<Json<Changed>, ApiError> {
    let spec: GroupSpec = declaration("group", given)?;
    if spec.name != name {
        let detail = format!("the path says group {name}, the body group {}", spec.name);
        return Err(ApiError::new(Code::Unprocessable, detail));
    }
    let faults = api.backend.group_faults(&spec);
    if !faults.is_empty() {
        let detail = format!("the declaration of group {name} does not fit this cluster's configuration");
        return Err(ApiError::new(Code::Unprocessable, detail).because(faults));
    }
    change(&api, operator, CommandBody::PutGroup(spec)).await.map(Json)
}

/// Reads a declaration and refuses what it does not know: a field that is misspelt must not be
/// taken for one that is absent. The core's types are lenient, since they also read what older
/// versions wrote, so what was read is compared with what was given.
pub(super) fn declaration<T: Serialize + DeserializeOwned>(what: &str, given: Value) -> Result<T, ApiError> {
    let malformed =
        |error: serde_json::Error| ApiError::new(Code::BadRequest, format!("not a {what}: {error}"));
    let spec: T = serde_json::from_value(given.clone()).map_err(malformed)?;
    let read = serde_json::to_value(&spec).map_err(malformed)?;
    match unknown_field(&given, &read, "") {
        Some(path) => Err(ApiError::new(Code::BadRequest, format!("{path} is not a field of a {what}"))),
        None => Ok(spec),
    }
}

/// The path of the first field in `given` that `read` does not have.
fn unknown_field(given: &Value, read: &Value, path: &str) -> Option<String> {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => given.iter().find_map(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match read.get(key) {
                Some(read) => unknown_field(value, read, &path),
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(read)) => {
            let pairs = given.iter().zip(read).enumerate();
            pairs
                .into_iter()
                .find_map(|(i, (given, read))| unknown_field(given, read, &format!("{path}[{i}]")))
        }
        _ => None,
    }
}

pub(super) async fn remove(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<GroupName>,
) -> Result<Json<Changed>, ApiError> {
    change(&api, operator, CommandBody::RemoveGroup(name)).await.map(Json)
}

pub(super) async fn mode(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(group): Path<GroupName>,
    Body(request): Body<ModeRequest>,
) -> Result<Json<Changed>, ApiError> {
    let reason = reason(request.reason)?;
    change(&api, operator, CommandBody::SetMode { group, mode: request.mode, reason }).await.map(Json)
}

pub(super) async fn unfreeze(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path(group): Path<GroupName>,
    Body(request): Body<UnfreezeRequest>,
) -> Result<Json<Changed>, ApiError> {
    let reason = reason(request.reason)?;
    change(&api, operator, CommandBody::Unfreeze { group, reason }).await.map(Json)
}

pub(super) async fn maintenance(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path((group, appliance)): Path<(GroupName, ApplianceName)>,
    Body(request): Body<MaintenanceRequest>,
) -> Result<Json<Changed>, ApiError> {
    let (enabled, reason) = (request.enabled, reason(request.reason)?);
    change(&api, operator, CommandBody::SetMaintenance { group, appliance, enabled, reason }).await.map(Json)
}

pub(super) async fn confirm_off(
    State(api): State<ApiState>,
    Extension(operator): Extension<Operator>,
    Path((group, appliance)): Path<(GroupName, ApplianceName)>,
    Body(request): Body<ConfirmOffRequest>,
) -> Result<Json<Changed>, ApiError> {
    let (token, reason) = (request.token, reason(request.reason)?);
    change(&api, operator, CommandBody::ConfirmOff { group, appliance, token, reason }).await.map(Json)
}

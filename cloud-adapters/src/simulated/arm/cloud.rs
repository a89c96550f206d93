//! What the fake ARM does with its documents. No clock and no socket: time is a parameter.

mod backend_pools;
mod network;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use backend_pools::BackendPools;
pub use backend_pools::Behind;
pub use work::Style;
use work::{Operation, Work};

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers beside the content's.
    pub headers: Vec<(&'static str, String)>,
    /// The body; `Null` for none.
    pub body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Answer { status: 200, headers: Vec::new(), body }
    }

    /// An error as ARM words it.
    pub fn error(status: u16, code: &str, message: impl Into<String>) -> Self {
        let body = json!({ "error": { "code": code, "message": message.into(), "details": [] } });
        Answer { status, headers: Vec::new(), body }
    }

    /// The error behind which ARM hides that a resource is being changed.
    pub fn retryable(code: &str, message: impl Into<String>) -> Self {
        let details = json!([{ "code": code, "message": message.into() }]);
        let error =
            json!({ "code": "RetryableError", "message": "A retryable error occurred.", "details": details });
        Answer { status: 429, headers: Vec::new(), body: json!({ "error": error }) }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    /// The error's code; empty for a success.
    pub fn code(&self) -> &str {
        self.body.pointer("/error/code").and_then(Value::as_str).unwrap_or_default()
    }
}

/// How long a write takes, and how that is told.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// How long the cloud is at work when something other than a tag changes.
    pub takes: Duration,
    /// How long when nothing but tags change.
    pub tags_take: Duration,
    /// How a long-running operation is announced.
    pub style: Style,
    /// Whether it fails at its end.
    pub fails: bool,
    /// `Retry-After` of the answer that accepts it, in seconds.
    pub retry_after: Option<u64>,
}

/// From `at` on, until the next entry for the same public IP, `carriers` carried it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Since the start.
    pub at: Duration,
    /// The public IP's id, in lower case.
    pub public_ip: String,
    /// The ids of the IP configurations, in lower case. More than one must never be.
    pub carriers: Vec<String>,
}

/// The cloud.
#[derive(Debug, Default)]
pub struct ArmCloud {
    /// By id in lower case.
    resources: BTreeMap<String, Value>,
    operations: BTreeMap<String, Operation>,
    work: Vec<Work>,
    version: u64,
    /// Which public IP each IP configuration carries now; both in lower case.
    carrying: BTreeMap<String, String>,
    history: Vec<Carried>,
    pools: BackendPools,
    /// Permissions that the identity lacks.
    denied: BTreeSet<String>,
}

impl ArmCloud {
    /// Adds a resource as it is, by its `id`. What its NICs refer to is associated at once.
    pub fn add(&mut self, mut document: Value) {
        let etag = self.next_etag();
        document["etag"] = json!(etag);
        let id = text(&document, "id").to_lowercase();
        self.resources.insert(id.clone(), document);
        if is_nic(&id) {
            for (configuration, public_ip) in self.references(&id) {
                self.associate(&public_ip, Some(&configuration));
                self.carrying.insert(configuration.to_lowercase(), public_ip);
            }
            self.join_pools(&id);
        }
        self.note_history(Duration::ZERO);
    }

    /// A resource as it is.
    pub fn document(&self, id: &str) -> Option<&Value> {
        self.resources.get(&id.to_lowercase())
    }

    /// Every resource, by id in lower case.
    pub fn documents(&self) -> &BTreeMap<String, Value> {
        &self.resources
    }

    /// Changes a resource behind everybody's back, as a person at the portal would.
    pub fn meddle(&mut self, id: &str, change: impl FnOnce(&mut Value)) {
        let etag = self.next_etag();
        if let Some(document) = self.resources.get_mut(&id.to_lowercase()) {
            change(document);
            document["etag"] = json!(etag);
        }
        let id = id.to_lowercase();
        self.leave_pools(&id);
        self.join_pools(&id);
    }

    /// Forgets every operation, as ARM does after a while: who asks is told that there is none. What
    /// they are about goes on.
    pub fn forget_operations(&mut self) {
        self.operations.clear();
    }

    /// Takes a permission, such as `Microsoft.Network/networkInterfaces/write`, from the identity.
    pub fn deny(&mut self, permission: &str) {
        self.denied.insert(permission.to_owned());
    }

    /// Who carried what, and since when.
    pub fn history(&self) -> &[Carried] {
        &self.history
    }

    /// Carries out one call of an identity that has shown its token.
    pub fn handle(
        &mut self,
        now: Duration,
        method: &str,
        path: &str,
        if_match: Option<&str>,
        body: &[u8],
        manner: Manner,
    ) -> Answer {
        self.advance(now);
        let lower = path.trim_end_matches('/').to_lowercase();
        if let Some(operation) = self.operation_answer(now, &lower) {
            return operation;
        }
        if let Some(scope) = lower.strip_suffix("/providers/microsoft.authorization/permissions") {
            return self.permissions(scope);
        }
        let (id, action) = split_action(&lower);
        if !self.resources.contains_key(id) {
            return Answer::error(404, "ResourceNotFound", format!("The Resource '{id}' was not found."));
        }
        if let Some(denial) = self.denial(method, id, action) {
            return denial;
        }
        match (method, action) {
            ("GET", None) => self.get(id),
            ("GET", Some("instanceview")) => self.instance_view(id),
            ("POST", Some("poweroff")) => self.power(now, id, "PowerState/stopped", manner),
            ("POST", Some("effectiveroutetable")) => self.effective_routes(now, id, manner),
            ("PUT", None) => self.put(now, id, if_match, body, manner),
            _ => Answer::error(405, "MethodNotAllowed", format!("{method} is not known here")),
        }
    }

    fn get(&self, id: &str) -> Answer {
        let document = self.resources.get(id).cloned().unwrap_or_default();
        let etag = text(&document, "etag").to_owned();
        Answer::ok(document).with("ETag", etag)
    }

    fn next_etag(&mut self) -> String {
        self.version += 1;
        format!("W/\"{:08x}-0000-4000-8000-000000000000\"", self.version)
    }

    fn denial(&self, method: &str, id: &str, action: Option<&str>) -> Option<Answer> {
        let kind = resource_type(self.resources.get(id)?);
        let verb = match (method, action) {
            ("GET", None) => "read".to_owned(),
            ("PUT", None) => "write".to_owned(),
            (_, Some("instanceview")) => "instanceView/read".to_owned(),
            (_, Some("poweroff")) => "powerOff/action".to_owned(),
            (_, Some("effectiveroutetable")) => "effectiveRouteTable/action".to_owned(),
            (_, other) => format!("{}/action", other.unwrap_or_default()),
        };
        let permission = format!("{kind}/{verb}");
        let denied = self.denied.iter().any(|denied| denied.eq_ignore_ascii_case(&permission));
        denied.then(|| {
            let message = format!(
                "The client 'c0ffee00-0000-4000-8000-000000000000' with object id \
                 'c0ffee00-0000-4000-8000-000000000001' does not have authorization to perform action \
                 '{permission}' over scope '{id}' or the scope is invalid."
            );
            Answer::error(403, "AuthorizationFailed", message)
        })
    }

    /// What the identity may do at a scope, as Microsoft.Authorization tells it.
    fn permissions(&self, _scope: &str) -> Answer {
        let not: Vec<&String> = self.denied.iter().collect();
        Answer::ok(json!({ "value": [{ "actions": ["*"], "notActions": not }] }))
    }
}

/// The resource and the action of a path, both in lower case.
fn split_action(path: &str) -> (&str, Option<&str>) {
    for action in ["instanceview", "poweroff", "effectiveroutetable"] {
        if let Some(id) = path.strip_suffix(action).and_then(|rest| rest.strip_suffix('/')) {
            return (id, Some(action));
        }
    }
    (path, None)
}

fn is_nic(id: &str) -> bool {
    id.contains("/microsoft.network/networkinterfaces/")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn resource_type(document: &Value) -> &str {
    text(document, "type")
}

#[cfg(test)]
mod tests;

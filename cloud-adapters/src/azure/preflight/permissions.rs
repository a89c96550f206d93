//! What each coordinator has to find out for itself: its token, and what its identity may do.

use std::collections::BTreeSet;

use coordinator_api::v1::{Check, CheckItem};
use futures::{StreamExt, stream};
use serde_json::Value;

use crate::azure::AzureAdapter;
use crate::azure::adapter::Declared;
use crate::azure::arm::{CallFailure, Class};
use crate::azure::resource_id::{Kind, ResourceId};
use crate::contract::{AdapterError, Journal, Subject};

/// The version of Microsoft.Authorization that requests are shaped for.
const AUTHORIZATION: &str = "2022-04-01";

/// Questions under way at once: three coordinators ask the same, and a subscription gives back 25
/// reads a second.
const AT_ONCE: usize = 8;

/// What has to be permitted on each kind of resource. `write` on a NIC is not enough: ARM wants
/// to see that we may join what its document refers to.
fn needed(id: &ResourceId) -> &'static [&'static str] {
    if id.is(Kind::Nic) {
        &["Microsoft.Network/networkInterfaces/read", "Microsoft.Network/networkInterfaces/write"]
    } else if id.is(Kind::RouteTable) {
        &["Microsoft.Network/routeTables/read", "Microsoft.Network/routeTables/write"]
    } else if id.is(Kind::PublicIp) {
        &["Microsoft.Network/publicIPAddresses/read", "Microsoft.Network/publicIPAddresses/join/action"]
    } else {
        &["Microsoft.Compute/virtualMachines/read"]
    }
}

impl AzureAdapter {
    pub(super) async fn reach_arm(&self, subject: Subject<'_>, journal: &Journal) -> Vec<CheckItem> {
        let mut items = Vec::new();
        match self.tokens.bearer().await {
            Ok(_) => {
                items.push(CheckItem::pass(Check::AzureToken, "token", "the identity has a token for ARM"));
            }
            Err(error) => {
                let found = AdapterError::permanent("get a token", error).chain();
                let advice =
                    "see that the identity exists, its secret is right, and the token endpoint is reachable";
                items.push(CheckItem::fail(Check::AzureToken, "token", found, advice));
                // Everything else would fail for the same reason.
                return items;
            }
        }
        let declared = subject.bindings.iter().filter_map(|binding| self.declared(binding).ok());
        let ids: BTreeSet<ResourceId> = declared.flat_map(|declared| Declared::read(&declared)).collect();
        let asked: Vec<_> = stream::iter(ids)
            .map(|id| async move {
                let told = self.granted(&id, journal).await;
                (id, told)
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        // What ARM refuses, it has answered.
        let silent = |failure: &CallFailure| matches!(failure.class, Class::Transient);
        let mute = asked.iter().find_map(|(_, told)| told.as_ref().err().filter(|f| silent(f)));
        let answered = asked.iter().any(|(_, told)| !told.as_ref().is_err_and(silent));
        match mute {
            Some(failure) if !answered => {
                let found = failure.clone().into_adapter_error("reach ARM").chain();
                let advice = "open the way from this coordinator to ARM, by TCP 443";
                items.push(CheckItem::fail(Check::AzureReach, "ARM", found, advice));
                return items;
            }
            _ if answered => items.push(CheckItem::pass(Check::AzureReach, "ARM", "it answers")),
            _ => {}
        }
        items.extend(asked.into_iter().map(|(id, told)| permission(&id, told)));
        items
    }

    /// The sets of permissions that this identity has on a resource.
    async fn granted(&self, id: &ResourceId, journal: &Journal) -> Result<Vec<Value>, CallFailure> {
        let path = format!("{}/providers/Microsoft.Authorization/permissions", id.as_str());
        let reply = self.arm.get_path(&path, AUTHORIZATION, journal).await?;
        Ok(reply.body.get("value").and_then(Value::as_array).cloned().unwrap_or_default())
    }
}

/// Each permission that a move needs, as Microsoft.Authorization tells it for this identity.
fn permission(id: &ResourceId, told: Result<Vec<Value>, CallFailure>) -> CheckItem {
    let what = id.short();
    let sets = match told {
        Ok(sets) => sets,
        Err(failure) => {
            let found = failure.into_adapter_error("read the permissions").chain();
            let advice =
                "give the identity Microsoft.Authorization/permissions/read, or check its role by hand";
            return CheckItem::warn(Check::AzurePermission, what, found, advice);
        }
    };
    let missing: Vec<&str> =
        needed(id).iter().copied().filter(|action| !sets.iter().any(|set| grants(set, action))).collect();
    if missing.is_empty() {
        let found = format!("permitted: {}", needed(id).join(", "));
        return CheckItem::pass(Check::AzurePermission, what, found);
    }
    let found = format!("not permitted: {}", missing.join(", "));
    let advice = "add it to the identity's role, or assign the role at a scope that covers the resource";
    CheckItem::fail(Check::AzurePermission, what, found, advice)
}

/// Whether a set of permissions has an action: granted, and not taken out again.
fn grants(set: &Value, action: &str) -> bool {
    let any = |field: &str| {
        let list = set.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).any(|pattern| matches(pattern, action))
    };
    any("actions") && !any("notActions")
}

/// Whether a pattern with `*` in it covers an action. Case does not count.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = action.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_permission_is_granted_by_a_pattern_and_taken_out_by_another() {
        for (pattern, covers) in [
            ("*", true),
            ("*/read", false),
            ("Microsoft.Network/*", true),
            ("microsoft.network/NETWORKINTERFACES/write", true),
            ("Microsoft.Network/*/write", true),
            ("Microsoft.Network/networkInterfaces/wri", false),
            ("Microsoft.Network/networkInterfaces/write/*", false),
            ("", false),
        ] {
            assert_eq!(matches(pattern, "Microsoft.Network/networkInterfaces/write"), covers, "{pattern}");
        }
        let set = json!({ "actions": ["*"], "notActions": ["Microsoft.Network/routeTables/*"] });
        assert!(grants(&set, "Microsoft.Network/networkInterfaces/write"));
        assert!(!grants(&set, "Microsoft.Network/routeTables/write"));
    }
}

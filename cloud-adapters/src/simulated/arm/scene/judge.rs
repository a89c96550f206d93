//! What the cloud's own documents say, read without any of the adapter's code.

use coordinator_core::ids::ApplianceName;
use coordinator_core::model::{BindingKind, BindingSpec};
use serde_json::{Value, json};

use crate::simulated::arm::FakeArm;

/// What the adapter's tags begin with.
const OUR_TAG: &str = "pointsman-token-";

/// Where a binding points, by the documents of the cloud; `None` when at no appliance.
pub fn active(arm: &FakeArm, binding: &BindingSpec) -> Option<ApplianceName> {
    let document = |id: &str| arm.with(|cloud| cloud.document(id).cloned());
    match &binding.kind {
        BindingKind::PublicIp { resource, targets, .. } => {
            let document = document(resource)?;
            let at = document.pointer("/properties/ipConfiguration/id")?.as_str()?.to_lowercase();
            targets.iter().find(|(_, target)| target.to_lowercase() == at).map(|(fw, _)| fw.clone())
        }
        BindingKind::Route { table, route, targets, .. } => {
            let document = document(table)?;
            let routes = document.pointer("/properties/routes")?.as_array()?;
            let entry = routes.iter().find(|entry| entry["name"] == **route)?;
            let hop = entry["properties"]["nextHopIpAddress"].as_str()?;
            targets.iter().find(|(_, target)| target.to_string() == hop).map(|(fw, _)| fw.clone())
        }
        _ => None,
    }
}

/// Everything but where the bindings point, our tags, and what ARM itself changes.
pub fn everything_else(arm: &FakeArm, bindings: &[BindingSpec]) -> Value {
    let mut all = arm.with(|cloud| cloud.documents().clone());
    for document in all.values_mut() {
        strip(document);
        bindings.iter().for_each(|binding| forget(document, binding));
    }
    json!(all)
}

/// Takes out of a document where the binding points.
fn forget(document: &mut Value, binding: &BindingSpec) {
    match &binding.kind {
        BindingKind::PublicIp { resource, .. } => {
            if document["id"] == **resource {
                remove(&mut document["properties"], "ipConfiguration");
            }
            for entry in entries(document, "/properties/ipConfigurations") {
                if entry.pointer("/properties/publicIPAddress") == Some(&json!({ "id": resource })) {
                    remove(&mut entry["properties"], "publicIPAddress");
                }
            }
        }
        BindingKind::Route { table, route, .. } if document["id"] == **table => {
            for entry in entries(document, "/properties/routes").filter(|entry| entry["name"] == **route) {
                remove(&mut entry["properties"], "nextHopIpAddress");
            }
        }
        _ => {}
    }
}

fn entries<'a>(document: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Value> {
    document.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten()
}

fn remove(value: &mut Value, field: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
}

/// Versions and states, wherever they are, and our tags.
fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                name != "etag" && name != "provisioningState" && !name.starts_with(OUR_TAG)
            });
            fields.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

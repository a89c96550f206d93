//! What differs between two documents, value by value, for people to read.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where, for instance `properties.routes.default.properties.nextHopIpAddress`. Entries of lists
    /// go by their names where they have any.
    pub path: String,
    /// Before; absent when it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// After; absent when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Every value that differs, by its path. What is new or gone is told value by value as well.
pub fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(before, after, "", &mut found);
    found
}

fn compare(before: &Value, after: &Value, path: &str, found: &mut Vec<Difference>) {
    match (children(before), children(after)) {
        _ if before == after => {}
        (Some(before), Some(after)) => {
            order(&before, &after, path, found);
            let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            for (key, value) in &before {
                let other = after.iter().find(|(k, _)| k == key).map_or(&Value::Null, |(_, v)| v);
                compare(value, other, &join(key), found);
            }
            for (key, value) in after.iter().filter(|(key, _)| !before.iter().any(|(k, _)| k == key)) {
                compare(&Value::Null, value, &join(key), found);
            }
        }
        // All of a new or removed value, leaf by leaf.
        (Some(_), None) => compare(before, &Value::Object(Map::new()), path, found),
        (None, Some(_)) => compare(&Value::Object(Map::new()), after, path, found),
        (None, None) => {
            found.push(Difference { path: path.to_owned(), from: shown(before), to: shown(after) });
        }
    }
}

/// Reports the same keys in another order: the first appliance of a list is the preferred one.
fn order(before: &[(String, &Value)], after: &[(String, &Value)], path: &str, found: &mut Vec<Difference>) {
    let common = |of: &[(String, &Value)], other: &[(String, &Value)]| {
        let keys = of.iter().map(|(key, _)| key.as_str()).filter(|key| other.iter().any(|(k, _)| k == key));
        keys.collect::<Vec<_>>().join(", ")
    };
    let (was, is) = (common(before, after), common(after, before));
    if was != is {
        found.push(Difference { path: format!("order of {path}"), from: Some(was), to: Some(is) });
    }
}

/// The values in a value, each with its key: in lists of named things the name, so that an entry
/// that moves up is not shown as all different.
fn children(value: &Value) -> Option<Vec<(String, &Value)>> {
    match value {
        Value::Object(fields) => Some(fields.iter().map(|(key, value)| (key.clone(), value)).collect()),
        Value::Array(items) => {
            Some(items.iter().enumerate().map(|(i, item)| (name_of(i, item), item)).collect())
        }
        _ => None,
    }
}

fn name_of(index: usize, item: &Value) -> String {
    item.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned)
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

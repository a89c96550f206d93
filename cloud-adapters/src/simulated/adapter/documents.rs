//! Documents are changed as they came, as JSON: what this adapter does not know stays as it is.

use coordinator_core::ids::{GroupName, Token};
use serde_json::Value;

use crate::contract::MoveJob;

/// The tag that holds a group's token.
fn tag(group: &GroupName) -> String {
    format!("pointsman-token-{group}")
}

/// The group's token on a document.
///
/// # Errors
/// When the tag is there and is no token: nobody knows then who may write.
pub(super) fn token_on(document: &Value, group: &GroupName) -> Result<Option<Token>, String> {
    let tag = tag(group);
    let Some(value) = document.get("tags").and_then(|tags| tags.get(&tag)) else { return Ok(None) };
    let number = value.as_str().and_then(|text| text.parse().ok());
    number.map(|token| Some(Token(token))).ok_or_else(|| {
        format!("its tag {tag} is {value}, which is no token; remove the tag if no other coordinator cluster uses it")
    })
}

/// The document with the job's token on it.
pub(super) fn with_token(document: Value, job: &MoveJob) -> Value {
    with_tag(document, &job.group, job.token)
}

/// The document with the group's token on it.
pub(super) fn with_tag(mut document: Value, group: &GroupName, token: Token) -> Value {
    if let Some(document) = document.as_object_mut() {
        let tags = document.entry("tags").or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(tags) = tags.as_object_mut() {
            tags.insert(tag(group), Value::String(token.to_string()));
        }
    }
    document
}

/// Whether the cloud has finished the newest change of the document.
pub(super) fn is_settled(document: &Value) -> bool {
    text(document, "provisioning") == Some("succeeded")
}

/// The entries of a list; empty if there is none.
pub(super) fn list<'a>(document: &'a Value, field: &str) -> &'a [Value] {
    document.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text field.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

/// Sets `field` of the entry called `name` in the list `list`, if there is one.
pub(super) fn set_in_list(document: &mut Value, list: &str, name: &str, field: &str, value: Value) {
    let entries = document.get_mut(list).and_then(Value::as_array_mut);
    let entry =
        entries.and_then(|entries| entries.iter_mut().find(|entry| text(entry, "name") == Some(name)));
    if let Some(entry) = entry.and_then(Value::as_object_mut) {
        entry.insert(field.to_owned(), value);
    }
}

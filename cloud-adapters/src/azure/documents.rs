//! ARM's documents, changed as they came, as JSON: what this adapter does not know goes back
//! unchanged. A `PUT` replaces the whole resource, and what is not in it is reset, so a document
//! that had passed through types of our own would lose what they do not know.

use std::fmt::Display;

use coordinator_core::ids::Token;
use serde_json::{Map, Value};

use super::resource_id::ResourceId;

/// How people are told of a field that is not there.
pub(super) const NOTHING: &str = "nothing";

/// Most tags that ARM lets a resource have.
pub(super) const MOST_TAGS: usize = 50;

/// The tag that holds the token of a group, or of a pool: their names never meet.
pub(super) fn tag(group: &impl Display) -> String {
    format!("pointsman-token-{group}")
}

/// The group's token on a document.
///
/// # Errors
/// When the tag is there and is no token: nobody knows then who may write.
pub(super) fn token_on(document: &Value, group: &impl Display) -> Result<Option<Token>, String> {
    let tag = tag(group);
    let tags = document.get("tags").and_then(Value::as_object);
    // ARM compares the names of tags without regard to case, and may give them back in another.
    let found = tags.and_then(|tags| tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(&tag)));
    let Some((_, value)) = found else { return Ok(None) };
    let number = value.as_str().and_then(|text| text.parse().ok());
    number.map(|token| Some(Token(token))).ok_or_else(|| {
        format!("its tag {tag} is {value}, which is no token; remove the tag if no other coordinator cluster uses it")
    })
}

/// The document with the token of a group or a pool on it.
///
/// # Errors
/// When there is no room for one more tag.
pub(super) fn with_token(mut document: Value, group: &impl Display, token: Token) -> Result<Value, String> {
    let tag = tag(group);
    let fields = document.as_object_mut().ok_or("its document is no JSON object")?;
    let tags = fields.entry("tags").or_insert(Value::Null);
    if tags.is_null() {
        *tags = Value::Object(Map::new());
    }
    let tags = tags.as_object_mut().ok_or("its tags are no JSON object")?;
    let name = tags.keys().find(|name| name.eq_ignore_ascii_case(&tag)).cloned().unwrap_or(tag);
    if tags.len() >= MOST_TAGS && !tags.contains_key(&name) {
        return Err(format!(
            "it has {MOST_TAGS} tags, which is all that ARM allows, and needs one more for the token: remove one"
        ));
    }
    tags.insert(name, Value::String(token.to_string()));
    Ok(document)
}

/// Whether ARM has finished the newest change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has.
    Succeeded,
    /// It is at work.
    Updating,
    /// It gave up. The next successful `PUT` ends that, also one that changes nothing.
    Failed,
}

impl State {
    pub(super) fn of(document: &Value) -> Self {
        match document.pointer("/properties/provisioningState").and_then(Value::as_str) {
            Some("Succeeded") | None => State::Succeeded,
            Some("Failed" | "Canceled") => State::Failed,
            // `Updating`, `Deleting`, and whatever comes after 2024.
            Some(_) => State::Updating,
        }
    }
}

/// The version that a conditional write names.
pub(super) fn etag(document: &Value) -> Option<&str> {
    document.get("etag").and_then(Value::as_str)
}

/// The entries of a list below `properties`; empty if there is none.
pub(super) fn list<'a>(document: &'a Value, field: &str) -> &'a [Value] {
    let list = document.get("properties").and_then(|properties| properties.get(field));
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The entry of such a list with that name. ARM compares names without regard to case.
pub(super) fn entry<'a>(document: &'a Value, field: &str, name: &str) -> Option<&'a Value> {
    list(document, field).iter().find(|entry| is_called(entry, name))
}

fn is_called(entry: &Value, name: &str) -> bool {
    entry.get("name").and_then(Value::as_str).is_some_and(|found| found.eq_ignore_ascii_case(name))
}

/// The `properties` of the entry `name` of the list `field`, to be changed.
pub(super) fn entry_properties_mut<'a>(
    document: &'a mut Value,
    field: &str,
    name: &str,
) -> Option<&'a mut Map<String, Value>> {
    let list = document.get_mut("properties")?.get_mut(field)?.as_array_mut()?;
    let entry = list.iter_mut().find(|entry| is_called(entry, name))?;
    entry.get_mut("properties")?.as_object_mut()
}

/// A text below the `properties` of a document or of an entry.
pub(super) fn property<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get("properties")?.get(field)?.as_str()
}

/// The id that a property refers to, such as `publicIPAddress`.
pub(super) fn reference(value: &Value, field: &str) -> Option<ResourceId> {
    let text = value.get("properties")?.get(field)?.get("id")?.as_str()?;
    ResourceId::parse(text).ok()
}

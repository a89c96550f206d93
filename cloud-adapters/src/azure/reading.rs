//! Reads for many bindings at once: each resource once, all side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use futures::{StreamExt, stream};
use serde_json::Value;

use super::arm::{ArmClient, CallFailure};
use super::documents::{etag, token_on};
use super::resource_id::ResourceId;
use crate::contract::{AdapterError, Journal, ResourceSeen};

/// Reads under way at once. ARM lets a subscription have more; the sockets are what is bounded.
const AT_ONCE: usize = 32;

/// What was read, or why it was not.
#[derive(Default)]
pub(super) struct Documents {
    by_id: BTreeMap<ResourceId, Result<Value, CallFailure>>,
}

/// Why a binding could not be read.
pub(super) enum ReadError {
    /// A resource could not be read.
    Call(ResourceId, CallFailure),
    /// It was read, and cannot be what was declared.
    Unfit(String),
}

impl ReadError {
    pub(super) fn into_adapter_error(self, attempt: &str) -> AdapterError {
        match self {
            ReadError::Call(id, failure) => failure.into_adapter_error(format!("read {}", id.short())),
            ReadError::Unfit(why) => AdapterError::permanent(attempt, why),
        }
    }
}

impl Documents {
    /// Reads those of `ids` that are not here yet.
    pub(super) async fn fetch(&mut self, arm: &ArmClient, ids: BTreeSet<ResourceId>, journal: &Journal) {
        let missing = ids.into_iter().filter(|id| !self.by_id.contains_key(id));
        let reads = missing.map(|id| async move {
            let result = arm.get(&id, journal).await.map(|reply| reply.body);
            (id, result)
        });
        let read: Vec<_> = stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
        self.by_id.extend(read);
    }

    /// A document that was read.
    pub(super) fn get(&self, id: &ResourceId) -> Option<&Value> {
        self.by_id.get(id)?.as_ref().ok()
    }

    /// A document, or why it is not there.
    pub(super) fn require(&self, id: &ResourceId) -> Result<&Value, ReadError> {
        match self.by_id.get(id) {
            Some(Ok(document)) => Ok(document),
            Some(Err(failure)) => Err(ReadError::Call(id.clone(), failure.clone())),
            None => Err(ReadError::Unfit(format!("{} was not read", id.short()))),
        }
    }
}

/// A resource that may have to be written, from its document.
pub(super) fn seen(
    documents: &Documents,
    id: &ResourceId,
    group: &impl Display,
) -> Result<ResourceSeen, ReadError> {
    let document = documents.require(id)?;
    let short = id.short();
    let version = etag(document).ok_or_else(|| ReadError::Unfit(format!("{short} has no ETag")))?;
    let token = token_on(document, group).map_err(|why| ReadError::Unfit(format!("{short}: {why}")))?;
    Ok(ResourceSeen { id: id.key().to_owned(), etag: version.to_owned(), token, document: document.clone() })
}

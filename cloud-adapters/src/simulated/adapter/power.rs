//! Machines of the simulated cloud are switched off by a conditional write, with the token on it.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::SimulatedAdapter;
use super::documents::{text, token_on, with_tag};
use crate::contract::{AdapterError, Journal, Power, PowerOffJob};

impl Power for SimulatedAdapter {
    fn power_off<'a>(
        &'a self,
        job: &'a PowerOffJob,
        journal: &'a Journal,
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        self.switch_off(job, journal).boxed()
    }
}

impl SimulatedAdapter {
    async fn switch_off(&self, job: &PowerOffJob, journal: &Journal) -> Result<(), AdapterError> {
        let id = format!("machines/{}", job.resource);
        let attempt = format!("power {} off ({id})", job.appliance);
        let found = self.client.get(&id, &attempt, journal).await?;
        // Someone else's change first: what it leads to is what counts.
        let found = self.wait_until_settled(&id, &attempt, found, journal).await?;
        let carried = token_on(&found.document, &job.group)
            .map_err(|why| AdapterError::permanent(attempt.clone(), why))?;
        if let Some(newer) = carried.filter(|carried| *carried > job.token) {
            let (token, group) = (job.token, &job.group);
            let why = format!("{id} carries token {newer} of group {group}, and this has only {token}");
            return Err(AdapterError::deposed(why));
        }
        if is_off(&found.document) {
            return Ok(());
        }
        let mut document = with_tag(found.document, &job.group, job.token);
        if let Some(document) = document.as_object_mut() {
            document.insert("power".to_owned(), Value::String("off".to_owned()));
        }
        let accepted = self.client.put(&id, &found.etag, &document, &attempt, journal).await?;
        let settled = self.wait_until_settled(&id, &attempt, accepted, journal).await?;
        if is_off(&settled.document) {
            return Ok(());
        }
        Err(AdapterError::conflict(attempt, "it was switched on again"))
    }
}

fn is_off(document: &Value) -> bool {
    text(document, "power") == Some("off")
}

//! Long-running operations: a write is accepted, and takes effect when its time has come.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, ArmCloud, Carried, Manner, is_nic, text};

/// How a long-running operation is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// 200, the state `Updating`, `Azure-AsyncOperation`.
    Ok,
    /// 201, the state `Updating`, `Azure-AsyncOperation` and `Location`.
    Created,
    /// 202 without a body, `Location` only.
    Accepted,
    /// 200, the state `Updating`, and no URL at all.
    Bare,
}

impl Style {
    /// All of them.
    pub const ALL: [Style; 4] = [Style::Ok, Style::Created, Style::Accepted, Style::Bare];
}

/// What became of an operation, for those who ask.
#[derive(Debug)]
pub(super) struct Operation {
    due: Duration,
    fails: bool,
    result: Value,
}

/// A change that was accepted and is not finished.
#[derive(Debug)]
pub(super) struct Work {
    due: Duration,
    id: String,
    fails: bool,
    /// Public IPs that it detaches: nobody else gets them before it is done.
    releases: BTreeSet<String>,
}

impl ArmCloud {
    /// Finishes all work that is due.
    pub fn advance(&mut self, now: Duration) {
        self.work.sort_by_key(|work| work.due);
        while self.work.first().is_some_and(|work| work.due <= now) {
            let work = self.work.remove(0);
            self.finish(&work);
            self.note_history(work.due);
        }
    }

    fn finish(&mut self, work: &Work) {
        let state = if work.fails { "Failed" } else { "Succeeded" };
        for public_ip in &work.releases {
            self.set_state(public_ip, "Succeeded");
        }
        let references = self.references(&work.id);
        self.set_state(&work.id, state);
        if !work.fails {
            self.join_pools(&work.id);
        }
        for (configuration, public_ip) in references {
            self.set_state(&public_ip, "Succeeded");
            if work.fails {
                // The document says what was wanted; what it is about has not happened.
                if !self.carrying.contains_key(&configuration.to_lowercase()) {
                    self.associate(&public_ip, None);
                }
            } else {
                self.carrying.insert(configuration.to_lowercase(), public_ip);
            }
        }
    }

    /// Starts the work on a write that was accepted, and says so in the chosen style.
    pub(super) fn begin(
        &mut self,
        now: Duration,
        id: &str,
        releases: BTreeSet<String>,
        takes: Duration,
        manner: Manner,
    ) -> Answer {
        let due = now + takes;
        self.set_state(id, "Updating");
        for public_ip in releases.clone() {
            self.associate(&public_ip, None);
            self.set_state(&public_ip, "Updating");
        }
        for (configuration, public_ip) in self.references(id) {
            if self.carrying.get(&configuration.to_lowercase()) != Some(&public_ip) {
                self.associate(&public_ip, Some(&configuration));
                self.set_state(&public_ip, "Updating");
            }
        }
        self.work.push(Work { due, id: id.to_owned(), fails: manner.fails, releases });
        self.note_history(now);
        self.advance(now);
        let body = self.document(id).cloned().unwrap_or_default();
        self.announce(due, manner, body, id)
    }

    /// The answer to something that takes until `due`.
    pub(super) fn announce(&mut self, due: Duration, manner: Manner, body: Value, id: &str) -> Answer {
        let name = format!("{:08x}-op", self.version);
        let subscription = id.split('/').nth(2).unwrap_or_default();
        let place = format!("/subscriptions/{subscription}/providers/Microsoft.Network/locations/westeurope");
        let operation = format!("{place}/operations/{name}?api-version=2024-03-01&s=signed");
        let result = format!("{place}/operationResults/{name}?api-version=2024-03-01&s=signed");
        self.operations.insert(name, Operation { due, fails: manner.fails, result: body.clone() });
        let answer = match manner.style {
            Style::Ok => Answer::ok(body).with("Azure-AsyncOperation", operation),
            Style::Created => Answer { status: 201, ..Answer::ok(body) }
                .with("Azure-AsyncOperation", operation)
                .with("Location", result),
            Style::Accepted => Answer { status: 202, ..Answer::ok(Value::Null) }.with("Location", result),
            Style::Bare => Answer::ok(body),
        };
        match manner.retry_after {
            Some(seconds) => answer.with("Retry-After", seconds.to_string()),
            None => answer,
        }
    }

    /// The answer to a question about an operation, if the path is one.
    pub(super) fn operation_answer(&self, now: Duration, path: &str) -> Option<Answer> {
        let (kind, name) = match path.rsplit_once("/operations/") {
            Some((_, name)) => ("status", name),
            None => ("result", path.rsplit_once("/operationresults/")?.1),
        };
        let Some(operation) = self.operations.get(name) else {
            return Some(Answer::error(404, "OperationNotFound", "there is no such operation"));
        };
        let working = now < operation.due;
        Some(match kind {
            "status" if working => Answer::ok(json!({ "status": "InProgress" })),
            "status" if operation.fails => Answer::ok(json!({
                "status": "Failed",
                "error": { "code": "InternalServerError", "message": "An error occurred.", "details": [] },
            })),
            "status" => Answer::ok(json!({ "status": "Succeeded" })),
            _ if working => Answer { status: 202, ..Answer::ok(Value::Null) },
            _ => Answer::ok(operation.result.clone()),
        })
    }

    /// Whether a write to `id` has to wait, and the answer that says so.
    pub(super) fn busy(&self, id: &str) -> Option<Answer> {
        self.work.iter().find(|work| work.id == id)?;
        let message = format!(
            "Operation PutOperation (0) is updating resource {id}. The call can be retried in 6 seconds."
        );
        Some(Answer::retryable("RetryableErrorDueToAnotherOperation", message))
    }

    /// Whether a public IP is still being let go of.
    pub(super) fn is_released_by_work(&self, public_ip: &str) -> bool {
        self.work.iter().any(|work| work.releases.contains(public_ip))
    }

    pub(super) fn note_history(&mut self, at: Duration) {
        self.note_pools(at);
        let ids: Vec<String> =
            self.resources.keys().filter(|id| id.contains("/publicipaddresses/")).cloned().collect();
        for public_ip in ids {
            let carriers: Vec<String> =
                self.carrying.iter().filter(|(_, ip)| **ip == public_ip).map(|(c, _)| c.clone()).collect();
            let newest = self.history.iter().rev().find(|entry| entry.public_ip == public_ip);
            if newest.map(|entry| &entry.carriers) != Some(&carriers) {
                self.history.push(Carried { at, public_ip, carriers });
            }
        }
    }

    pub(super) fn set_state(&mut self, id: &str, state: &str) {
        let Some(document) = self.resources.get_mut(id) else { return };
        document["properties"]["provisioningState"] = json!(state);
    }

    /// Writes into a public IP's document who has it; a change moves its ETag.
    pub(super) fn associate(&mut self, public_ip: &str, configuration: Option<&str>) {
        let etag = self.next_etag();
        let Some(document) = self.resources.get_mut(public_ip) else { return };
        let Some(properties) = document["properties"].as_object_mut() else { return };
        let has = properties.get("ipConfiguration").map(|reference| text(reference, "id"));
        if has == configuration {
            return;
        }
        match configuration {
            Some(id) => properties.insert("ipConfiguration".to_owned(), json!({ "id": id })),
            None => properties.remove("ipConfiguration"),
        };
        document["etag"] = json!(etag);
    }

    /// What a NIC's document refers to: the id of each configuration as ARM writes it, and of its
    /// public IP in lower case.
    pub(super) fn references(&self, id: &str) -> Vec<(String, String)> {
        let Some(document) = self.resources.get(id).filter(|_| is_nic(id)) else { return Vec::new() };
        let configurations = document.pointer("/properties/ipConfigurations").and_then(Value::as_array);
        let of = |configuration: &Value| {
            let public_ip = configuration.pointer("/properties/publicIPAddress/id")?.as_str()?;
            let nic = text(document, "id");
            let name = text(configuration, "name");
            Some((format!("{nic}/ipConfigurations/{name}"), public_ip.to_lowercase()))
        };
        configurations.into_iter().flatten().filter_map(of).collect()
    }
}

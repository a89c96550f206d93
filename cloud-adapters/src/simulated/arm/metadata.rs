//! The Scheduled Events of the metadata service, as the machines of one availability set see them: one
//! document for all, whose events name the machines that they concern.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::cloud::Answer;

const PATH: &str = "/metadata/scheduledevents";

/// What is announced.
#[derive(Debug, Default)]
pub(super) struct Events {
    incarnation: u64,
    asked: u64,
    events: Vec<Value>,
    /// Given instead of any answer.
    instead: Option<Answer>,
}

impl Events {
    /// Adds an event, or replaces the one of that id.
    pub(super) fn announce(&mut self, event: Value) {
        self.withdraw(event["EventId"].as_str().unwrap_or_default());
        self.events.push(event);
    }

    /// Takes an event off the list, as happens a while after it is over.
    pub(super) fn withdraw(&mut self, id: &str) {
        self.incarnation += 1;
        self.events.retain(|event| event["EventId"] != id);
    }

    pub(super) fn instead(&mut self, answer: Option<Answer>) {
        self.instead = answer;
    }

    /// How often the list was asked for.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// The status of an event.
    pub(super) fn status(&self, id: &str) -> Option<String> {
        let event = self.events.iter().find(|event| event["EventId"] == id)?;
        event["EventStatus"].as_str().map(str::to_owned)
    }

    /// The answer, if the path is that of the service.
    pub(super) fn answer(
        &mut self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Answer> {
        if path != PATH {
            return None;
        }
        self.asked += u64::from(method == "GET");
        if headers.get("metadata").is_none_or(|value| value != "true") {
            return Some(Answer::error(400, "bad_request_102", "Required metadata header not specified"));
        }
        if let Some(instead) = &self.instead {
            return Some(instead.clone());
        }
        Some(match method {
            "GET" => {
                let body = json!({ "DocumentIncarnation": self.incarnation, "Events": self.events });
                Answer { status: 200, headers: Vec::new(), body }
            }
            "POST" => self.start(body),
            _ => Answer::error(405, "method_not_allowed", "GET or POST"),
        })
    }

    /// Lets events begin before their time.
    fn start(&mut self, body: &[u8]) -> Answer {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(requests) = asked["StartRequests"].as_array() else {
            return Answer::error(400, "bad_request", "StartRequests is missing");
        };
        for request in requests {
            let Some(event) = self.events.iter_mut().find(|event| event["EventId"] == request["EventId"])
            else {
                return Answer::error(400, "bad_request", "no such event");
            };
            event["EventStatus"] = json!("Started");
            event["NotBefore"] = json!("");
            self.incarnation += 1;
        }
        Answer { status: 200, headers: Vec::new(), body: Value::Null }
    }
}

//! The Scheduled Events of Azure, from the metadata service of the machine itself.
//!
//! `GET /metadata/scheduledevents` lists what will happen to this machine and its neighbours in an
//! availability set or a scale set. The first question ever switches the service on for the machine
//! and may take two minutes. A `POST` with an event's id lets it begin before its time.

use std::collections::BTreeSet;
use std::time::Duration;

use config::agent::AzureNotices;
use coordinator_api::agent::{Notice, NoticeKind, NoticeSource};
use coordinator_core::time::WallTime;
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::json;

use super::{Look, Source, short};
use crate::reporter::chain;

const EVENTS: &str = "/metadata/scheduledevents?api-version=2020-07-01";
const NAME: &str = "/metadata/instance/compute/name?api-version=2021-02-01&format=text";
/// Until the service has answered once.
const FIRST_WAIT: Duration = Duration::from_secs(150);
/// Afterwards.
const WAIT: Duration = Duration::from_secs(5);
/// Most bytes of an answer: a few hundred events, each with the names of a large scale set.
const MAX_ANSWER: usize = 256 * 1024;
/// The longest name of a machine.
const MAX_NAME: usize = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Azure {
    client: Client,
    base: String,
    /// The machine's name in Azure; asked for when it is not configured.
    name: Option<String>,
    events: BTreeSet<NoticeKind>,
    answered: bool,
}

impl Azure {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// When no HTTP client can be set up.
    pub(crate) fn new(options: &AzureNotices) -> Result<Self, reqwest::Error> {
        // Through a proxy it would be another machine's service, and a redirect leads away from it.
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Azure {
            client,
            base: options.url.trim_end_matches('/').to_owned(),
            name: options.resource.clone(),
            events: options.events.clone(),
            answered: false,
        })
    }

    /// Sends a request to the service and reads a bounded answer.
    async fn ask(&self, what: &str, request: RequestBuilder) -> Result<Vec<u8>, String> {
        let wait = if self.answered { WAIT } else { FIRST_WAIT };
        let asked = async {
            let response = request.header("Metadata", "true").send().await;
            body(response.map_err(|error| chain(&error))?).await
        };
        let answer = tokio::time::timeout(wait, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", wait.as_secs())));
        answer.map_err(|why| format!("{what} at {}: {why}", self.base))
    }

    async fn own_name(&self) -> Result<String, String> {
        let request = self.client.get(format!("{}{NAME}", self.base));
        let what = "asked the metadata service for this machine's name";
        let answer = self.ask(what, request).await?;
        let name = String::from_utf8_lossy(&answer).trim().to_owned();
        let sound = (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
        let advice = "set `resource` in [notices.azure] instead";
        if sound { Ok(name) } else { Err(format!("{what} at {}: no name came back; {advice}", self.base)) }
    }
}

impl Source for Azure {
    const SOURCE: NoticeSource = NoticeSource::Azure;

    async fn look(&mut self) -> Result<Look, String> {
        let request = self.client.get(format!("{}{EVENTS}", self.base));
        let what = "asked the metadata service for scheduled events";
        let answer = self.ask(what, request).await?;
        self.answered = true;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.name.insert(self.own_name().await?).clone(),
        };
        read(&answer, &name, &self.events).map_err(|why| format!("{what} at {}: {why}", self.base))
    }

    async fn acknowledge(&self, id: &str) -> Result<(), String> {
        let body = json!({ "StartRequests": [{ "EventId": id }] });
        let request = self.client.post(format!("{}{EVENTS}", self.base)).json(&body);
        self.ask("asked the metadata service to start an event", request).await.map(drop)
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let status = response.status();
    if !status.is_success() {
        return Err(format!("status {}", status.as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
        }
    }
    Ok(body)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    events: Vec<serde_json::Value>,
}

/// One event. What is not needed is not read, so it may be as it likes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    event_id: String,
    event_type: String,
    event_status: String,
    resource_type: String,
    resources: Vec<String>,
    #[serde(default)]
    not_before: String,
    #[serde(default)]
    duration_in_seconds: Option<i64>,
    #[serde(default)]
    description: String,
}

/// What a document says of the machine `name`. An event that cannot be understood hides no other,
/// and leaves a doubt.
fn read(document: &[u8], name: &str, wanted: &BTreeSet<NoticeKind>) -> Result<Look, String> {
    let document: Document =
        serde_json::from_slice(document).map_err(|error| short(&format!("not understood: {error}")))?;
    let mut look = Look::default();
    for event in document.events {
        match serde_json::from_value::<Event>(event)
            .map_err(|error| error.to_string())
            .and_then(Event::notice)
        {
            Ok(Some((notice, resources))) => {
                let own = resources.iter().any(|resource| resource.eq_ignore_ascii_case(name));
                if own && wanted.contains(&notice.kind) {
                    look.notices.push(notice);
                }
            }
            Ok(None) => {}
            Err(why) => look.doubt = Some(short(&format!("an event is not understood: {why}"))),
        }
    }
    Ok(look)
}

impl Event {
    /// The notice and whom it concerns; `None` for one that is over, or is about no machine.
    fn notice(self) -> Result<Option<(Notice, Vec<String>)>, String> {
        if self.resource_type != "VirtualMachine" {
            return Ok(None);
        }
        let started = match self.event_status.as_str() {
            "Scheduled" => false,
            "Started" => true,
            "Completed" | "Canceled" => return Ok(None),
            other => return Err(format!("its status is {:?}", short(other))),
        };
        let kind = match self.event_type.as_str() {
            "Reboot" => NoticeKind::Reboot,
            "Redeploy" => NoticeKind::Redeploy,
            "Freeze" => NoticeKind::Freeze,
            "Preempt" => NoticeKind::Preempt,
            "Terminate" => NoticeKind::Terminate,
            other => return Err(format!("its type is {:?}", short(other))),
        };
        if !(1..=coordinator_core::notice::MAX_ID).contains(&self.event_id.len()) {
            return Err(format!("its id is {:?}", short(&self.event_id)));
        }
        let notice = Notice {
            id: self.event_id,
            kind,
            // One without a time that can be read may begin at any moment.
            not_before: time(&self.not_before),
            started,
            lasts_secs: self.duration_in_seconds.and_then(|secs| u32::try_from(secs).ok()),
            about: short(&self.description),
        };
        Ok(Some((notice, self.resources)))
    }
}

/// `Mon, 19 Sep 2016 18:29:47 GMT`, or the same by RFC 3339. Empty once an event has begun.
fn time(text: &str) -> Option<WallTime> {
    let read = jiff::fmt::rfc2822::parse(text).map(|zoned| zoned.timestamp());
    let time: jiff::Timestamp = read.or_else(|_| text.parse()).ok()?;
    u64::try_from(time.as_millisecond()).ok().map(WallTime)
}

#[cfg(test)]
mod tests;

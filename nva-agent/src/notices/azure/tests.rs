//! Documents as the service sends them, and as it should not; and the service itself, on loopback.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;

use super::*;

fn event() -> Value {
    json!({
        "EventId": "602d9444-d2cd-49c7-8624-8643e7171297",
        "EventType": "Reboot",
        "ResourceType": "VirtualMachine",
        "Resources": ["vm-fw-b", "vm-fw-a"],
        "EventStatus": "Scheduled",
        "NotBefore": "Mon, 19 Sep 2022 18:29:47 GMT",
        "Description": "Host server is undergoing maintenance.",
        "EventSource": "Platform",
        "DurationInSeconds": 540
    })
}

/// The event with one field replaced; null takes it away.
fn with(field: &str, value: Value) -> Value {
    let mut event = event();
    match value {
        Value::Null => drop(event.as_object_mut().unwrap().remove(field)),
        value => event[field] = value,
    }
    event
}

fn all() -> BTreeSet<NoticeKind> {
    NoticeKind::ALL.into()
}

fn said(events: &[Value]) -> Look {
    let document = json!({ "DocumentIncarnation": 3, "Events": events });
    read(&serde_json::to_vec(&document).unwrap(), "VM-fw-a", &all()).unwrap()
}

#[test]
fn an_event_of_this_machine_is_a_notice() {
    let look = said(&[event()]);
    let expected = Notice {
        id: "602d9444-d2cd-49c7-8624-8643e7171297".to_owned(),
        kind: NoticeKind::Reboot,
        not_before: Some(WallTime(1_663_612_187_000)),
        started: false,
        lasts_secs: Some(540),
        about: "Host server is undergoing maintenance.".to_owned(),
    };
    assert_eq!(look, Look { notices: vec![expected], doubt: None });
    for (kind, word) in [
        (NoticeKind::Redeploy, "Redeploy"),
        (NoticeKind::Freeze, "Freeze"),
        (NoticeKind::Preempt, "Preempt"),
        (NoticeKind::Terminate, "Terminate"),
    ] {
        assert_eq!(said(&[with("EventType", json!(word))]).notices[0].kind, kind);
    }
}

#[test]
fn an_event_that_has_begun_has_no_time_and_maybe_no_length() {
    let mut begun = with("EventStatus", json!("Started"));
    begun["NotBefore"] = json!("");
    begun["DurationInSeconds"] = json!(-1);
    let notice = &said(&[begun]).notices[0];
    assert!(notice.started && notice.not_before.is_none() && notice.lasts_secs.is_none());
    let bare = ["NotBefore", "DurationInSeconds", "Description", "EventSource"];
    let bare = bare.iter().fold(event(), |mut event, field| {
        event.as_object_mut().unwrap().remove(*field);
        event
    });
    assert_eq!(said(&[bare]).notices.len(), 1);
}

#[test]
fn what_is_over_or_about_others_or_not_wanted_is_no_notice() {
    for other in [
        with("Resources", json!(["vm-fw-b"])),
        with("Resources", json!([])),
        with("ResourceType", json!("HostGroup")),
        with("EventStatus", json!("Completed")),
    ] {
        assert_eq!(said(std::slice::from_ref(&other)), Look::default(), "{other}");
    }
    let document = serde_json::to_vec(&json!({ "Events": [event()] })).unwrap();
    let wanted = [NoticeKind::Freeze].into();
    assert_eq!(read(&document, "vm-fw-a", &wanted), Ok(Look::default()));
}

#[test]
fn an_event_that_is_not_understood_leaves_a_doubt_and_hides_no_other() {
    let rubbish = [
        with("EventType", json!("Earthquake")),
        with("EventStatus", json!("Maybe\u{7}")),
        with("EventId", json!("")),
        with("EventId", json!("x".repeat(100_000))),
        with("EventId", Value::Null),
        with("Resources", json!("vm-fw-a".repeat(10_000))),
        with("DurationInSeconds", json!("soon")),
        json!(null),
        json!([[[]]]),
    ];
    for rubbish in rubbish {
        let look = said(&[rubbish.clone(), event()]);
        assert_eq!(look.notices.len(), 1, "{rubbish}");
        let doubt = look.doubt.unwrap();
        assert!(doubt.chars().count() <= 300 && !doubt.contains('\u{7}'), "{doubt}");
    }
}

#[test]
fn a_time_that_cannot_be_read_is_any_moment() {
    for text in ["soon", "Mon, 99 Sep 2022 18:29:47 GMT", "1969-01-01T00:00:00Z"] {
        assert_eq!(said(&[with("NotBefore", json!(text))]).notices[0].not_before, None, "{text}");
    }
    let rfc3339 = said(&[with("NotBefore", json!("2022-09-19T18:29:47Z"))]);
    assert_eq!(rfc3339, said(&[event()]));
}

#[test]
fn a_document_that_is_none_is_an_error() {
    for document in [&b""[..], b"<html>", b"[]", b"{}", b"{\"Events\":{}}", b"{\"Events\":[", &[0xff; 64]] {
        assert!(read(document, "vm-fw-a", &all()).is_err());
    }
}

/// What the service was asked, and what it answers.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<(Vec<String>, u16, String)>>);

impl Service {
    async fn answer(
        State(Service(script)): State<Service>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: String,
    ) -> (StatusCode, String) {
        let mut script = script.lock().unwrap();
        let metadata = headers.get("metadata").and_then(|value| value.to_str().ok()).unwrap_or("none");
        script.0.push(format!("{method} {uri} {metadata} {body}").trim_end().to_owned());
        if uri.path().ends_with("/name") {
            return (StatusCode::OK, "vm-fw-a\n".to_owned());
        }
        (StatusCode::from_u16(script.1).unwrap(), script.2.clone())
    }

    async fn start(status: u16, body: String) -> (Service, Azure) {
        coordinator_api::tls::install_provider();
        let service = Service(Arc::new(Mutex::new((Vec::new(), status, body))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let routes = Router::new().fallback(Service::answer).with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let options = AzureNotices {
            url,
            poll: Duration::from_secs(1),
            resource: None,
            events: all(),
            acknowledge: true,
        };
        (service, Azure::new(&options).unwrap())
    }

    fn says(&self, status: u16, body: &str) {
        let mut script = self.0.lock().unwrap();
        (script.1, script.2) = (status, body.to_owned());
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().0)
    }
}

#[tokio::test]
async fn the_service_is_asked_as_it_wants_to_be() {
    let document = json!({ "DocumentIncarnation": 1, "Events": [event()] }).to_string();
    let (service, mut azure) = Service::start(200, document).await;
    assert_eq!(azure.look().await.unwrap().notices.len(), 1);
    azure.look().await.unwrap();
    let events = "GET /metadata/scheduledevents?api-version=2020-07-01 true";
    let name = "GET /metadata/instance/compute/name?api-version=2021-02-01&format=text true";
    assert_eq!(service.asked(), [events, name, events], "the name is asked for once");
    azure.acknowledge("an-id").await.unwrap();
    let start = "POST /metadata/scheduledevents?api-version=2020-07-01 true {\"StartRequests\":[{\"EventId\":\"an-id\"}]}";
    assert_eq!(service.asked(), [start]);
}

#[tokio::test]
async fn whatever_comes_back_instead_is_an_error_in_words() {
    let (service, mut azure) = Service::start(200, String::new()).await;
    for (status, body, words) in [
        (400, "", "status 400"),
        (404, "", "status 404"),
        (429, "", "status 429"),
        (500, "", "status 500"),
        (302, "", "status 302"),
        (200, "<html>", "not understood"),
        (200, &" ".repeat(MAX_ANSWER + 1), "longer than"),
    ] {
        service.says(status, body);
        let error = azure.look().await.unwrap_err();
        assert!(error.starts_with("asked the metadata service for scheduled events at http://"), "{error}");
        assert!(error.contains(words), "{error}");
    }
    service.says(503, "");
    assert!(azure.acknowledge("an-id").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_may_take_minutes_and_later_ones_may_not() {
    coordinator_api::tls::install_provider();
    // It accepts, and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = AzureNotices {
        url: format!("http://{}", listener.local_addr().unwrap()),
        poll: Duration::from_secs(1),
        resource: Some("vm-fw-a".to_owned()),
        events: all(),
        acknowledge: false,
    };
    let mut azure = Azure::new(&options).unwrap();
    for (answered, wait) in [(false, FIRST_WAIT), (true, WAIT)] {
        azure.answered = answered;
        let began = tokio::time::Instant::now();
        let error = azure.look().await.unwrap_err();
        assert!(error.contains("no answer within"), "{error}");
        assert_eq!(began.elapsed().as_secs(), wait.as_secs());
    }
}

use reqwest::header::HeaderMap;
use serde_json::json;

use super::*;

fn failure(status: u16, body: Value) -> CallFailure {
    let status = StatusCode::from_u16(status).unwrap();
    CallFailure::of_answer(&HttpResponse {
        status,
        headers: HeaderMap::new(),
        body: body.to_string().into_bytes(),
    })
}

fn error(code: &str, details: &[&str]) -> Value {
    let details: Vec<Value> =
        details.iter().map(|code| json!({ "code": code, "message": "in detail" })).collect();
    json!({ "error": { "code": code, "message": "in general", "details": details } })
}

#[test]
fn every_answer_has_its_class() {
    let table = [
        (412, error("PreconditionFailed", &[]), Class::Conflict),
        (429, error("SubscriptionRequestsThrottled", &[]), Class::Throttled),
        (429, error("RetryableError", &["RetryableErrorDueToAnotherOperation"]), Class::Busy),
        (429, error("RetryableError", &["ReferencedResourceNotProvisioned"]), Class::Busy),
        (409, error("AnotherOperationInProgress", &[]), Class::Busy),
        (409, error("Conflict", &[]), Class::Conflict),
        (409, error("ScopeLocked", &[]), Class::Permanent),
        (400, error("PublicIPAddressInUse", &[]), Class::Conflict),
        (400, error("InvalidRequestFormat", &[]), Class::Permanent),
        (401, error("ExpiredAuthenticationToken", &[]), Class::Denied),
        (403, error("AuthorizationFailed", &[]), Class::Denied),
        (404, error("ResourceNotFound", &[]), Class::Gone),
        (408, Value::Null, Class::Transient),
        (500, error("InternalServerError", &[]), Class::Transient),
        (503, Value::Null, Class::Transient),
        (302, Value::Null, Class::Permanent),
    ];
    for (status, body, class) in table {
        assert_eq!(failure(status, body.clone()).class, class, "{status} {body}");
    }
}

#[test]
fn the_innermost_code_and_message_are_told() {
    let error = failure(429, error("RetryableError", &["ReferencedResourceNotProvisioned"])).error;
    assert_eq!(error.to_string(), "429 ReferencedResourceNotProvisioned: in detail");
    let nothing = failure(502, Value::Null).error;
    assert_eq!(nothing.to_string(), "502 NoErrorBody: the answer says no more");
}

#[test]
fn a_denial_names_the_permission_that_is_missing() {
    let tell = |code: &str, message: &str| {
        let body = json!({ "error": { "code": code, "message": message } });
        failure(403, body).error.to_string()
    };
    let plain = "The client 'a@b.example' with object id '0-1' does not have authorization to perform action \
                 'Microsoft.Network/networkInterfaces/write' over scope '/subscriptions/s/resourceGroups/r' or \
                 the scope is invalid.";
    assert!(
        tell("AuthorizationFailed", plain)
            .contains("lacks the permission Microsoft.Network/networkInterfaces/write:"),
    );
    let linked = "The client '0' has permission to perform action 'Microsoft.Network/networkInterfaces/write' on \
                  scope '/subscriptions/s'; however, it does not have permission to perform action(s) \
                  'Microsoft.Network/publicIPAddresses/join/action' on the linked scope(s) '/subscriptions/t'.";
    assert!(
        tell("LinkedAuthorizationFailed", linked)
            .contains("lacks the permission Microsoft.Network/publicIPAddresses/join/action:"),
    );
    assert_eq!(tell("RequestDisallowedByPolicy", "by 'tags'"), "403 RequestDisallowedByPolicy: by 'tags'");
}

#[test]
fn a_failed_operation_is_worth_another_round() {
    let failed = CallFailure::of_operation(&json!({ "code": "InternalServerError", "message": "oh" }));
    assert_eq!(failed.class, Class::Transient);
    assert_eq!(
        failed.error.to_string(),
        "ARM accepted the change and then gave it up: InternalServerError: oh"
    );
    let busy = json!({ "code": "RetryableErrorDueToAnotherOperation", "message": "oh" });
    assert_eq!(CallFailure::of_operation(&busy).class, Class::Busy);
}

#[test]
fn messages_are_cut() {
    let body = json!({ "error": { "code": "X", "message": "ü".repeat(5000) } });
    assert!(failure(400, body).error.to_string().chars().count() < 450);
}

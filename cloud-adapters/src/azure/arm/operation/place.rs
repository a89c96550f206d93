//! Where to ask how an operation goes, as a text for the log: what kind of answer is to be had, and
//! a path.
//!
//! A path alone: no scheme and no host, so that whatever stands in a log, the token goes to the
//! configured ARM and nowhere else. Of the query only the version is kept. What else ARM puts
//! there signs the URL, and belongs in no log; an ARM that insists on it refuses the look, and
//! then the resource itself is asked.

use reqwest::{StatusCode, Url};

use super::super::client::{Reply, subscription_in};
use super::Look;
use crate::azure::documents::State;
use crate::azure::resource_id::ResourceId;

/// The longest that is kept or believed, in bytes.
const LONGEST: usize = 512;
const VERSION: &str = "api-version";
const KINDS: [(&str, Look); 2] = [("operation", Look::Operation), ("result", Look::Location)];

/// What is to be kept of an answer that accepts a change; `None` if it is carried out already, or
/// says nothing that can be kept. `Azure-AsyncOperation` first: it alone tells success from failure.
pub(super) fn of(accepted: &Reply, base: &Url) -> Option<String> {
    let done = accepted.status == StatusCode::OK && State::of(&accepted.body) != State::Updating;
    let (kind, url) = match (&accepted.operation, &accepted.location) {
        _ if done => return None,
        (Some(url), _) => ("operation", url),
        // A 200 says by the resource's state alone when it is done.
        (None, location) => ("result", location.as_ref().filter(|_| accepted.status != StatusCode::OK)?),
    };
    let (_, version) = url.query_pairs().find(|(name, _)| name == VERSION)?;
    let path = url.path().strip_prefix(base.path().trim_end_matches('/'))?;
    let place = format!("{kind}:{path}?{VERSION}={version}");
    parse(&place).is_some().then_some(place)
}

/// The URL at ARM that a place stands for, if it can be one for a change of `resource`.
pub(super) fn url(place: &str, resource: &ResourceId, base: &Url) -> Option<(Url, Look)> {
    let (look, path, version) = parse(place)?;
    let same = subscription_in(path).eq_ignore_ascii_case(subscription_in(resource.as_str()));
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.query_pairs_mut().append_pair(VERSION, version);
    (same && url.origin() == base.origin()).then_some((url, look))
}

fn parse(place: &str) -> Option<(Look, &str, &str)> {
    let (kind, rest) = place.split_once(':').filter(|_| place.len() <= LONGEST)?;
    let look = KINDS.iter().find(|(name, _)| *name == kind)?.1;
    let (path, query) = rest.split_once('?')?;
    let version = query.strip_prefix(VERSION)?.strip_prefix('=')?;
    let plain = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b) || more.contains(&b))
    };
    let steps = path.split('/').skip(1).all(|step| !step.is_empty() && step != "." && step != "..");
    let fits = path.starts_with("/subscriptions/") && plain(path, b"/~") && steps && plain(version, b"");
    fits.then_some((look, path, version))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PATH: &str = "/subscriptions/S1/providers/Microsoft.Network/locations/westeurope";

    fn base() -> Url {
        "https://arm.test/base/".parse().unwrap()
    }

    fn resource() -> ResourceId {
        ResourceId::parse(
            "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.Network/networkInterfaces/n",
        )
        .unwrap()
    }

    fn accepted(operation: Option<&str>, location: Option<&str>) -> Reply {
        let url = |text: Option<&str>| text.map(|text| base().join(text).unwrap());
        Reply {
            status: StatusCode::CREATED,
            body: Value::Null,
            operation: url(operation),
            location: url(location),
        }
    }

    #[test]
    fn the_operation_is_kept_before_the_result_and_no_signature_is() {
        let operation = format!("/base{PATH}/operations/op-1?api-version=2024-03-01&t=638&s=SIGNED&h=x");
        let result = format!("/base{PATH}/operationResults/op-1?s=SIGNED&api-version=2024-03-01");
        let both = of(&accepted(Some(&operation), Some(&result)), &base()).unwrap();
        assert_eq!(both, format!("operation:{PATH}/operations/op-1?api-version=2024-03-01"));
        let only = of(&accepted(None, Some(&result)), &base()).unwrap();
        assert_eq!(only, format!("result:{PATH}/operationResults/op-1?api-version=2024-03-01"));
        let (url, look) = url(&both, &resource(), &base()).unwrap();
        assert_eq!(
            url.as_str(),
            format!("https://arm.test/base{PATH}/operations/op-1?api-version=2024-03-01")
        );
        assert_eq!(look, Look::Operation);
    }

    #[test]
    fn what_is_done_already_has_no_place() {
        let body = json!({ "properties": { "provisioningState": "Succeeded" } });
        let operation = format!("/base{PATH}/operations/op-1?api-version=2024-03-01");
        let reply = Reply { status: StatusCode::OK, body, ..accepted(Some(&operation), None) };
        assert_eq!(of(&reply, &base()), None);
    }

    #[test]
    fn a_place_leads_nowhere_but_to_the_subscription_at_the_configured_arm() {
        let good = format!("operation:{PATH}/operations/op?api-version=2024-03-01");
        assert!(url(&good, &resource(), &base()).is_some());
        for bad in [
            good.replace("operation:", "https:"),
            good.replace("operation:", "operation:https://evil.test"),
            good.replace("operation:", "operation://evil.test"),
            good.replace("/S1/", "/S2/"),
            good.replace("/op?", "/../../../S2/op?"),
            good.replace("/op?", "/%2e%2e/op?"),
            good.replace("/op?", "//op?"),
            good.replace("/op?", "/op@evil.test?"),
            good.replace("2024-03-01", "2024-03-01&s=SIGNED"),
            good.replace("2024-03-01", ""),
            good.replace("?api-version=2024-03-01", ""),
            good.replace("/op?", &format!("/{}?", "o".repeat(LONGEST))),
            String::new(),
        ] {
            assert!(url(&bad, &resource(), &base()).is_none(), "{bad}");
        }
    }
}

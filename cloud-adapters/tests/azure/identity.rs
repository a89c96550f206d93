//! Who the adapter is: every kind of identity, the renewal of tokens, and what is never shown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloud_adapters::azure::identity::{TokenSource, Tokens};
use cloud_adapters::azure::options::{Application, Identity, SecretSource, Signature};
use cloud_adapters::azure::transport::{HttpRequest, HttpResponse, Transport, TransportError};
use cloud_adapters::azure::{AzureAdapter, AzureOptions};
use cloud_adapters::contract::{AdapterError, Journal};
use cloud_adapters::inspect;
use cloud_adapters::simulated::arm::FakeArm;
use cloud_adapters::simulated::arm::faults::{ArmFault, ArmFaults, Trigger};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::stage::{options, public_ip};
use crate::suite::{self, Open, Scene};

const CERTIFICATE: &str = include_str!("../../src/azure/identity/assertion/testdata/certificate.pem");
const KEY: &str = include_str!("../../src/azure/identity/assertion/testdata/key-pkcs8.pem");
const LONG: Duration = Duration::from_secs(600);

fn application() -> Application {
    Application { tenant: "contoso.example".to_owned(), client_id: "client-1".to_owned() }
}

fn as_identity(identity: Identity) -> AzureOptions {
    AzureOptions { identity, ..options("https://arm.test/") }
}

/// Every request, method, URL and body, and then on to the fake.
struct Overheard {
    arm: FakeArm,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Transport for Overheard {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let body = String::from_utf8(request.body.clone().unwrap_or_default()).unwrap();
        self.heard.lock().unwrap().push(format!("{} {} {body}", request.method, request.url));
        self.arm.send(request)
    }
}

/// Inspects a binding under an identity, and gives the first request that was made.
async fn first_request(identity: Identity) -> String {
    let stage = public_ip().await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let transport = Overheard { arm: stage.arm.clone(), heard: heard.clone() };
    let adapter = AzureAdapter::with_transport(as_identity(identity), Arc::new(transport)).unwrap();
    let (group, journal) = ("dmz".parse().unwrap(), Journal::default());
    inspect(&adapter, &group, &stage.binding, &journal, LONG).await.unwrap();
    heard.lock().unwrap()[0].clone()
}

#[tokio::test]
async fn every_kind_of_identity_asks_where_and_as_it_must() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let imds = first_request(Identity::ManagedIdentity { client_id: Some("uami-7".to_owned()) }).await;
    assert_eq!(
        imds,
        "GET https://arm.test/metadata/identity/oauth2/token?api-version=2018-02-01\
         &resource=https%3A%2F%2Fmanagement.azure.com%2F&client_id=uami-7 "
    );
    let secret = SecretSource::File(file("secret", "p+ä&=\n"));
    let form = first_request(Identity::ClientSecret { application: application(), secret }).await;
    assert_eq!(
        form,
        "POST https://arm.test/contoso.example/oauth2/v2.0/token grant_type=client_credentials\
         &client_id=client-1&scope=https%3A%2F%2Fmanagement.azure.com%2F.default\
         &client_secret=p%2B%C3%A4%26%3D"
    );
    let token_file = file("federated", "aaa.bbb.ccc\n");
    let form = first_request(Identity::WorkloadIdentity { application: application(), token_file }).await;
    assert!(
        form.ends_with(
            "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion=aaa.bbb.ccc"
        ),
        "{form}"
    );
    let form = first_request(Identity::ClientCertificate {
        application: application(),
        certificate: file("certificate", CERTIFICATE),
        key: SecretSource::File(file("key", KEY)),
        signature: Signature::Ps256,
    })
    .await;
    let assertion = form.rsplit_once("client_assertion=").unwrap().1;
    assert_eq!(assertion.split('.').count(), 3, "{form}");
}

#[tokio::test]
async fn a_wrong_secret_is_told_as_such_and_never_shown() {
    let stage = public_ip().await;
    stage.arm.set_identity(LONG, Some("the right one"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "the-wrong-one").unwrap();
    let secret = SecretSource::File(path.clone());
    let options = as_identity(Identity::ClientSecret { application: application(), secret });
    let adapter = AzureAdapter::with_transport(options, Arc::new(stage.arm.clone())).unwrap();
    let (group, journal) = ("dmz".parse().unwrap(), Journal::default());
    let error = inspect(&adapter, &group, &stage.binding, &journal, LONG).await.unwrap_err();
    assert!(matches!(error, AdapterError::Permanent { .. }), "{}", error.chain());
    assert!(
        error.chain().ends_with(
            "no token for ARM: the token endpoint refused: 401 invalid_client: \
             AADSTS7000215: Invalid client secret provided."
        ),
        "{}",
        error.chain()
    );
    let shown = format!("{adapter:?} {error:?} {:?}", journal.take());
    assert!(!shown.contains("the-wrong-one"), "{shown}");
    // Put right, it is read anew: no restart.
    std::fs::write(&path, "the right one").unwrap();
    inspect(&adapter, &group, &stage.binding, &journal, LONG).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_and_the_call_made_again() {
    let stage = public_ip().await;
    let adapter = stage.adapter();
    let job = stage.job(10, "fw-b");
    let single = vec![(Trigger::Write(1), ArmFault::ExpireToken)];
    stage.arm.set_faults(ArmFaults { single, ..ArmFaults::default() });
    let journal = Journal::default();
    cloud_adapters::move_binding(&*adapter, &job, &Open, &journal, LONG).await.unwrap();
    stage.assert_active("fw-b");
    let refused = journal.take().into_iter().filter(|call| call.result.starts_with("401")).count();
    assert!(refused >= 1);
    assert_eq!(stage.arm.tokens_given(), 2);

    let single = vec![(Trigger::Every, ArmFault::ExpireToken)];
    stage.arm.set_faults(ArmFaults { single, ..ArmFaults::default() });
    let (group, before) = ("dmz".parse().unwrap(), stage.arm.calls_arrived());
    let error = inspect(&*adapter, &group, &stage.binding, &journal, LONG).await.unwrap_err();
    assert!(error.chain().contains("ARM refused a new token as well"), "{}", error.chain());
    assert_eq!(stage.arm.calls_arrived() - before, 6, "three reads, each made twice");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_there_before_it_is_needed_and_renewed_before_it_ends() {
    let stage = public_ip().await;
    stage.arm.set_identity(Duration::from_secs(3600), None);
    let options = options("https://arm.test/");
    let adapter = AzureAdapter::with_transport(options, Arc::new(stage.arm.clone())).unwrap();
    adapter.keep_token_fresh();
    suite::until(|| stage.arm.tokens_given() == 1).await;
    tokio::time::sleep(Duration::from_secs(2600)).await;
    assert_eq!(stage.arm.tokens_given(), 1);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(stage.arm.tokens_given(), 2, "at three quarters of its life");
    let (group, journal) = ("dmz".parse().unwrap(), Journal::default());
    inspect(&adapter, &group, &stage.binding, &journal, LONG).await.unwrap();
    assert_eq!(stage.arm.tokens_given(), 2, "no call waits for a token");
}

/// Says nothing, a number of times, and then hands over.
struct Deaf {
    times: Mutex<u32>,
    arm: FakeArm,
}

impl Transport for Deaf {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let mut times = self.times.lock().unwrap();
        match times.checked_sub(1) {
            Some(left) => {
                *times = left;
                async { Err(TransportError::TimedOut) }.boxed()
            }
            None => self.arm.send(request),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_is_down_is_asked_again_and_costs_nothing_while_a_token_lasts() {
    let arm = FakeArm::new();
    let options = options("https://arm.test/");
    let transport = Arc::new(Deaf { times: Mutex::new(0), arm: arm.clone() });
    let source = TokenSource::new(transport.clone(), options.endpoints, options.identity);
    let tokens = Arc::new(Tokens::new(source));
    let keeper = tokio::spawn(Tokens::keep_fresh(Arc::downgrade(&tokens)));
    suite::until(|| arm.tokens_given() == 1).await;
    *transport.times.lock().unwrap() = 10;
    tokio::time::sleep(Duration::from_secs(2800)).await;
    assert_eq!(arm.tokens_given(), 1);
    tokens.bearer().await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(arm.tokens_given(), 2);
    // Nobody needs it any more.
    drop(tokens);
    keeper.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_calls_without_a_token_ask_for_one_once() {
    let stage = public_ip().await;
    let adapter = stage.adapter();
    let (group, journal) = ("dmz".parse().unwrap(), Journal::default());
    let reads = (0..20).map(|_| adapter.read(&group, &stage.binding, &journal));
    futures::future::try_join_all(reads).await.unwrap();
    assert_eq!(stage.arm.tokens_given(), 1);
}

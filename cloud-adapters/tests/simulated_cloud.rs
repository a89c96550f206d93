//! The simulated cloud as a client of it sees it: its data plane, its doors, and its end.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cloud_adapters::contract::{AdapterError, Gate, Journal, MoveJob, move_binding};
use cloud_adapters::simulated::faults::{FaultPlan, Spread};
use cloud_adapters::simulated::model::Topology;
use cloud_adapters::simulated::{Options, Running, SimulatedAdapter, SimulatedCloud, StartError};
use coordinator_core::ids::Token;
use coordinator_core::model::{BindingKind, BindingSpec};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DEADLINE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn traffic_follows_a_public_ip_and_old_connections_are_cut() {
    let (cloud, adapter) = stage().await;
    let front = cloud.public_ip_addr("pip").unwrap();
    assert_eq!(ask(front).await, None, "nothing has the address yet");
    mv(&adapter, public_ip(), 1, "fw-a").await.unwrap();
    let mut old = TcpStream::connect(front).await.unwrap();
    assert_eq!(line(&mut old).await, Some('a'));
    mv(&adapter, public_ip(), 2, "fw-b").await.unwrap();
    let cut = tokio::time::timeout(DEADLINE, old.read_u8()).await.expect("the old connection still stands");
    assert_eq!(cut.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(ask(front).await, Some('b'));
}

#[tokio::test]
async fn traffic_follows_a_route() {
    let (cloud, adapter) = stage().await;
    let along = cloud.route_addr("rt", "default").unwrap();
    assert_eq!(ask(along).await, Some('a'));
    mv(&adapter, route(), 1, "fw-b").await.unwrap();
    assert_eq!(ask(along).await, Some('b'));
}

/// What a client sees as an outage is what the cloud's work takes, neither hidden nor invented.
#[tokio::test]
async fn the_outage_of_a_public_ip_is_the_time_the_cloud_works() {
    let (cloud, adapter) = stage().await;
    mv(&adapter, public_ip(), 1, "fw-a").await.unwrap();
    cloud.set_faults(FaultPlan { provisioning: Spread::millis(60, 60), ..FaultPlan::default() });
    let front = cloud.public_ip_addr("pip").unwrap();
    let moving = tokio::spawn(async move { mv(&adapter, public_ip(), 2, "fw-b").await });
    let started = Instant::now();
    let mut last_a = started;
    loop {
        match ask(front).await {
            Some('b') => break,
            Some(_) => last_a = Instant::now(),
            None => {}
        }
        assert!(started.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(last_a.elapsed() >= Duration::from_millis(115), "{:?}", last_a.elapsed());
    moving.await.unwrap().unwrap();
    assert!(cloud.history().iter().all(|entry| entry.carriers.len() <= 1));
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let options = Options { listen: "0.0.0.0:0".parse().unwrap(), ..Options::default() };
    let error = SimulatedCloud::start(options).await.unwrap_err();
    assert!(matches!(error, StartError::NotLoopback(_)));
    for url in ["http://192.0.2.1:80", "https://127.0.0.1:1", "http://localhost:1", "nonsense"] {
        let error = SimulatedAdapter::new(url, None).unwrap_err();
        assert!(error.to_string().contains("loopback"), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_for_good() {
    let options =
        Options { token: Some("right".to_owned()), topology: topology(dead(), dead()), ..Options::default() };
    let cloud = SimulatedCloud::start(options).await.unwrap();
    for token in [None, Some("wrong")] {
        let adapter = SimulatedAdapter::new(&cloud.url(), token).unwrap();
        let error = mv(&adapter, route(), 1, "fw-b").await.unwrap_err();
        assert!(matches!(error, AdapterError::Permanent { .. }));
        assert_eq!(
            error.chain(),
            "could not read route-tables/rt: 401 Unauthorized: a valid bearer token is needed"
        );
    }
    let adapter = SimulatedAdapter::new(&cloud.url(), Some("right")).unwrap();
    mv(&adapter, route(), 1, "fw-b").await.unwrap();
}

#[tokio::test]
async fn the_admin_api_adds_resources_and_tells_what_happened() {
    let cloud = SimulatedCloud::start(Options::default()).await.unwrap();
    let (a, b) = (appliance('a').await, appliance('b').await);
    let body = serde_json::to_string(&topology(a, b)).unwrap();
    let added = http(&cloud, "POST", "/admin/topology", &body).await;
    assert!(added.starts_with("HTTP/1.1 200") && added.contains(r#"{"public_ip":"pip"}"#), "{added}");
    let again = http(&cloud, "POST", "/admin/topology", &body).await;
    assert!(again.starts_with("HTTP/1.1 400") && again.contains("there are two"), "{again}");
    let faults = http(&cloud, "PUT", "/admin/faults", r#"{"throttle":1.0}"#).await;
    assert!(faults.starts_with("HTTP/1.1 204"), "{faults}");
    let throttled = http(&cloud, "GET", "/v1/nics/nic-a", "").await;
    assert!(throttled.starts_with("HTTP/1.1 429") && throttled.contains("retry-after"), "{throttled}");
    let calls = http(&cloud, "GET", "/admin/calls", "").await;
    assert!(calls.contains("GET nics/nic-a") && calls.contains("429 TooManyRequests"), "{calls}");
    let history = http(&cloud, "GET", "/admin/history", "").await;
    assert!(history.contains(r#""carriers":["10.0.0.4"]"#), "{history}");
}

#[tokio::test]
async fn nothing_listens_after_the_end() {
    let (cloud, _) = stage().await;
    let api: SocketAddr = cloud.url().strip_prefix("http://").unwrap().parse().unwrap();
    let doors = [api, cloud.public_ip_addr("pip").unwrap(), cloud.route_addr("rt", "default").unwrap()];
    cloud.shutdown().await;
    for door in doors {
        let started = Instant::now();
        while TcpStream::connect(door).await.is_ok() {
            assert!(started.elapsed() < DEADLINE, "{door} still answers");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn stage() -> (Running, SimulatedAdapter) {
    let topology = topology(appliance('a').await, appliance('b').await);
    let cloud = SimulatedCloud::start(Options { topology, ..Options::default() }).await.unwrap();
    let adapter = SimulatedAdapter::new(&cloud.url(), None).unwrap();
    (cloud, adapter)
}

fn topology(a: SocketAddr, b: SocketAddr) -> Topology {
    Topology::default()
        .public_ip("pip", [203, 0, 113, 1].into())
        .nic("nic-a", [10, 0, 0, 4].into(), a)
        .nic("nic-b", [10, 0, 0, 5].into(), b)
        .route("rt", "default", "0.0.0.0/0", [10, 0, 0, 4].into())
}

fn dead() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

/// A TCP server that sends its name and keeps the connection. It ends with the test's runtime.
async fn appliance(name: char) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            if client.write_u8(name as u8).await.is_ok() {
                open.push(client);
            }
        }
    });
    address
}

fn public_ip() -> BindingSpec {
    let targets = [("fw-a", "nic-a/ipconfig1"), ("fw-b", "nic-b/ipconfig1")];
    let kind = BindingKind::PublicIp {
        adapter: "sim".parse().unwrap(),
        resource: "pip".to_owned(),
        targets: targets.map(|(fw, target)| (fw.parse().unwrap(), target.to_owned())).into(),
    };
    BindingSpec { name: "web".parse().unwrap(), kind }
}

fn route() -> BindingSpec {
    let targets = [("fw-a", [10, 0, 0, 4]), ("fw-b", [10, 0, 0, 5])];
    let kind = BindingKind::Route {
        adapter: "sim".parse().unwrap(),
        table: "rt".to_owned(),
        route: "default".to_owned(),
        targets: targets.map(|(fw, hop)| (fw.parse().unwrap(), hop.into())).into(),
    };
    BindingSpec { name: "default".parse().unwrap(), kind }
}

async fn mv(
    adapter: &SimulatedAdapter,
    binding: BindingSpec,
    token: u64,
    to: &str,
) -> Result<(), AdapterError> {
    let job =
        MoveJob { group: "dmz".parse().unwrap(), token: Token(token), binding, to: to.parse().unwrap() };
    move_binding(adapter, &job, &Open, &Journal::default(), DEADLINE).await
}

/// Who answers there; `None` when nobody does.
async fn ask(address: SocketAddr) -> Option<char> {
    line(&mut TcpStream::connect(address).await.ok()?).await
}

async fn line(stream: &mut TcpStream) -> Option<char> {
    let read = tokio::time::timeout(DEADLINE, stream.read_u8()).await.expect("neither an answer nor an end");
    read.ok().map(char::from)
}

async fn http(cloud: &Running, method: &str, path: &str, body: &str) -> String {
    let address = cloud.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

struct Open;

impl Gate for Open {
    fn confirm(&self) -> BoxFuture<'_, Result<(), AdapterError>> {
        async { Ok(()) }.boxed()
    }
}

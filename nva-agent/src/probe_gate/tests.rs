//! What answers on a port, without the kernel's part (see `tests/probe_gates.rs`).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use coordinator_core::model::GateSpec;

use super::responder::Responder;
use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn gate(protocol: GateProtocol, from: &[&str]) -> GateSpec {
    GateSpec { port: 1, protocol, from: from.iter().map(|net| net.parse().unwrap()).collect() }
}

fn http() -> GateProtocol {
    GateProtocol::Http { path: "/ready".to_owned() }
}

/// Any free port, and where it is. A port that the system chooses is lost when nothing listens, so
/// it is chosen beforehand.
fn bound(gate: GateSpec) -> (Responder, SocketAddr) {
    loop {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Another test may have been quicker.
        if let Ok(responder) = Responder::bind(GateSpec { port: free.port(), ..gate.clone() }) {
            return (responder, free);
        }
    }
}

/// All that comes back for a request, or why nothing does. Does not block the runtime.
async fn ask(address: SocketAddr, request: &'static str) -> io::Result<String> {
    let asking = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asking.await.unwrap()
}

const READY: &str = "GET /ready?from=lb HTTP/1.1\r\nhost: fw-a\r\n\r\n";

async fn status(address: SocketAddr, request: &'static str) -> String {
    let answer = ask(address, request).await.unwrap();
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn nothing_listens_while_it_is_shut_and_it_opens_again() {
    let (mut responder, address) = bound(gate(http(), &[]));
    for _ in 0..3 {
        let refused = ask(address, READY).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        responder.open(Told::Open, &Handle::current(), &GateBoard::default()).unwrap();
        assert_eq!(status(address, READY).await, "200");
        responder.shut();
    }
}

#[tokio::test]
async fn a_tcp_gate_accepts_and_closes_while_it_is_open() {
    let (mut responder, address) = bound(gate(GateProtocol::Tcp, &[]));
    responder.open(Told::Open, &Handle::current(), &GateBoard::default()).unwrap();
    assert_eq!(ask(address, "").await.unwrap(), "");
    let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port()));
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(ask(v6, "").await.unwrap(), "");
    }
    responder.shut();
    assert_eq!(ask(address, "").await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn after_its_deadline_it_says_so_although_nobody_shut_it() {
    let (mut responder, address) = bound(gate(http(), &[]));
    let deadline = clock::now().plus(Duration::from_millis(300));
    responder.open(Told::Until(deadline), &Handle::current(), &GateBoard::default()).unwrap();
    assert_eq!(status(address, READY).await, "200");
    tokio::time::sleep(deadline.since(clock::now())).await;
    assert_eq!(status(address, READY).await, "503");
    responder
        .open(Told::Until(clock::now().plus(PATIENCE)), &Handle::current(), &GateBoard::default())
        .unwrap();
    assert_eq!(status(address, READY).await, "200", "renewed");
}

#[tokio::test]
async fn who_asks_is_written_down() {
    let (mut responder, address) = bound(gate(http(), &["127.0.0.0/8"]));
    let board = GateBoard::default();
    board.declared(std::slice::from_ref(responder.gate()));
    responder.open(Told::Open, &Handle::current(), &board).unwrap();
    for _ in 0..3 {
        status(address, READY).await;
    }
    let health = board.health(clock::now()).remove(0);
    assert_eq!((health.probes, health.last_from), (3, Some(address.ip())));
    assert_eq!(health.gate, format!("http {} /ready", address.port()));
}

#[tokio::test]
async fn only_the_declared_path_is_answered_with_200() {
    let (mut responder, address) = bound(gate(http(), &[]));
    responder.open(Told::Open, &Handle::current(), &GateBoard::default()).unwrap();
    assert_eq!(status(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await, "404");
    assert_eq!(status(address, "DELETE /ready HTTP/1.1\r\nhost: x\r\n\r\n").await, "405");
    assert_eq!(status(address, "HEAD /ready HTTP/1.1\r\nhost: x\r\n\r\n").await, "200");
}

#[tokio::test]
async fn strangers_and_those_who_say_nothing_or_too_much_get_no_answer() {
    let (mut responder, address) = bound(gate(http(), &["192.0.2.0/24"]));
    responder.open(Told::Open, &Handle::current(), &GateBoard::default()).unwrap();
    let nothing = |answer: io::Result<String>| answer.map_or(true, |answer| answer.is_empty());
    assert!(nothing(ask(address, READY).await), "not in the list");

    let (mut responder, address) = bound(gate(http(), &["127.0.0.0/8"]));
    responder.open(Told::Open, &Handle::current(), &GateBoard::default()).unwrap();
    assert_eq!(status(address, READY).await, "200");
    let silent = std::time::Instant::now();
    let answer = ask(address, "GET /ready HTTP/1.1\r\n").await;
    assert!(answer.map_or(true, |answer| !answer.contains(" 200 ")));
    assert!(silent.elapsed() < PATIENCE, "it was closed, not left open");
    let long: &'static str =
        Box::leak(format!("GET /{} HTTP/1.1\r\n", "x".repeat(64 * 1024)).into_boxed_str());
    assert!(ask(address, long).await.map_or(true, |answer| !answer.contains(" 200 ")));
}

#[tokio::test]
async fn a_port_that_is_taken_is_known_before_it_is_needed() {
    let other = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let taken = GateSpec { port, ..gate(GateProtocol::Tcp, &[]) };
    let error = Responder::bind(taken.clone()).unwrap_err();
    let fault = no_port(&taken, &error);
    assert!(fault.contains(&format!("tcp {port}")) && fault.contains("something else listens"), "{fault}");
    drop(other);
    drop(Responder::bind(taken).unwrap());
}

#[test]
fn a_tcp_gate_without_nftables_is_a_fault_that_says_what_to_do() {
    let fault = no_kernel(&gate(GateProtocol::Tcp, &[]), "could not run nft");
    assert!(fault.contains("needs nftables") && fault.contains("protocol = \"http\""), "{fault}");
}

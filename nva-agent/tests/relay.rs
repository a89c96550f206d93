//! A coordinator that an agent cannot reach itself is reached through its peer.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use coordinator_core::ids::Token;
use support::pair::{Dials, Member, TTL};
use support::tls::Authority;
use support::{FakeCoordinator, eventually};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A cable that can be cut: passes connections on, from an address of its own.
struct Cable {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Cable {
    async fn lay(address: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let task = tokio::spawn(async move {
            let mut running = tokio::task::JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                running.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Cable { address, task }
    }

    async fn cut(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_way_costs_nothing_while_a_peer_relays_and_is_used_again_once_it_works() {
    let authority = Authority::new();
    let leader = FakeCoordinator::start_tls(1, authority.node(1).mutual_server_config());
    let direct = leader.address;
    let other_side = SocketAddr::from((Ipv4Addr::new(127, 0, 7, 1), direct.port()));
    let cable = Cable::lay(other_side, direct).await;
    let dials = Dials { coordinator: cable.address, relays_to: [].into() };
    let a = Member::start_with(authority.agent("fw-a"), "fw-a", leader, dials);
    // The peer reaches the same coordinator at its own address.
    let of_peer = FakeCoordinator::start_tls(2, authority.node(2).mutual_server_config());
    let dials = Dials { coordinator: of_peer.address, relays_to: [(a.coordinator.node, direct)].into() };
    let b = Member::start_with(authority.agent("fw-b"), "fw-b", of_peer, dials);
    a.declare(false, 1, vec![b.peer()]);
    b.declare(false, 1, vec![a.peer()]);
    b.standby(5);
    a.coordinator.grants(5, TTL);
    let fine = |report: &coordinator_api::agent::AgentReport| {
        report.holding == Some(Token(5)) && report.via.is_none() && report.peers.iter().any(|path| path.up)
    };
    a.coordinator.hears("the lease, and the peer is up", fine).await;

    let address = cable.cut().await;
    let cut = Instant::now();
    while cut.elapsed() < 3 * TTL {
        assert_eq!(a.holding(), Some(Token(5)), "after {:?}", cut.elapsed());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // A single report may fail on a busy machine, and is repeated at once.
    a.coordinator.hears("a relayed report", |report| report.via.as_ref() == Some(&b.name)).await;
    eventually("the coordinator counts as reached", || {
        let contact = a.handle.coordinators().remove(&a.coordinator.node).unwrap();
        contact.reachable && contact.via.as_ref() == Some(&b.name) && contact.error.is_some()
    })
    .await;

    let cable = Cable::lay(address, direct).await;
    a.coordinator.hears("the own way again", |report| report.via.is_none()).await;
    eventually("not through the peer any more", || {
        a.handle.coordinators()[&a.coordinator.node].via.is_none()
    })
    .await;
    assert_eq!(a.holding(), Some(Token(5)));
    cable.cut().await;
    a.stop().await;
    b.stop().await;
}

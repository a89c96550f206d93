//! The data plane: one loopback listener per public IP and per route, which forwards each new
//! connection to whatever carries it at that moment, and cuts those that the move left behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at once per listener; more are reset.
const CONNECTIONS: usize = 256;
/// Bytes buffered per connection and direction.
const BUFFER: usize = 16 * 1024;
/// How long an appliance may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a connection goes now; `None` when nothing carries it.
pub(super) type Target = watch::Receiver<Option<SocketAddr>>;

/// Forwards until the sender of `target` is gone. Dropping it cuts every connection.
pub(super) async fn forward(listener: TcpListener, mut target: Target) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            closed = target.changed() => match closed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok((client, _)) = accepted else {
            // Out of descriptors, most likely: a moment later there may be some.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (Some(to), Ok(place)) = (*target.borrow(), places.clone().try_acquire_owned()) else {
            reset(client);
            continue;
        };
        let target = target.clone();
        connections.spawn(async move {
            let _place = place;
            carry(client, to, target).await;
        });
    }
}

async fn carry(mut client: TcpStream, to: SocketAddr, mut target: Target) {
    let moved = async move {
        // An error means that the cloud is gone, which cuts the connection as well.
        let _ = target.wait_for(|now| *now != Some(to)).await;
    };
    let copied = async {
        let mut appliance = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await.ok()?.ok()?;
        copy_bidirectional_with_sizes(&mut client, &mut appliance, BUFFER, BUFFER).await.ok()
    };
    let ended_well = tokio::select! {
        copied = copied => copied.is_some(),
        () = moved => false,
    };
    if !ended_well {
        reset(client);
    }
}

/// Closes with a reset, so that the other end knows at once, and never takes it for an end of
/// the data.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}

//! A TCP connection is accepted.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::Sample;

/// Connects and closes at once.
pub(super) async fn probe(address: SocketAddr, timeout: Duration) -> Sample {
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Sample::pass("accepted"),
        Ok(Err(error)) => Sample::fail(error.to_string()),
        Err(_) => Sample::fail(format!("no answer within {} ms", timeout.as_millis())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_listening_port_passes_and_a_closed_one_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(probe(address, Duration::from_secs(2)).await.pass);
        drop(listener);
        let sample = probe(address, Duration::from_secs(2)).await;
        assert!(!sample.pass);
        assert!(sample.detail.contains("refused"), "{}", sample.detail);
    }
}

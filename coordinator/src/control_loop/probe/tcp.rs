//! A TCP connection is accepted.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

use super::Sample;

/// Connects and closes at once.
pub(super) async fn probe(address: SocketAddr, timeout: Duration) -> Sample {
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Sample::pass("accepted"),
        Ok(Err(error)) if is_answer(&error) => Sample::fail(error.to_string()),
        Ok(Err(error)) => Sample::silent(error.to_string()),
        Err(_) => Sample::silent(format!("no answer within {} ms", timeout.as_millis())),
    }
}

/// Whether an error is the other end's word, rather than that of something on the way.
pub(super) fn is_answer(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator_core::observe::Outcome;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_listening_port_passes_and_a_closed_one_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(probe(address, Duration::from_secs(2)).await.outcome.passes());
        drop(listener);
        let sample = probe(address, Duration::from_secs(2)).await;
        assert_eq!(sample.outcome, Outcome::Fail, "a refusal is an answer");
        assert!(sample.detail.contains("refused"), "{}", sample.detail);
    }

    #[test]
    fn only_the_other_ends_word_is_an_answer() {
        for (kind, answer) in [
            (ErrorKind::ConnectionRefused, true),
            (ErrorKind::ConnectionReset, true),
            (ErrorKind::HostUnreachable, false),
            (ErrorKind::NetworkUnreachable, false),
            (ErrorKind::TimedOut, false),
        ] {
            assert_eq!(is_answer(&kind.into()), answer, "{kind}");
        }
    }
}

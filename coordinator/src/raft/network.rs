//! Requests to the peers.

use std::time::Duration;

/// Sets on `builder` what peer connections need so that a black hole costs milliseconds: HTTP/2
/// keep-alive, a bound on unacknowledged data and on connecting.
pub fn tuned(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    builder
        .connect_timeout(Duration::from_millis(300))
        .tcp_nodelay(true)
        .tcp_user_timeout(Duration::from_millis(300))
        .http2_keep_alive_interval(Duration::from_millis(100))
        .http2_keep_alive_timeout(Duration::from_millis(200))
        .http2_keep_alive_while_idle(true)
        .no_proxy()
}

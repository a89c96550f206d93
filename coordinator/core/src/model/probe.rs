//! What coordinators ask of an appliance, or through it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::ProbeName;
use crate::time::millis;

/// One probe, run by every coordinator: of an appliance, or of the path through the active one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// Unique within the appliance, or among the path's probes.
    pub name: ProbeName,
    /// What is done.
    pub kind: ProbeKind,
    /// From the start of one sample to the start of the next.
    #[serde(rename = "interval_ms", with = "millis")]
    pub interval: Duration,
    /// Shorter than the interval. For a heartbeat: how old the newest one may be.
    #[serde(rename = "timeout_ms", with = "millis")]
    pub timeout: Duration,
    /// Passes in a row before down turns to up. At least 1.
    pub rise: u32,
    /// Failures in a row before up turns to down. At least 1.
    pub fall: u32,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// A TCP connection is accepted.
    Tcp {
        /// Where to connect.
        address: SocketAddr,
    },
    /// `GET url` answers with the expected status, and the body contains the expected text.
    Http {
        /// `http://` or `https://`.
        url: String,
        /// The expected status code.
        status: u16,
        /// Text that the first 64 KiB of the body must contain.
        body_contains: Option<String>,
        /// For `https://`: which certificates are accepted.
        trust: Trust,
    },
    /// The appliance's nva-agent has reported to this coordinator within `timeout`.
    AgentHeartbeat,
}

impl ProbeKind {
    /// The address that is asked; `None` for a heartbeat and for a URL with a name.
    pub fn host(&self) -> Option<IpAddr> {
        match self {
            ProbeKind::Tcp { address } => Some(address.ip()),
            ProbeKind::Http { url, .. } => url_host(url),
            ProbeKind::AgentHeartbeat => None,
        }
    }

    /// The port that is asked; `None` for a heartbeat and for a URL that is not understood.
    pub fn port(&self) -> Option<u16> {
        match self {
            ProbeKind::Tcp { address } => Some(address.port()),
            ProbeKind::Http { url, .. } => url_port(url),
            ProbeKind::AgentHeartbeat => None,
        }
    }
}

/// `host[:port]` of `scheme://[user@]host[:port]/…` (RFC 3986 §3.2), after the scheme.
fn url_authority(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some((scheme, authority.rsplit('@').next()?))
}

fn url_port(url: &str) -> Option<u16> {
    let (scheme, host) = url_authority(url)?;
    let after = host.rsplit(']').next()?;
    match (after.rsplit_once(':'), scheme) {
        (Some((_, port)), _) => port.parse().ok(),
        (None, "http") => Some(80),
        (None, "https") => Some(443),
        (None, _) => None,
    }
}

/// The IP address in a URL.
fn url_host(url: &str) -> Option<IpAddr> {
    let (_, host) = url_authority(url)?;
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?.parse().ok(),
        None => host.split(':').next()?.parse().ok(),
    }
}

impl fmt::Display for ProbeKind {
    /// What is asked of whom, for instance `tcp 10.0.0.4:22`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeKind::Tcp { address } => write!(f, "tcp {address}"),
            ProbeKind::Http { url, .. } => write!(f, "GET {url}"),
            ProbeKind::AgentHeartbeat => f.write_str("agent heartbeat"),
        }
    }
}

/// Which server certificates an HTTPS probe accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Those that the cluster's own certificate authority signed.
    Cluster,
    /// Any: the probe asks whether something answers, not who.
    Any,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_known_when_it_is_an_address() {
        for (url, host) in [
            ("http://10.0.0.4/health", Some("10.0.0.4")),
            ("https://10.0.0.4:8443", Some("10.0.0.4")),
            ("http://u:p@10.0.0.4:80/?x=@1.2.3.4", Some("10.0.0.4")),
            ("http://[2001:db8::4]:80/", Some("2001:db8::4")),
            ("http://[2001:db8::4]", Some("2001:db8::4")),
            ("http://fw-a.example/10.0.0.4", None),
            ("10.0.0.4", None),
        ] {
            assert_eq!(url_host(url), host.map(|h| h.parse().unwrap()), "{url}");
        }
    }

    #[test]
    fn the_port_of_a_url_is_the_schemes_when_it_is_not_written() {
        for (url, port) in [
            ("http://10.0.0.4/health:9", Some(80)),
            ("https://10.0.0.4", Some(443)),
            ("https://10.0.0.4:8443/", Some(8443)),
            ("http://u:p@fw-a.example:81/", Some(81)),
            ("http://[2001:db8::4]:82/", Some(82)),
            ("https://[2001:db8::4]", Some(443)),
            ("10.0.0.4:80", None),
        ] {
            assert_eq!(url_port(url), port, "{url}");
        }
    }
}

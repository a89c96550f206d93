//! `[[group.appliance.probe]]` and `[[group.path_probe]]`.
//!
//! One that cannot be read is replaced by one that breaks no rule, so that the rest of the group
//! is checked as well; its own faults refuse the file whatever follows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use coordinator_core::ids::ProbeName;
use coordinator_core::model::{ProbeKind, ProbeSpec, Trust};

use crate::decode::Table;

/// A probe of the appliance whose own address is `own`.
pub(crate) fn of_appliance(t: &mut Table<'_>, own: Option<IpAddr>) -> Option<ProbeSpec> {
    let read = probe(t, &["tcp", "http", "agent-heartbeat"], |t, kind| match kind {
        "tcp" => tcp(t, own),
        "http" => http(t, Trust::Cluster),
        _ => Some(ProbeKind::AgentHeartbeat),
    });
    read.or_else(|| unreadable(t, ProbeKind::AgentHeartbeat))
}

/// A probe of the path through the active appliance. What answers there has rarely a certificate
/// of the cluster, so any is accepted by default.
pub(super) fn through(t: &mut Table<'_>) -> Option<ProbeSpec> {
    let read = probe(t, &["tcp", "http"], |t, kind| match kind {
        "tcp" => t.required("address").map(|address| ProbeKind::Tcp { address }),
        _ => http(t, Trust::Any),
    });
    let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1);
    read.or_else(|| unreadable(t, ProbeKind::Tcp { address: nowhere }))
}

fn probe(
    t: &mut Table<'_>,
    kinds: &[&str],
    read: impl FnOnce(&mut Table<'_>, &str) -> Option<ProbeKind>,
) -> Option<ProbeSpec> {
    let kind_word = t.required::<String>("kind");
    let name = t.optional::<ProbeName>("name");
    let name = name.or_else(|| ProbeName::new(kind_word.clone()?).ok());
    let heartbeat = kind_word.as_deref() == Some("agent-heartbeat");
    // An agent reports ten times a second by default: this many missed ones are no hiccup.
    let timeout = Duration::from_millis(if heartbeat { 1_000 } else { 500 });
    let interval = t.defaulted("interval", Duration::from_secs(1));
    let timeout = t.defaulted("timeout", timeout);
    let (rise, fall) = (t.or("rise", 2), t.or("fall", 3));
    let kind = match kind_word.as_deref() {
        Some(word) if kinds.contains(&word) => read(t, word),
        Some(other) => {
            t.fault("kind", &format!("{other:?}"), &format!("must be {}", one_of(kinds)));
            t.allow_all();
            None
        }
        None => {
            t.allow_all();
            None
        }
    };
    Some(ProbeSpec { name: name?, kind: kind?, interval: interval?, timeout: timeout?, rise, fall })
}

/// `"tcp", "http" or "agent-heartbeat"`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

fn unreadable(t: &mut Table<'_>, kind: ProbeKind) -> Option<ProbeSpec> {
    let unique = ProbeName::new(format!("unreadable-{}", t.offset())).ok();
    Some(ProbeSpec {
        name: t.optional("name").or(unique)?,
        kind,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        rise: 1,
        fall: 1,
    })
}

/// `address = "10.0.0.4:22"`, or `port = 22` on the appliance's own address.
fn tcp(t: &mut Table<'_>, own: Option<IpAddr>) -> Option<ProbeKind> {
    match (t.has("address"), t.has("port")) {
        (true, false) => t.required("address").map(|address| ProbeKind::Tcp { address }),
        (false, true) => {
            let port = t.required::<u16>("port")?;
            if port == 0 {
                t.fault("port", "0", "must be from 1 to 65535");
            }
            Some(ProbeKind::Tcp { address: SocketAddr::new(own?, port) })
        }
        (true, true) => {
            t.complain("port", "stands beside address; keep one of the two");
            None
        }
        (false, false) => {
            t.missing("port", "must be the port to connect to, or address must be an IP address and a port");
            None
        }
    }
}

fn http(t: &mut Table<'_>, trust: Trust) -> Option<ProbeKind> {
    let url = t.required("url");
    let status = t.or("status", 200);
    let body_contains = t.optional("body_contains");
    let trust = t.or("trust", trust);
    Some(ProbeKind::Http { url: url?, status, body_contains, trust })
}

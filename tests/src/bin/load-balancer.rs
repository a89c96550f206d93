//! `load-balancer tcp|http PORT INTERVAL_MS NAME=ADDRESS...`: probes each backend at this interval, and
//! writes down what came of it, one JSON line per probe. It balances nothing.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tests::clock::now_us;
use tests::probes::Probed;

/// How long a probe may take: less than the kernel's first retransmission (1 s).
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy)]
enum Kind {
    Tcp,
    Http,
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let kind = match args.next().as_deref() {
        Some("tcp") => Kind::Tcp,
        Some("http") => Kind::Http,
        other => bail!("tcp or http, not {other:?}"),
    };
    let port: u16 = args.next().context("which port?")?.parse()?;
    let interval = Duration::from_millis(args.next().context("how often?")?.parse()?);
    tests::process::end_with_stdin();
    let mut probing = Vec::new();
    for backend in args {
        let (name, address) = backend.split_once('=').context("a backend is NAME=ADDRESS")?;
        let (name, address) = (name.to_owned(), SocketAddr::new(address.parse::<IpAddr>()?, port));
        probing.push(thread::spawn(move || probe_for_ever(kind, &name, address, interval)));
    }
    for ended in probing {
        ended.join().map_err(|_| anyhow::anyhow!("a prober panicked"))??;
    }
    Ok(())
}

fn probe_for_ever(kind: Kind, name: &str, address: SocketAddr, interval: Duration) -> Result<()> {
    loop {
        let next = Instant::now() + interval;
        let asked_us = now_us();
        let passed = probe(kind, address).is_ok();
        let probed = Probed { backend: name.to_owned(), asked_us, at_us: now_us(), passed };
        // One write for a line: the probers share it.
        writeln!(io::stdout().lock(), "{}", serde_json::to_string(&probed)?)?;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn probe(kind: Kind, address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    let Kind::Http = kind else { return Ok(()) };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nhost: backend\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if answer == *b"HTTP/1.1 200" { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
}

//! `traffic-client ADDRESS:PORT [PATIENCE-IN-MS]`: connects all the time and writes down who answered
//! when, one JSON line per attempt. An outage cannot be measured finer than the patience with one
//! attempt.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tests::clock::now_us;
use tests::timeline::Attempt;

/// From the end of one attempt to the start of the next.
const PAUSE: Duration = Duration::from_millis(5);

/// How long connecting may take, and reading, unless it is said otherwise: less than the kernel's first retransmission (1 s),
/// so that a lost segment costs one attempt and not a second.
const PATIENCE_MS: u64 = 100;

fn main() -> Result<()> {
    let address: SocketAddr = std::env::args().nth(1).context("which address?")?.parse()?;
    let patience = std::env::args().nth(2).map_or(Ok(PATIENCE_MS), |text| text.parse())?;
    let patience = Duration::from_millis(patience);
    tests::process::end_with_stdin();
    let mut out = io::stdout().lock();
    loop {
        let asked_us = now_us();
        let answer = ask(address, patience);
        let attempt = Attempt { asked_us, at_us: now_us(), by: answer.ok() };
        writeln!(out, "{}", serde_json::to_string(&attempt)?)?;
        thread::sleep(PAUSE);
    }
}

fn ask(address: SocketAddr, patience: Duration) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut answer = String::new();
    stream.take(128).read_to_string(&mut answer)?;
    match answer.trim() {
        "" => Err(io::ErrorKind::UnexpectedEof.into()),
        name => Ok(name.to_owned()),
    }
}

//! `name-server NAME PORT`: an appliance's service. It answers each connection with its name.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let name = args.next().context("which name?")?;
    let port: u16 = args.next().context("which port?")?.parse()?;
    tests::process::end_with_stdin();
    let answer = format!("{name}\n");
    for stream in listen(port)?.incoming() {
        // The answer fits any send buffer, so one thread is enough; a client that is gone already
        // is no concern of ours.
        match stream {
            Ok(mut stream) => drop(stream.write_all(answer.as_bytes())),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
    Ok(())
}

/// Both protocols on one socket where there is IPv6, else IPv4 alone.
fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
}

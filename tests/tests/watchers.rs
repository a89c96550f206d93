//! The watchers themselves: a check that cannot fail proves nothing, so here it is made to.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;
use tests::clock::now_us;
use tests::command::must;
use tests::netns::{INTERFACE, Link, Network};
use tests::privileged::skip_unless_privileged;
use tests::process::Process;
use tests::timeline::{ArpSeen, Attempt, holders, outage, read};
use tests::wait::{self, is};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 100);
const PORT: u16 = 7000;

#[test]
fn two_holders_of_one_address_and_a_pulled_cable_are_seen() -> Result<()> {
    if skip_unless_privileged("two_holders_of_one_address_and_a_pulled_cable_are_seen")? {
        return Ok(());
    }
    let logs = tempfile::tempdir()?;
    let log = |name: &str| logs.path().join(name);
    let hosts = [
        ("client", Ipv4Addr::new(10, 88, 0, 50)),
        ("fw-a", Ipv4Addr::new(10, 88, 0, 21)),
        ("fw-b", Ipv4Addr::new(10, 88, 0, 22)),
    ];
    let network = Network::create(&hosts)?;
    let mut running = Vec::new();
    for host in ["fw-a", "fw-b"] {
        let mut server = network.command(host, Path::new(env!("CARGO_BIN_EXE_name-server")));
        running.push(Process::start(host, server.args([host, &PORT.to_string()]), &log(host))?);
    }
    let mut traffic = network.command("client", Path::new(env!("CARGO_BIN_EXE_traffic-client")));
    running.push(Process::start("traffic", traffic.arg(format!("{VIP}:{PORT}")), &log("traffic"))?);
    let mut arp = network.command("client", Path::new(env!("CARGO_BIN_EXE_arp-watch")));
    running.push(Process::start("arp", arp.args([INTERFACE, &VIP.to_string()]), &log("arp"))?);

    let carry = |host: &str| -> Result<()> {
        let mut ip = network.command(host, Path::new("ip"));
        ip.args(["address", "add", &format!("{VIP}/24"), "dev", INTERFACE]);
        tests::command::run(&mut ip, wait::PATIENCE).map(drop)
    };
    carry("fw-a")?;
    wait::until("the client gets answers from fw-a alone", || {
        let arp = holders(&read::<ArpSeen>(&log("arp"))?, 0);
        let traffic = outage(&read::<Attempt>(&log("traffic"))?, 0);
        let so = arp.at_once == 1 && arp.order == [network.mac("fw-a")?] && traffic.by == ["fw-a"];
        Ok(is(so, || format!("{arp:?}, {traffic:?}")))
    })?;

    let pulled = now_us();
    network.set_link("fw-a", Link::Down)?;
    wait::until("the client misses fw-a", || {
        let missed = read::<Attempt>(&log("traffic"))?
            .iter()
            .filter(|a| a.asked_us > pulled && a.by.is_none())
            .count();
        Ok(is(missed >= 2, || format!("{missed} attempts failed")))
    })?;
    network.set_link("fw-a", Link::Up)?;
    wait::until("the outage has ended and is as long as the cable was out", || {
        let traffic = outage(&read::<Attempt>(&log("traffic"))?, pulled);
        Ok(is(traffic.longest_ms >= 100 && traffic.by == ["fw-a"], || format!("{traffic:?}")))
    })?;

    carry("fw-b")?;
    wait::until("two holders at once are seen", || {
        let arp = holders(&read::<ArpSeen>(&log("arp"))?, 0);
        Ok(is(arp.at_once == 2, || format!("{arp:?}")))
    })?;
    drop(running);
    let left = must("ip", &["netns", "list"])?;
    drop(network);
    let mine = format!("pmt-{}-", std::process::id());
    assert!(left.contains(&mine) && !must("ip", &["netns", "list"])?.contains(&mine));
    Ok(())
}

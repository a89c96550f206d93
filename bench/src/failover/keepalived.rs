//! keepalived, the peer that everybody knows: two VRRP routers, one address.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::netns::{INTERFACE, Link, Network, PREFIX_LEN};
use tests::process::{Process, tail};

use super::{Appliance, CLIENT, Fault, Subject, VIP, trial};
use std::net::Ipv4Addr;

const HOSTS: [(&str, Ipv4Addr); 3] = [
    ("fw-a", Ipv4Addr::new(10, 88, 0, 21)),
    ("fw-b", Ipv4Addr::new(10, 88, 0, 22)),
    (CLIENT, Ipv4Addr::new(10, 88, 0, 50)),
];

/// Two keepalived, one on each appliance.
#[derive(Debug)]
pub struct Keepalived {
    routers: [Option<Process>; 2],
    network: Network,
    dir: tempfile::TempDir,
}

/// The version, where keepalived is installed.
pub fn version() -> Option<String> {
    let done = tests::command::run(
        std::process::Command::new("keepalived").arg("--version"),
        Duration::from_secs(5),
    );
    let output = done.ok()?.output();
    output.split_whitespace().nth(1).map(str::to_owned)
}

impl Keepalived {
    /// Starts both routers with adverts every `advert`.
    ///
    /// # Errors
    /// When the network cannot be made or a process not be started.
    pub fn start(advert: Duration) -> Result<Keepalived> {
        let dir = tempfile::Builder::new().prefix("failover-keepalived-").tempdir()?;
        for (appliance, state, priority) in [(Appliance::A, "MASTER", 150), (Appliance::B, "BACKUP", 100)] {
            fs::write(config(dir.path(), appliance), text(state, priority, advert))?;
        }
        let mut started = Keepalived { routers: [None, None], network: Network::create(&HOSTS)?, dir };
        Appliance::BOTH.into_iter().try_for_each(|appliance| started.start_router(appliance))?;
        Ok(started)
    }

    fn start_router(&mut self, appliance: Appliance) -> Result<()> {
        let (host, dir) = (appliance.host(), self.dir.path());
        let file = |extension: &str| dir.join(host).with_extension(extension);
        let mut command = self.network.command(host, Path::new("keepalived"));
        command.args(["--dont-fork", "--log-console", "--vrrp", "--dont-release-ipvs"]);
        command.arg("--use-file").arg(config(dir, appliance));
        command.arg("--pid").arg(file("pid")).arg("--vrrp_pid").arg(file("vrrp.pid"));
        let process = Process::start(host, &mut command, &file("log"))?;
        self.routers[index(appliance)] = Some(process);
        Ok(())
    }

    /// The child, which does the work, and the daemon.
    fn pids(&self, appliance: Appliance) -> Result<Vec<Pid>> {
        let router = self.routers[index(appliance)].as_ref().context("keepalived is not running")?;
        let pid = router.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let pids = children.split_whitespace().map(str::parse).chain([Ok(i32::try_from(pid)?)]);
        Ok(pids.map(|pid| pid.map(Pid::from_raw)).collect::<Result<_, _>>()?)
    }

    fn signal(&self, appliance: Appliance, signal: Signal) -> Result<()> {
        // The daemon stands still first: it would start a new child for one that was killed, and a
        // child that outlives it gives the address back in good order.
        let pids = self.pids(appliance)?;
        let stopped =
            pids.last().map(|daemon| (*daemon, Signal::SIGSTOP)).filter(|_| signal == Signal::SIGKILL);
        for (pid, signal) in stopped.into_iter().chain(pids.iter().map(|pid| (*pid, signal))) {
            match kill(pid, signal) {
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(error) => bail!("could not send {signal} to keepalived: {error}"),
            }
        }
        Ok(())
    }

    fn reaped(&mut self, appliance: Appliance) -> Result<()> {
        match self.routers[index(appliance)].take() {
            Some(mut router) => router.ended().map(drop),
            None => Ok(()),
        }
    }
}

impl Subject for Keepalived {
    fn network(&self) -> &Network {
        &self.network
    }

    fn settled(&mut self) -> Result<Appliance> {
        // It takes the address back as soon as it can, and the client watches for that.
        Ok(Appliance::A)
    }

    fn strike(&mut self, fault: Fault, active: Appliance) -> Result<()> {
        let host = active.host();
        match fault {
            Fault::LinkDown => self.network.set_link(host, Link::Down),
            Fault::Killed => self.signal(active, Signal::SIGKILL),
            Fault::Hung => self.signal(active, Signal::SIGSTOP),
            Fault::CutOff => {
                let peer = self.network.address(active.other().host())?;
                trial::cut_off(&self.network, host, &[peer])
            }
            Fault::Planned => match &self.routers[index(active)] {
                Some(router) => router.signal(Signal::SIGTERM),
                None => bail!("keepalived is not running"),
            },
            Fault::LeaderKilled => bail!("keepalived has no leader"),
        }
    }

    fn heal(&mut self, fault: Fault, struck: Appliance) -> Result<()> {
        match fault {
            Fault::LinkDown => self.network.set_link(struck.host(), Link::Up),
            Fault::Hung => self.signal(struck, Signal::SIGCONT),
            Fault::CutOff => trial::reconnect(&self.network, struck.host()),
            Fault::Killed | Fault::Planned => {
                self.reaped(struck)?;
                self.start_router(struck)
            }
            Fault::LeaderKilled => Ok(()),
        }
    }

    fn logs(&self) -> String {
        Appliance::BOTH.map(|a| tail(&self.dir.path().join(a.host()).with_extension("log"))).concat()
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        for appliance in Appliance::BOTH {
            // The child would outlive a parent that is killed while it is stopped.
            let _ = self.signal(appliance, Signal::SIGKILL);
        }
    }
}

fn index(appliance: Appliance) -> usize {
    match appliance {
        Appliance::A => 0,
        Appliance::B => 1,
    }
}

fn config(dir: &Path, appliance: Appliance) -> PathBuf {
    dir.join(appliance.host()).with_extension("conf")
}

fn text(state: &str, priority: u8, advert: Duration) -> String {
    format!(
        "global_defs {{
    vrrp_version 3
}}
vrrp_instance inside {{
    state {state}
    interface {INTERFACE}
    virtual_router_id 51
    priority {priority}
    advert_int {:.2}
    virtual_ipaddress {{
        {VIP}/{PREFIX_LEN} dev {INTERFACE}
    }}
}}
",
        advert.as_secs_f64()
    )
}

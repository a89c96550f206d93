//! How long a client is without its virtual address, and whether two hosts ever held it at once.
//!
//! ```text
//!   [c1  c2  c3]   fw-a   fw-b   client        one network namespace each
//!    └────┴───┴─────┴──┬───┴──────┘
//!                     br0
//! ```
//!
//! The client asks by ICMP echo, twice over: as any client would, by way of its neighbour cache,
//! and straight to the hardware address of each appliance. The first shows the outage, the second
//! who holds the address at that very moment. Kernels answer, so no process of an appliance is in
//! the way.

use std::fmt;
use std::net::Ipv4Addr;

use anyhow::Result;
use tests::netns::Network;

pub mod echo;
pub mod keepalived;
pub mod pointsman;
pub mod report;
pub mod trial;
pub mod watch;

/// The address that moves.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 100);

/// Where the client is.
pub const CLIENT: &str = "client";

/// One of the two appliances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appliance {
    /// The preferred one.
    A,
    /// The other one.
    B,
}

impl Appliance {
    /// Both.
    pub const BOTH: [Appliance; 2] = [Appliance::A, Appliance::B];

    /// Its host in the network.
    pub fn host(self) -> &'static str {
        match self {
            Appliance::A => "fw-a",
            Appliance::B => "fw-b",
        }
    }

    /// The one that is not this one.
    pub fn other(self) -> Appliance {
        match self {
            Appliance::A => Appliance::B,
            Appliance::B => Appliance::A,
        }
    }
}

/// What happens, most of it to the active appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its cable is pulled.
    LinkDown,
    /// Its daemon is killed; its kernel goes on.
    Killed,
    /// Its daemon is stopped in the middle of what it does, and goes on when it is healed.
    Hung,
    /// It is cut off from whoever decides: Pointsman's coordinators, keepalived's other router.
    /// The client still reaches it.
    CutOff,
    /// An operator moves the address (Pointsman: `switchover`) or stops the daemon (keepalived).
    Planned,
    /// The leading coordinator is killed. The active appliance is healthy and must stay.
    LeaderKilled,
}

impl Fault {
    /// All, in the order in which they are tried.
    pub const ALL: [Fault; 6] =
        [Fault::LinkDown, Fault::Killed, Fault::Hung, Fault::CutOff, Fault::Planned, Fault::LeaderKilled];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fault::LinkDown => "link down",
            Fault::Killed => "kill -9",
            Fault::Hung => "hung",
            Fault::CutOff => "cut off",
            Fault::Planned => "planned",
            Fault::LeaderKilled => "leader -9",
        })
    }
}

/// Something that moves the address between two appliances.
pub trait Subject {
    /// Where it runs.
    fn network(&self) -> &Network;

    /// Who has the address, once everything is as it should be; `Err` says what is not, yet.
    ///
    /// # Errors
    /// What is not as it should be.
    fn settled(&mut self) -> Result<Appliance>;

    /// Whether there is such a fault here.
    fn knows(&self, fault: Fault) -> bool {
        fault != Fault::LeaderKilled
    }

    /// Strikes the active appliance, or whoever the fault is for.
    ///
    /// # Errors
    /// When it could not be done.
    fn strike(&mut self, fault: Fault, active: Appliance) -> Result<()>;

    /// Undoes the fault.
    ///
    /// # Errors
    /// When it could not be done.
    fn heal(&mut self, fault: Fault, struck: Appliance) -> Result<()>;

    /// What it says of the newest move, if it says anything.
    fn story(&self) -> String {
        String::new()
    }

    /// What it logged, for a trial that went wrong.
    fn logs(&self) -> String;
}

//! The leader's loop: observe → decide → commit → act with a fencing token → verify → record.
//!
//! Every node probes ([`probe`]) and hears the agents; followers tell the leader what they see
//! ([`vantage`]); the leader decides and acts, one term at a time ([`leader`]).

mod act;
mod clock;
mod drift;
mod fence;
#[cfg(test)]
pub(crate) mod fixtures;
mod handle;
mod handover;
mod hook;
mod leader;
mod pools;
mod probe;
mod propose;
mod service;
mod shared;
mod vantage;

pub(crate) use clock::wall_now;
pub use handle::{
    AgentSeen, ControlHandle, MoveRefused, Overview, Reading, Since, VantageReply, VantageUpdate,
};
pub use service::{Options, Seed, start};
pub use vantage::{MAX_BODY as VANTAGE_MAX_BODY, VANTAGE_PATH};

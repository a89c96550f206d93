//! The Azure adapter against a fake ARM in the same process, on paused time.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod backend_pools;
mod contract;
mod identity;
mod moves;
mod power;
mod preflight;
mod served;
mod stage;
#[path = "../suite/mod.rs"]
mod suite;
mod takeover;
mod watching;

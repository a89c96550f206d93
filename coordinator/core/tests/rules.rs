//! The rules one by one: what a story would tell too slowly.

#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod common;

#[path = "rules/actions.rs"]
mod actions;
#[path = "rules/codec.rs"]
mod codec;
#[path = "rules/declaring.rs"]
mod declaring;
#[path = "rules/fencing.rs"]
mod fencing;
#[path = "rules/gates.rs"]
mod gates;
#[path = "rules/history.rs"]
mod history;
#[path = "rules/lease.rs"]
mod lease;
#[path = "rules/majority.rs"]
mod majority;
#[path = "rules/notices.rs"]
mod notices;
#[path = "rules/operations.rs"]
mod operations;
#[path = "rules/paths.rs"]
mod paths;
#[path = "rules/reliance.rs"]
mod reliance;
#[path = "rules/watch.rs"]
mod watch;

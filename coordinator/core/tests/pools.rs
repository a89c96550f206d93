//! Pools: who is in, who leaves, who returns.

#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod common;

#[path = "pools/declaring.rs"]
mod declaring;
#[path = "pools/leaving.rs"]
mod leaving;
#[path = "pools/properties.rs"]
mod properties;
#[path = "pools/returning.rs"]
mod returning;
#[path = "pools/world.rs"]
mod world;

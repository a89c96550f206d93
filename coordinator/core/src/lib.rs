//! The pure decision core of Pointsman.
//!
//! Two functions carry the product:
//!
//! - [`apply::apply`] turns a committed command into state and events, the same on every node;
//! - [`decide::decide`] runs on the leader and says what to propose, and why, or why not.
//!
//! Nothing here reads a clock, a socket, a file or a random source: time is a parameter, and so
//! is everything else. `clippy.toml` beside this crate bans the ways around that rule and
//! `tests/purity.rs` checks them again.

pub mod action;
pub mod apply;
pub mod chain;
pub mod check;
pub mod command;
pub mod decide;
pub mod event;
pub mod heartbeats;
pub mod ids;
pub mod lease;
pub mod model;
pub mod notice;
pub mod observe;
pub mod pool;
pub mod reason;
pub mod release;
pub mod state;
pub mod time;
pub mod validate;

mod text;

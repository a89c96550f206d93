//! The leader's loop: observe → decide → commit → act → verify → record.

mod handle;

pub use handle::{AgentSeen, ControlHandle, MoveRefused, Overview, VantageUpdate};

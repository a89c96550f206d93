//! What people read: pure functions from wire types to text.

mod cluster;
mod dry_run;
mod group;
mod history;
mod operation;
mod paint;
mod paths;
mod pool;
mod preflight;
mod span;
mod table;

pub(super) use cluster::cluster;
pub(super) use dry_run::dry_run;
pub(super) use group::{group, plan};
pub(super) use history::{changed, history};
pub(super) use operation::{actor, ending, operation, operations, steps};
pub(super) use paint::Paint;
pub(super) use pool::{pool, pools};
pub(super) use preflight::preflight;

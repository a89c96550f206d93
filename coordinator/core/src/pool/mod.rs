//! Pools: appliances that are all active, behind a load balancer.
//!
//! Beside [groups](crate::state::Group), where one appliance is active, a pool has all of its
//! members at work at once: layer-7 proxies, for instance. What there is to decide is who is *in*:
//! a sick member is taken out of the load balancer, on its ingress and its egress side together,
//! and put back when it has been well for a while. Nobody is taken out unless enough others are in
//! and up, since a load balancer with an empty pool serves nobody.
//!
//! The same split as for groups: [`decide`] proposes, `apply` checks everything again, [`action`]
//! derives what remains to be done from committed state alone.

pub mod action;
pub(crate) mod apply;
pub(crate) mod check;
mod command;
pub mod decide;
mod event;
mod model;
mod reason;
mod rejection;
mod state;
pub mod validate;

pub use command::{ChangeMember, PoolCommand, RecordPlacement};
pub use event::{PoolEvent, PoolEventBody};
pub use model::{MemberSpec, PoolPolicy, PoolSpec, Side, Way};
pub use reason::PoolReason;
pub use rejection::PoolRejection;
pub use state::{Change, Left, Member, Placement, PlacementStep, Pool, Standing};

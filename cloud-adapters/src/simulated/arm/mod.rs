//! An Azure Resource Manager on loopback, or in the same process: the few rules of ARM and of
//! Microsoft.Network that decide whether a move goes right, and faults on request.
//!
//! - [`cloud`]: what it does with its documents. No clock, no socket: time is a parameter.
//! - [`documents`]: NICs, public IPs, route tables and virtual machines to start with.
//! - [`faults`]: what goes wrong, and when.
//! - [`scene`]: a whole group in it, and a judge of what became of that.
//! - `identity`: the token endpoint, and the tokens of the metadata service of a machine.
//! - `metadata`: its scheduled events.
//! - [`FakeArm`]: all of it, as a [`Transport`](crate::azure::transport::Transport) on whatever
//!   clock the runtime has, or served over HTTP.
//!
//! It is faithful where adapters fail: one NIC per public IP; a `PUT` replaces the whole
//! document and resets what is not in it; 200 does not mean done; a resource that is being
//! changed answers 429; an ETag moves with every write; a reply may be lost after the change was
//! made; a change may fail half-way and leave the state `Failed`.

pub mod cloud;
pub mod documents;
mod fake;
pub mod faults;
mod identity;
mod metadata;
pub mod scene;
mod server;

pub use fake::FakeArm;
pub use server::Served;

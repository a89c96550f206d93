//! Azure: public IPs between NICs, and user-defined routes.
//!
//! - [`AzureAdapter`]: the contract in Azure's terms. `public_ip` and `route` read and plan,
//!   purely, on whole documents; `reading` fetches each document once.
//! - [`preflight`]: would a move work? `effective`: what Azure does with a NIC's traffic.
//! - `power`: virtual machines are powered off. `backend_pool`: who is behind a load balancer.
//! - [`arm`]: Azure Resource Manager over HTTP, long-running operations, errors by class.
//! - [`identity`]: who the adapter is; a token is there before it is needed.
//! - [`transport`]: one HTTP exchange; replaced in tests by a cloud in the same process.
//! - [`options`]: what an adapter is told. [`resource_id`]: resources are named by id.
//!
//! Requests are shaped as in Microsoft's published specification of Microsoft.Network 2024-03-01.

mod adapter;
pub mod arm;
mod backend_pool;
mod documents;
mod effective;
pub mod identity;
pub mod options;
mod power;
pub mod preflight;
mod public_ip;
mod reading;
pub mod resource_id;
mod route;
pub mod transport;

pub use adapter::{AzureAdapter, AzureSetupError};
pub use effective::EffectiveRoute;
pub use options::AzureOptions;

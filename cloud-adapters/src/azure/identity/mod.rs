//! Who the adapter is: tokens for ARM, held by every coordinator before they are needed.
//!
//! - [`Tokens`]: the token in use, renewed ahead of need.
//! - `source`: where tokens come from.
//! - `assertion`: the signed statement of an application that has a certificate.
//! - `secret`: where secrets come from.

mod assertion;
mod secret;
mod source;
mod tokens;

pub use secret::SecretError;
pub use source::{TokenError, TokenSource};
pub(in crate::azure) use tokens::spawn_keeper;
pub use tokens::{Bearer, Tokens};

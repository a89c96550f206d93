//! The write-ahead log.
mod error;

pub use error::WalError;

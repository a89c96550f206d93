//! The replicated log and the state machine.
//!
//! [`Replica`] is all that the rest of the coordinator sees: propose, read the state, know who
//! leads. Inside, [`wal`] alone writes the log, [`store`] alone knows sled and [`codec`] alone
//! knows bincode.

mod data_dir;
mod error;
mod history;
pub mod network;
mod options;
mod replica;
pub mod server;
mod status;
pub mod types;
pub mod wal;

pub use data_dir::{DataDir, DataDirError};
pub use error::{HistoryError, NotConfirmed, ProposeError, StartError, TransferError};
pub use history::{HistoryQuery, MAX_LIMIT, RETAINED_EVENTS};
pub use options::{PeerUrls, RaftTimings, ReplicaOptions};
pub use replica::Replica;
pub use status::{FollowerStatus, Leadership, ReplicaStatus, Role, StorageHealth};

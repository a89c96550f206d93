//! The replicated log and the state machine.
//!
//! [`Replica`] is all that the rest of the coordinator sees: propose, read the state, know who
//! leads. Inside, [`wal`] alone writes the log, [`store`] alone knows sled and [`codec`] alone
//! knows bincode.

mod clock;
pub mod codec;
mod data_dir;
pub mod disk;
mod error;
mod gate;
mod ground;
mod heard;
mod history;
mod leadership;
pub mod network;
mod options;
mod replica;
pub mod runtime;
pub mod server;
pub mod snapshot;
mod start;
pub mod state_machine;
mod status;
mod storage;
pub mod store;
pub mod transport;
pub mod types;
pub mod wal;

pub use data_dir::{DataDir, DataDirError};
pub use error::{HistoryError, NotConfirmed, ProposeError, StartError, TransferError};
pub use ground::{Ground, Simulated};
pub use history::{HistoryQuery, MAX_LIMIT, RETAINED_EVENTS};
pub use options::{RaftTimings, ReplicaOptions};
pub use replica::Replica;
pub use status::{
    FollowerStatus, Leadership, Leading, ReplicaStatus, Role, StorageHealth, StorageLevel, StorageReport,
};

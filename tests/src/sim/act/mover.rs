//! One move, from its first read until it is recorded: mirrors `carry_out` in
//! `control_loop/act.rs`.

use std::time::Duration;

use cloud_adapters::contract::{AdapterError, Backoff, Journal, MoveJob, Pace, move_binding_at};

use super::adapter::SimAdapter;
use super::port::{Answer, Ask};

/// `act.rs`, `ATTEMPT`.
const ATTEMPT: Duration = Duration::from_secs(120);

/// Tries until it is done and recorded, or until it is dropped.
pub(super) async fn carry_out(adapter: SimAdapter, job: MoveJob) {
    let journal = Journal::default();
    let mut backoff = Backoff::default();
    loop {
        let started = adapter.now();
        let result = move_binding_at(&adapter, &adapter, &job, &adapter, &journal, ATTEMPT).await;
        let took = adapter.now().saturating_sub(started);
        let error = match result {
            Ok(()) => None,
            Err(AdapterError::Deposed(_)) => {
                adapter.sleep(backoff.next_wait_by(adapter.chance(), None)).await;
                continue;
            }
            Err(error) => Some(error.chain()),
        };
        journal.take();
        let done = error.is_none();
        let recorded = adapter.port().ask(Ask::Record { error, took }).await;
        // A refusal says that it is superseded or done already.
        if done && matches!(recorded, Answer::Recorded(true)) {
            return;
        }
        adapter.sleep(backoff.next_wait_by(adapter.chance(), None)).await;
    }
}

//! Shows an operation while it runs.

use std::time::Duration;

use coordinator_api::client::{Client, ClientError};
use coordinator_api::v1::{Code, Consistency, OperationState, OperationView};
use coordinator_core::ids::OperationId;
use coordinator_core::state::Ending;
use tokio::time::{Instant, sleep};

use super::error::CliError;
use super::moves::MoveFailed;
use super::output::Output;
use super::render;

/// Between two looks: a tenth of what a person calls immediate.
const POLL: Duration = Duration::from_millis(100);

/// Waits for `operation` to end and says each thing that happens, for `limit` at most.
pub(super) async fn follow(
    client: &Client,
    operation: OperationId,
    limit: Duration,
    output: &Output,
) -> Result<(), CliError> {
    let deadline = Instant::now() + limit;
    let mut said = Vec::new();
    loop {
        match client.operation(operation, Consistency::Linearizable).await {
            Ok(view) => {
                for line in render::steps(&view, output.paint) {
                    if !said.contains(&line) {
                        output.say(&line);
                        said.push(line);
                    }
                }
                if view.state == OperationState::Ended {
                    return ended(&view, output);
                }
            }
            // The leader may be lost in the middle of a move; the next one carries on with it.
            Err(error) if passing(&error) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= deadline {
            return Err(MoveFailed::StillRunning(operation).into());
        }
        sleep(POLL).await;
    }
}

fn passing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Problem(problem) => {
            matches!(problem.code, Code::NoLeader | Code::TimedOut | Code::ShuttingDown | Code::Overloaded)
        }
        _ => false,
    }
}

fn ended(view: &OperationView, output: &Output) -> Result<(), CliError> {
    output.show(view, render::ending);
    match view.ending {
        Some(Ending::Superseded(by)) => Err(MoveFailed::Superseded(view.id, by).into()),
        _ => Ok(()),
    }
}

//! Switching one appliance off: mirrors `carry_out` and `attempt` in `control_loop/fence.rs`.

use std::sync::Arc;
use std::time::Duration;

use cloud_adapters::contract::Backoff;

use super::port::{Answer, Ask, Port};
use super::{CloudAnswer, Request};

/// `fence.rs`: between attempts, and what an agent that was heard lately is given.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const HEARD_LATELY: Duration = Duration::from_secs(1);

/// Tries until it is off and that is recorded, or until it is dropped.
pub(super) async fn carry_out(port: Arc<Port>, agent: usize, heard_lately: bool) {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    if heard_lately {
        port.ask(Ask::Sleep(HEARD_LATELY)).await;
    }
    loop {
        let started = port.now();
        let leads = matches!(port.ask(Ask::Confirm).await, Answer::Confirmed(true));
        if !leads || !matches!(port.ask(Ask::StillWanted).await, Answer::Wanted(true)) {
            port.ask(Ask::Sleep(backoff.next_wait_by(port.chance(), None))).await;
            continue;
        }
        let off = matches!(
            port.ask(Ask::Call(Request::PowerOff { agent })).await,
            Answer::Cloud(CloudAnswer::Written)
        );
        let error = (!off).then(|| "the cloud does not say that it is off".to_owned());
        let took = port.now().saturating_sub(started);
        if off {
            port.ask(Ask::OutliveEarlierLeases).await;
        }
        let recorded = port.ask(Ask::Record { error, took }).await;
        if off && matches!(recorded, Answer::Recorded(true)) {
            return;
        }
        port.ask(Ask::Sleep(backoff.next_wait_by(port.chance(), None))).await;
    }
}

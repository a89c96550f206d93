//! The end of an agent that is asked to stop: first somebody takes over, then it lets go.

use std::time::Duration;

use coordinator_api::agent::Handover;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::notices::{Board, Told};
use crate::standing::Standing;

/// Whether and how an agent is asked to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stop {
    /// It is not.
    #[default]
    No,
    /// It announces its end, goes on until the group has left its appliance, and lets go then.
    Gracefully,
    /// It lets go at once, and says so.
    Now,
}

/// Waits until the agent is asked to stop and need not wait any longer: the group has left its
/// appliance, or does not, or `grace` is over, or it is asked once more. An agent that holds nothing
/// has nothing to wait for.
pub(crate) async fn until_free(
    mut asked: watch::Receiver<Stop>,
    grace: Duration,
    announce: impl FnOnce(),
    standing: &watch::Receiver<Standing>,
    mut told: watch::Receiver<Told>,
) {
    // Without a sender nobody can ask any more: that asks for an end as well.
    let how = asked.wait_for(|stop| *stop != Stop::No).await.map_or(Stop::Now, |stop| *stop);
    if how == Stop::Now || grace.is_zero() {
        return;
    }
    announce();
    if standing.borrow().holding.is_none() {
        return;
    }
    info!(grace_ms = grace.as_millis(), "the group is asked to leave this appliance first");
    let answered = told.wait_for(|told| {
        told.of_stop && matches!(told.newest, Some(Handover::Done | Handover::Refused { .. }))
    });
    tokio::select! {
        answer = answered => match answer.ok().and_then(|told| told.newest.clone()) {
            Some(Handover::Refused { why }) => warn!(why, "nobody takes over: stops all the same"),
            _ => info!("the group has left this appliance"),
        },
        () = tokio::time::sleep(grace) => warn!("nobody took over in time: stops all the same"),
        _ = asked.wait_for(|stop| *stop == Stop::Now) => warn!("asked once more: stops at once"),
    }
}

/// The part of [`until_free`] that tells the coordinators.
pub(crate) fn announcer(board: Board, boot: u64) -> impl FnOnce() {
    move || board.stops(boot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator_core::ids::Token;
    use tokio::time::Instant;

    const GRACE: Duration = Duration::from_secs(10);

    struct Bench {
        asked: watch::Sender<Stop>,
        standing: watch::Sender<Standing>,
        told: watch::Sender<Told>,
        board: Board,
    }

    impl Bench {
        /// An agent that holds a lease.
        fn holding() -> Bench {
            let standing = Standing { holding: Some(Token(7)), ..Standing::default() };
            Bench {
                asked: watch::Sender::new(Stop::No),
                standing: watch::Sender::new(standing),
                told: watch::Sender::default(),
                board: Board::new([]),
            }
        }

        fn says(&self, handover: Handover) {
            self.told.send_modify(|told| told.take(Some(&handover), &self.board.all()));
        }

        /// How long it takes until the agent may stop; `meanwhile` runs beside it.
        async fn takes(&self, grace: Duration, meanwhile: impl Future<Output = ()>) -> Duration {
            let began = Instant::now();
            let (standing, told) = (self.standing.subscribe(), self.told.subscribe());
            let announce = announcer(self.board.clone(), 1);
            let free = async {
                until_free(self.asked.subscribe(), grace, announce, &standing, told).await;
                began.elapsed()
            };
            tokio::join!(free, meanwhile).0
        }
    }

    async fn after(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_until_the_group_has_left() {
        let bench = Bench::holding();
        let story = async {
            after(1).await;
            // What was said before this end was announced does not count.
            bench.says(Handover::Done);
            bench.asked.send_replace(Stop::Gracefully);
            after(1).await;
            bench.says(Handover::Pending);
            after(1).await;
            bench.says(Handover::Done);
        };
        assert_eq!(bench.takes(GRACE, story).await, Duration::from_secs(3));
        assert!(crate::notices::announces_stop(&bench.board.all()));
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_wait_for_nobody_nor_for_ever_nor_when_it_is_asked_twice() {
        let refused = Handover::Refused { why: "no standby".to_owned() };
        let rows: [(Option<Handover>, Stop, u64); 3] =
            [(Some(refused), Stop::Gracefully, 1), (None, Stop::Gracefully, 10), (None, Stop::Now, 1)];
        for (answer, asked_again, takes) in rows {
            let bench = Bench::holding();
            bench.asked.send_replace(Stop::Gracefully);
            let story = async {
                after(1).await;
                if let Some(answer) = answer {
                    bench.says(answer);
                }
                bench.asked.send_replace(asked_again);
            };
            assert_eq!(bench.takes(GRACE, story).await, Duration::from_secs(takes), "{asked_again:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_holds_nothing_or_may_not_wait_stops_at_once() {
        let bench = Bench::holding();
        bench.asked.send_replace(Stop::Gracefully);
        assert_eq!(bench.takes(Duration::ZERO, async {}).await, Duration::ZERO);
        assert!(!crate::notices::announces_stop(&bench.board.all()), "it releases as it always did");
        bench.standing.send_replace(Standing::default());
        assert_eq!(bench.takes(GRACE, async {}).await, Duration::ZERO);
        assert!(crate::notices::announces_stop(&bench.board.all()), "so that nothing is moved here");
        let bench = Bench::holding();
        bench.asked.send_replace(Stop::Now);
        assert_eq!(bench.takes(GRACE, async {}).await, Duration::ZERO);
    }
}

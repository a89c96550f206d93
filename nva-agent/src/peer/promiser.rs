//! Asks all peers to accept no lease, while no coordinator renews this appliance's.
//!
//! The lease's owner decides what follows from their answers; the rules are in
//! `lease::promise`. Nothing is asked while a leader renews, and nothing is asked in a group that
//! has not declared `quorum_loss = "failsafe"`.

use std::sync::Arc;
use std::time::Duration;

use coordinator_api::agent::AgentGroup;
use coordinator_api::peer::{PROMISE_PATH, PromiseReply, PromiseRequest};
use coordinator_core::ids::{ApplianceName, Token};
use coordinator_core::time::Mono;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::link::{Link, Links};
use crate::clock;
use crate::holder::PeerEvent;
use crate::reporter::{ReportError, answer};
use crate::standing::Standing;

/// The longest sleep.
const TURN: Duration = Duration::from_millis(250);
/// A round that failed is repeated no sooner than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// Rounds that tell the peers that they are free. Each is heard or not; what was promised ends by
/// itself soon.
const FREEING_ROUNDS: u32 = 3;

/// Asks on behalf of one appliance.
pub(crate) struct Promiser {
    pub(crate) appliance: ApplianceName,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) links: Links,
    pub(crate) events: mpsc::Sender<PeerEvent>,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Ask for promises to the holder of this token.
    Ask(Token),
    /// Say that nothing is held below this token any more.
    Free(Token),
    /// Nothing, for so long.
    Rest(Duration),
}

/// Between two rounds.
#[derive(Debug, Default)]
struct Memory {
    /// The token that peers may have promised to.
    asked: Option<Token>,
    /// No round before.
    not_before: Mono,
    freed: u32,
    /// What was logged last.
    trouble: Option<String>,
}

/// What a peer says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Promised,
    Newer(Token),
    No(String),
}

impl Promiser {
    /// Runs until the lease's owner is gone.
    pub(crate) async fn run(mut self) {
        let mut memory = Memory::default();
        loop {
            let standing = self.standing.borrow_and_update().clone();
            let pause = match (plan(&standing, &memory, clock::now()), standing.group) {
                (Plan::Ask(token), Some(group)) => {
                    memory.asked = Some(token);
                    memory.freed = 0;
                    self.round(&group, token, &mut memory).await
                }
                (Plan::Free(token), Some(group)) => {
                    self.free(&group, token).await;
                    memory.freed += 1;
                    if memory.freed >= FREEING_ROUNDS {
                        memory.asked = None;
                    }
                    ttl_of(&group) / 8
                }
                (Plan::Rest(pause), _) => {
                    if standing.deadline.is_some() && !standing.relying && memory.trouble.take().is_some() {
                        info!("a coordinator renews the lease again");
                    }
                    pause
                }
                (_, None) => TURN,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = self.standing.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Asks all peers at once; returns how long to wait before looking again.
    async fn round(&self, group: &Arc<AgentGroup>, token: Token, memory: &mut Memory) -> Duration {
        let ttl = ttl_of(group);
        let asked_at = clock::now();
        let request = PromiseRequest {
            appliance: self.appliance.clone(),
            group: group.name.clone(),
            token,
            for_ms: group.ttl_ms,
        };
        let links = self.links.all();
        let asked = group.peers.iter().map(|peer| {
            let links = links.iter().filter(|link| link.peer == peer.appliance).cloned();
            ask(links.collect(), &request, ttl / 4)
        });
        let said = join_all(asked).await;
        let newer =
            said.iter().filter_map(|said| if let Said::Newer(token) = said { Some(*token) } else { None });
        let event = match newer.max() {
            Some(token) => Some(PeerEvent::NewerToken(token)),
            None if !said.is_empty() && said.iter().all(|said| *said == Said::Promised) => {
                Some(PeerEvent::Promised { asked_at, token, revision: group.revision })
            }
            None => None,
        };
        memory.tell(group, &said);
        let pause = if matches!(event, Some(PeerEvent::Promised { .. })) { ttl / 3 } else { ttl / 12 };
        if let Some(event) = event {
            // A full queue means that the owner is busy; the next round says the same.
            let _ = self.events.try_send(event);
        }
        memory.not_before = asked_at.plus(pause.max(SHORTEST_PAUSE));
        memory.not_before.since(clock::now())
    }

    async fn free(&self, group: &AgentGroup, token: Token) {
        let request =
            PromiseRequest { appliance: self.appliance.clone(), group: group.name.clone(), token, for_ms: 0 };
        let links = self.links.all();
        join_all(links.iter().map(|link| send(link, &request, ttl_of(group) / 4))).await;
    }
}

impl Memory {
    /// Logs what changed.
    fn tell(&mut self, group: &AgentGroup, said: &[Said]) {
        let trouble: Vec<String> = group
            .peers
            .iter()
            .zip(said)
            .filter_map(|(peer, said)| match said {
                Said::Promised => None,
                Said::Newer(token) => Some(format!("{}: knows token {token}", peer.appliance)),
                Said::No(why) => Some(format!("{}: {why}", peer.appliance)),
            })
            .collect();
        let trouble = trouble.join("; ");
        if self.trouble.as_ref() == Some(&trouble) {
            return;
        }
        if trouble.is_empty() {
            info!("no coordinator renews the lease; it goes on by the promises of all peers");
        } else {
            warn!(%trouble, "no coordinator renews the lease, and not all peers promise to accept none");
        }
        self.trouble = Some(trouble);
    }
}

fn plan(standing: &Standing, memory: &Memory, now: Mono) -> Plan {
    let Some(group) = &standing.group else { return Plan::Rest(TURN) };
    if let (Some(token), None) = (memory.asked, standing.holding)
        && standing.highest > token
    {
        // Not below the newest token: another appliance may rely on promises to one in between.
        return Plan::Free(Token(token.0.saturating_add(1)));
    }
    let (true, Some(token), Some(deadline)) = (group.failsafe, standing.holding, standing.deadline) else {
        return Plan::Rest(TURN);
    };
    let overdue_at = standing.granted_at.map_or(now, |at| at.plus(ttl_of(group) / 3));
    // A leader that has lost its quorum goes on granting, and never beyond the end of the lease.
    let short_at = deadline.minus(ttl_of(group) * 2 / 5);
    let ask_at = overdue_at.min(short_at).max(memory.not_before);
    if ask_at <= now { Plan::Ask(token) } else { Plan::Rest(ask_at.since(now).min(TURN)) }
}

/// Asks one peer on all ways to it at once; the first answer counts.
async fn ask(links: Vec<Arc<Link>>, request: &PromiseRequest, limit: Duration) -> Said {
    let mut answers: FuturesUnordered<_> = links.iter().map(|link| send(link, request, limit)).collect();
    let mut last = "the group declares no address of it".to_owned();
    while let Some(reply) = answers.next().await {
        match reply {
            Ok(reply) if reply.promised => return Said::Promised,
            Ok(reply) if reply.token > request.token => return Said::Newer(reply.token),
            Ok(reply) => return Said::No(reply.why),
            Err(error) => last = error.to_string(),
        }
    }
    Said::No(last)
}

async fn send(link: &Link, request: &PromiseRequest, limit: Duration) -> Result<PromiseReply, ReportError> {
    answer(link.post(PROMISE_PATH).timeout(limit).json(request)).await
}

fn ttl_of(group: &AgentGroup) -> Duration {
    Duration::from_millis(group.ttl_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator_core::ids::GroupName;

    const TTL: Duration = Duration::from_millis(3_000);

    fn at(millis: u64) -> Mono {
        Mono::from_millis(millis)
    }

    fn standing(failsafe: bool) -> Standing {
        let group = AgentGroup {
            name: GroupName::new("dmz").unwrap(),
            revision: 1,
            ttl_ms: 3_000,
            vips: Vec::new(),
            gates: Vec::new(),
            failsafe,
            drift_ppm: 10_000,
            peers: Vec::new(),
        };
        Standing {
            highest: Token(5),
            holding: Some(Token(5)),
            deadline: Some(at(13_000)),
            granted_at: Some(at(10_000)),
            ttl: Some(TTL),
            group: Some(Arc::new(group)),
            ..Standing::default()
        }
    }

    #[test]
    fn nothing_is_asked_before_a_renewal_is_overdue_nor_without_failsafe() {
        let memory = Memory::default();
        assert_eq!(plan(&standing(true), &memory, at(10_900)), Plan::Rest(Duration::from_millis(100)));
        assert_eq!(plan(&standing(true), &memory, at(11_000)), Plan::Ask(Token(5)));
        assert_eq!(plan(&standing(false), &memory, at(11_000)), Plan::Rest(TURN));
        let busy = Memory { not_before: at(11_200), ..Memory::default() };
        assert_eq!(plan(&standing(true), &busy, at(11_000)), Plan::Rest(Duration::from_millis(200)));
    }

    #[test]
    fn a_leader_without_a_quorum_whose_grants_grow_shorter_is_not_waited_for() {
        let memory = Memory::default();
        let shorter = |now: u64| Standing { granted_at: Some(at(now)), ..standing(true) };
        assert_eq!(plan(&shorter(11_700), &memory, at(11_700)), Plan::Rest(Duration::from_millis(100)));
        assert_eq!(plan(&shorter(11_800), &memory, at(11_800)), Plan::Ask(Token(5)));
    }

    #[test]
    fn nothing_is_asked_for_what_is_only_left_over_from_a_lease() {
        let lapsed = Standing { deadline: None, granted_at: None, ..standing(true) };
        assert_eq!(plan(&lapsed, &Memory::default(), at(20_000)), Plan::Rest(TURN));
    }

    #[test]
    fn peers_are_freed_once_a_newer_token_is_on_disk_and_nothing_is_up() {
        let memory = Memory { asked: Some(Token(5)), ..Memory::default() };
        let lapsed = Standing { holding: None, deadline: None, ..standing(true) };
        assert_eq!(plan(&lapsed, &memory, at(20_000)), Plan::Rest(TURN), "it may be granted the same again");
        let moved = Standing { highest: Token(9), ..lapsed };
        let free = plan(&moved, &memory, at(20_000));
        assert_eq!(free, Plan::Free(Token(6)), "a third appliance may have been promised to under 7");
        let still_up = Standing { holding: Some(Token(9)), ..moved };
        assert_eq!(plan(&still_up, &memory, at(20_000)), Plan::Rest(TURN));
    }
}

//! What peers want of the lease's owner, and what they give it.

use std::time::Duration;

use coordinator_api::agent::AgentGroup;
use coordinator_api::peer::{PromiseReply, PromiseRequest};
use coordinator_core::ids::{ApplianceName, GroupName, Token};
use coordinator_core::time::Mono;
use tokio::sync::oneshot;
use tracing::{debug, info};

use super::Holder;
use crate::clock;
use crate::enforcer::Enforcer;
use crate::lease::promise::{Ask, Given};

/// Peers that wait for the disk at once. More than a group has, because each may ask twice.
const MAX_WAITING: usize = 32;

/// Something that concerns the lease and that a peer said or wants.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// A peer wants a promise. Dropping `reply` is a refusal.
    Asked { request: PromiseRequest, reply: oneshot::Sender<PromiseReply> },
    /// All peers that the declaration `revision` names promised, asked at `asked_at` or later.
    Promised { asked_at: Mono, token: Token, revision: u64 },
    /// A peer knows this token.
    NewerToken(Token),
}

/// A peer that waits until its promise is on disk.
pub(super) type Waiting = (PromiseRequest, oneshot::Sender<PromiseReply>);

/// Why the group does not let this peer ask anything of this appliance; `None` when it does.
pub(crate) fn stranger(
    group: Option<&AgentGroup>,
    name: &GroupName,
    peer: &ApplianceName,
) -> Option<&'static str> {
    match group {
        None => Some("no coordinator has told this appliance of its group yet"),
        Some(group) if group.name != *name => Some("this appliance is in another group"),
        Some(group) if !group.peers.iter().any(|p| p.appliance == *peer) => {
            Some("the group's declaration does not name you")
        }
        Some(_) => None,
    }
}

impl<E: Enforcer> Holder<E> {
    pub(super) fn on_peer(&mut self, event: PeerEvent) {
        let now = clock::now();
        match event {
            PeerEvent::Asked { request, reply } => self.on_asked(now, request, reply),
            PeerEvent::Promised { asked_at, token, revision } => {
                let Some(group) = self.group.clone() else { return };
                // Peers that a newer declaration added were not asked.
                if self.stopping || !group.failsafe || group.revision != revision {
                    return;
                }
                let effects = self.lease.on_promises(asked_at, now, token, ttl_of(&group));
                self.run_effects(effects);
            }
            PeerEvent::NewerToken(token) => {
                let effects = self.lease.on_newer_token(token, now);
                self.run_effects(effects);
            }
        }
    }

    fn on_asked(&mut self, now: Mono, request: PromiseRequest, reply: oneshot::Sender<PromiseReply>) {
        let said = match self.promise(now, &request) {
            Ok(Given::Promised { until }) => {
                debug!(peer = %request.appliance, %until, "promised to accept no lease");
                Ok(())
            }
            Ok(Given::OnceStored(effect)) => {
                self.run_effects(effect.into_iter().collect());
                self.waiting.retain(|(_, reply)| !reply.is_closed());
                if self.waiting.len() < MAX_WAITING {
                    self.waiting.push((request, reply));
                }
                return;
            }
            Ok(Given::Freed) => {
                info!(peer = %request.appliance, "what was promised to older tokens is over");
                Err("there is nothing to promise".to_owned())
            }
            Err(why) => {
                info!(peer = %request.appliance, %why, "no promise");
                Err(why)
            }
        };
        let why = said.as_ref().err().cloned().unwrap_or_default();
        let ours = stranger(self.group.as_deref(), &request.group, &request.appliance).is_none();
        // Tokens of different groups say nothing about each other.
        let token = if ours { self.lease.newest() } else { Token::NONE };
        // Whoever asked may have given up.
        let _ = reply.send(PromiseReply { promised: said.is_ok(), why, token });
    }

    fn promise(&mut self, now: Mono, request: &PromiseRequest) -> Result<Given, String> {
        if let Some(why) = stranger(self.group.as_deref(), &request.group, &request.appliance) {
            return Err(why.to_owned());
        }
        let Some(group) = self.group.clone() else { return Err("the group is not known".to_owned()) };
        let lasting = Duration::from_millis(request.for_ms);
        if lasting > ttl_of(&group) {
            return Err(format!(
                "{} ms is longer than the group's lease of {} ms",
                request.for_ms, group.ttl_ms
            ));
        }
        if !lasting.is_zero() {
            if self.stopping {
                return Err("this agent is stopping".to_owned());
            }
            if !self.maybe_up.is_empty() || self.maybe_open {
                return Err("virtual addresses may still be up here, or probe gates open".to_owned());
            }
            if let Some(fault) = &self.store_fault {
                return Err(format!("a promise could not be stored: {fault}"));
            }
        }
        let ask = Ask { token: request.token, lasting, drift_ppm: group.drift_ppm };
        self.lease.promise(now, ask).map_err(|refusal| refusal.to_string())
    }

    /// The disk is done, one way or the other.
    pub(super) fn on_promise_stored(&mut self, promised: Duration, stored: bool) {
        if stored {
            self.lease.on_promise_persisted(promised);
        } else {
            self.lease.on_promise_persist_failed();
        }
        for (request, reply) in std::mem::take(&mut self.waiting) {
            // Counted from now, or refused: the disk has failed, or a lease came first.
            self.on_asked(clock::now(), request, reply);
        }
    }
}

fn ttl_of(group: &AgentGroup) -> Duration {
    Duration::from_millis(group.ttl_ms)
}

//! The history as a chain: each event carries the digest of itself and of all before it.
//!
//! Whoever changes, removes, inserts or reorders an event of an exported history breaks the chain
//! from there on, which [`Chain::check`] finds with nothing but the events. It does not stop someone who
//! recomputes the whole rest: against that, compare the newest digest with what a coordinator
//! says, or with one that was written down.
//!
//! A digest covers an event's JSON form, whose fields stand in the order of the type. So the form
//! of what was recorded must never change: a new field is left out while it has its default.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::command::Actor;
use crate::event::{Event, EventBody, Level};
use crate::ids::{ApplianceName, GroupName, OperationId};
use crate::time::WallTime;

/// Keeps digests of other things apart, and later forms of this one.
const DOMAIN: &[u8] = b"pointsman history 1\0";

/// SHA-256 (FIPS 180-4). Text is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The end of the chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// How many events there have been.
    pub count: u64,
    /// The digest of the newest; zeros before the first.
    pub head: Digest,
}

/// An event's place in the chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// From 1, without a gap.
    pub number: u64,
    /// The digest of the event before; zeros for the first.
    pub previous: Digest,
    /// The digest of this one.
    pub digest: Digest,
}

/// Why an event does not continue the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Events are missing, doubled or in another order.
    #[error("event {found} stands where event {expected} belongs")]
    Number {
        /// That continues the chain.
        expected: u64,
        /// That stands there.
        found: u64,
    },
    /// The event before is not the one that this one was recorded after.
    #[error("event {number} was recorded after another event than the one before it")]
    Previous {
        /// The event's.
        number: u64,
    },
    /// The event is not what was recorded.
    #[error("event {number} is not what was recorded: its digest is another")]
    Content {
        /// The event's.
        number: u64,
    },
}

impl Chain {
    /// Gives an event its place at the end.
    pub fn append(&mut self, event: &mut Event) {
        let number = self.count + 1;
        let digest = digest(number, &self.head, event);
        event.link = Link { number, previous: self.head, digest };
        *self = Chain { count: number, head: digest };
    }

    /// Where the chain stands before `event`, on the event's own word.
    pub fn before(event: &Event) -> Chain {
        Chain { count: event.link.number.saturating_sub(1), head: event.link.previous }
    }

    /// Whether `event` is what came next; goes on to it.
    ///
    /// # Errors
    /// [`Broken`]: the chain stays where it is.
    pub fn check(&mut self, event: &Event) -> Result<(), Broken> {
        let Link { number, previous, digest: claimed } = event.link;
        if Some(number) != self.count.checked_add(1) {
            return Err(Broken::Number { expected: self.count.saturating_add(1), found: number });
        }
        if previous != self.head {
            return Err(Broken::Previous { number });
        }
        if digest(number, &previous, event) != claimed {
            return Err(Broken::Content { number });
        }
        *self = Chain { count: number, head: claimed };
        Ok(())
    }
}

/// What a digest covers of an event.
#[derive(Serialize)]
struct Covered<'a> {
    index: u64,
    seq: u32,
    at: WallTime,
    actor: &'a Actor,
    level: Level,
    group: &'a Option<GroupName>,
    appliance: &'a Option<ApplianceName>,
    operation: &'a Option<OperationId>,
    body: &'a EventBody,
}

fn digest(number: u64, previous: &Digest, event: &Event) -> Digest {
    // A field added to the event must be covered too.
    let Event { index, seq, at, actor, level, group, appliance, operation, body, link: _ } = event;
    let (index, seq, at, level) = (*index, *seq, *at, *level);
    let covered = Covered { index, seq, at, actor, level, group, appliance, operation, body };
    // Plain data always has a JSON form, which a test holds for every kind of event.
    let text = serde_json::to_vec(&covered).unwrap_or_default();
    let hash = Sha256::new().chain_update(DOMAIN).chain_update(previous.0).chain_update(number.to_be_bytes());
    Digest(hash.chain_update(text).finalize().into())
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(DigestError);
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(DigestError),
        };
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            Deserialize::deserialize(deserializer).map(Digest)
        }
    }
}

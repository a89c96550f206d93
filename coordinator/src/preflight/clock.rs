//! Whether two coordinators' clocks agree. No decision rests on it: leases and verdicts go by clocks
//! that only count. The history's times do, and so do tokens and certificates.

use coordinator_api::v1::{Check, CheckItem};
use coordinator_core::ids::NodeId;

use super::coordinator;

/// Half a second of difference and more is told, once it is certain.
const NOTICEABLE_MS: i64 = 500;

/// From here on clouds refuse signed requests, and certificates may seem not to be valid yet.
const HARMFUL_MS: i64 = 60_000;

/// One question and its answer, each end by its own wall clock, in Unix milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    pub(super) sent_ms: u64,
    pub(super) received_ms: u64,
    pub(super) answered_ms: u64,
    pub(super) back_ms: u64,
}

impl Exchange {
    /// How far the other clock is ahead, and by how much that may be wrong, in milliseconds: as
    /// in RFC 5905, section 8.
    fn offset(self) -> (i64, i64) {
        let between = |a: u64, b: u64| {
            let difference = i128::from(b) - i128::from(a);
            i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN / 4 } else { i64::MAX / 4 })
        };
        let (there, back) =
            (between(self.sent_ms, self.received_ms), between(self.back_ms, self.answered_ms));
        let away =
            between(self.sent_ms, self.back_ms).saturating_sub(between(self.received_ms, self.answered_ms));
        (there.saturating_add(back) / 2, away.max(0) / 2)
    }
}

pub(super) fn judge(node: NodeId, exchange: Exchange) -> CheckItem {
    let (offset, error) = exchange.offset();
    let certain = offset.saturating_abs().saturating_sub(error);
    let found = format!("its clock differs from the leader's by {offset} ms, give or take {error} ms");
    let advice = "have all coordinators keep time by the same source (NTP)";
    let what = coordinator(node);
    if certain >= HARMFUL_MS {
        CheckItem::fail(Check::Clock, what, found, advice)
    } else if certain >= NOTICEABLE_MS {
        CheckItem::warn(Check::Clock, what, found, advice)
    } else {
        CheckItem::pass(Check::Clock, what, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator_api::v1::CheckVerdict::{self, Fail, Pass, Warn};

    /// The other clock is ahead by `ahead`; the way takes 10 ms there and `back`.
    fn told(ahead: i64, back: u64) -> (CheckVerdict, String) {
        let at = |ms: u64| ms.checked_add_signed(ahead).unwrap();
        let (sent_ms, received_ms, answered_ms) = (1_000_000, at(1_000_010), at(1_003_010));
        let back_ms = 1_003_010 + back;
        let item = judge(NodeId(2), Exchange { sent_ms, received_ms, answered_ms, back_ms });
        (item.verdict, item.found)
    }

    #[test]
    fn the_difference_is_told_once_it_is_certain() {
        for (ahead, back, verdict) in [
            (0, 10, Pass),
            (-400, 10, Pass),
            (-600, 10, Warn),
            (600, 10, Warn),
            // A slow answer proves nothing.
            (600, 2_000, Pass),
            (59_000, 10, Warn),
            (61_000, 10, Fail),
            (-61_000, 10, Fail),
        ] {
            let (told, found) = told(ahead, back);
            assert_eq!(told, verdict, "{ahead} ms ahead, {back} ms back: {found}");
        }
        let (_, found) = told(600, 10);
        assert_eq!(found, "its clock differs from the leader's by 600 ms, give or take 10 ms");
    }
}

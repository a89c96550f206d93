//! What an operator was told is committed is in the log of every later leader.

use super::Oracle;
use crate::sim::raft::Raft;

pub(crate) const NAME: &str = "acknowledged-survive";

/// At the moment of the acknowledgement it is committed indeed.
pub(super) fn acknowledged(oracle: &Oracle, index: u64, term: u64) -> Result<(), String> {
    let at = usize::try_from(index).unwrap_or(usize::MAX).wrapping_sub(1);
    match oracle.log.get(at) {
        Some(entry) if entry.term == term => Ok(()),
        _ => Err(format!("entry {index} of term {term} was acknowledged and is not committed")),
    }
}

/// A node was elected: nothing that was committed in an earlier term is missing in its log. Votes
/// that arrive late may elect a leader of a term that is over; it knows less, and commits nothing.
pub(super) fn judge(oracle: &Oracle, raft: &Raft) -> Result<(), String> {
    let earlier = oracle.committed_in.partition_point(|term| *term < raft.term);
    for (index, term) in oracle.acknowledged.range(..=earlier as u64) {
        if raft.term_at(*index) != *term {
            return Err(format!("the new leader does not have entry {index}, which was acknowledged"));
        }
    }
    let Some(newest) = earlier.checked_sub(1).and_then(|at| oracle.log.get(at)) else { return Ok(()) };
    if raft.term_at(earlier as u64) == newest.term {
        return Ok(());
    }
    Err(format!("the new leader lacks the committed entry {earlier}"))
}

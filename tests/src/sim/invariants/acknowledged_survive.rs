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

/// A node was elected: nothing that was ever committed is missing in its log.
pub(super) fn judge(oracle: &Oracle, raft: &Raft) -> Result<(), String> {
    for (index, term) in &oracle.acknowledged {
        if raft.term_at(*index) != *term {
            return Err(format!("the new leader does not have entry {index}, which was acknowledged"));
        }
    }
    let newest = oracle.log.len() as u64;
    let term = oracle.log.last().map_or(0, |entry| entry.term);
    if raft.term_at(newest) == term {
        Ok(())
    } else {
        Err(format!("the new leader lacks the committed entry {newest}"))
    }
}

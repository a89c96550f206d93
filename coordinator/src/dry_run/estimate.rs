//! How long a move would take, by what earlier ones took.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator_api::v1::{MoveEstimate, StepEstimate, Timings};
use coordinator_core::state::{Ending, Group, State};

/// Of a move that would not be made.
pub(super) fn none() -> MoveEstimate {
    MoveEstimate { total: None, steps: Vec::new() }
}

/// From the completed operations that the state keeps: the group's own, and where those have no
/// step of a kind, all groups'. Steps run side by side, so the longest one counts.
pub(super) fn of(state: &State, group: &Group) -> MoveEstimate {
    let own = recorded(std::iter::once(group));
    let all = recorded(state.groups.values());
    let step = |binding: &coordinator_core::model::BindingSpec| {
        let kind = binding.kind.word();
        let took = own.get(kind).or_else(|| all.get(kind));
        StepEstimate {
            binding: binding.name.clone(),
            kind: kind.to_owned(),
            timings: took.and_then(|took| timings(took)),
        }
    };
    let steps: Vec<StepEstimate> = group.spec.bindings.iter().map(step).collect();
    let each: Option<Vec<Timings>> = steps.iter().map(|step| step.timings).collect();
    let total = each.filter(|each| !each.is_empty()).map(|each| Timings {
        samples: each.iter().map(|timings| timings.samples).min().unwrap_or(0),
        median_ms: each.iter().map(|timings| timings.median_ms).max().unwrap_or(0),
        worst_ms: each.iter().map(|timings| timings.worst_ms).max().unwrap_or(0),
    });
    MoveEstimate { total, steps }
}

/// From the start of each completed operation to the end of its steps, by kind of binding.
fn recorded<'a>(groups: impl Iterator<Item = &'a Group>) -> BTreeMap<&'static str, Vec<Duration>> {
    let mut took: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    for group in groups {
        let completed = group.ended.iter().filter(|o| matches!(o.ended, Some((_, Ending::Completed))));
        for operation in completed.filter(|operation| operation.from.is_some()) {
            for step in &operation.steps {
                let binding = group.spec.binding(&step.binding);
                if let (Some(binding), Some(done)) = (binding, step.done) {
                    took.entry(binding.kind.word()).or_default().push(done.since(operation.started));
                }
            }
        }
    }
    took
}

fn timings(took: &[Duration]) -> Option<Timings> {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let ms = |span: &Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Some(Timings {
        samples: u32::try_from(sorted.len()).unwrap_or(u32::MAX),
        median_ms: ms(sorted.get(sorted.len() / 2)?),
        worst_ms: ms(sorted.last()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_longest_count() {
        let took = |ms: &[u64]| timings(&ms.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>());
        assert_eq!(took(&[]), None);
        let one = Timings { samples: 1, median_ms: 7, worst_ms: 7 };
        assert_eq!(took(&[7]), Some(one));
        let three = Timings { samples: 3, median_ms: 20, worst_ms: 90 };
        assert_eq!(took(&[90, 10, 20]), Some(three));
    }
}

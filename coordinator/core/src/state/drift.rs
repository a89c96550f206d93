//! What a cloud says that differs from the log.

use serde::{Deserialize, Serialize};

use crate::text::clip;

/// Differences kept of one binding: more than any kind of binding can have at once.
pub const KEPT_DIFFERENCES: usize = 16;

/// How a binding is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// In one sentence, for instance `points at fw-b, should point at fw-a`.
    pub summary: String,
    /// Field by field, as far as the adapter can tell. At most [`KEPT_DIFFERENCES`].
    pub differences: Vec<Difference>,
}

impl Drift {
    /// As it goes into the log: bounded in number and in length.
    pub fn bounded(&self) -> Drift {
        let kept = self.differences.iter().take(KEPT_DIFFERENCES);
        let clipped = |d: &Difference| Difference {
            resource: clip(&d.resource),
            field: clip(&d.field),
            expected: clip(&d.expected),
            found: clip(&d.found),
        };
        Drift { summary: clip(&self.summary), differences: kept.map(clipped).collect() }
    }
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.summary)?;
        self.differences.iter().try_for_each(|difference| write!(f, "; {difference}"))
    }
}

/// One field of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The resource, by the adapter's own short id.
    pub resource: String,
    /// The path of the field in the resource's document.
    pub field: String,
    /// What stands there when the binding points at the active appliance; `nothing` for no field.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { resource, field, expected, found } = self;
        write!(f, "{resource}: {field} is {found}, should be {expected}")
    }
}

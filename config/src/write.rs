//! The files that `pointsman init` writes.

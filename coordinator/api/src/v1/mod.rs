//! The operator API, version 1.

//! The four roles as values.

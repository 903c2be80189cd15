//! Subjects, patterns, and how they match.

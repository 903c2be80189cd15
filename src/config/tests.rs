//! Golden tests: a configuration and what it comes to.

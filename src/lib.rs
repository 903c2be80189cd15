//! The broker around the data plane: configuration, process life, operations.

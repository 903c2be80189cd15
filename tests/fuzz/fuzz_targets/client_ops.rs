//! Operations of a client that arrive in pieces. The properties are in `ringbus_shard::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbus_shard::fuzz::client_ops(data));

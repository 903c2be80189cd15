//! First bytes of a client that may shake hands. The properties are in `ringbus_shard::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbus_shard::fuzz::sniff(data));

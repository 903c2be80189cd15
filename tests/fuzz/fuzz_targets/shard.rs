//! Two shards under arbitrary calls. The properties are in `ringbus_shard::sim::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbus_shard::sim::fuzz::fuzz_shard(data));

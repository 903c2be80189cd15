//! Configuration files. The properties are in `ringbus::config::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbus::config::fuzz::config(data));

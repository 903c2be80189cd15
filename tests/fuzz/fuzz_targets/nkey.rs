//! Keys, seeds and signatures. The properties are in `ringbus::auth::nkey::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbus::auth::nkey::fuzz(data));

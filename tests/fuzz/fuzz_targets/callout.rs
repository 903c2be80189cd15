//! Answers of services that decide who may connect, and what is sealed. The properties are in
//! `ringbus::auth::callout::fuzz` and `ringbus::auth::xkey::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbus::auth::callout::fuzz(data));

//! Permissions of a role, filled in. The properties are in `ringbus::auth::jwt::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbus::auth::jwt::fuzz::templates(data));

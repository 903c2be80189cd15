//! JWTs, and claims as if they were signed. The properties are in `ringbus::auth::jwt::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbus::auth::jwt::fuzz::jwt(data));

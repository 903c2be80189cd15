//! Files with a JWT, a seed, or both. The properties are in `ringbus::auth::jwt::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbus::auth::jwt::fuzz::creds(data));

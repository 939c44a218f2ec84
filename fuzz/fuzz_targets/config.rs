//! See `scimlite_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scimlite_fuzz::config::check(data));

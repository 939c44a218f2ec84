//! See `scimlite_fuzz::path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scimlite_fuzz::path::check(data));

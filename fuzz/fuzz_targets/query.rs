//! See `scimlite_fuzz::query`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scimlite_fuzz::query::check(data));

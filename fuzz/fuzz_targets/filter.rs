//! See `scimlite_fuzz::filter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scimlite_fuzz::filter::check(data));

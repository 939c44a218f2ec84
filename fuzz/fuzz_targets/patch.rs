//! See `scimlite_fuzz::patch`.
#![no_main]

mod json;

libfuzzer_sys::fuzz_target!(|data: &[u8]| scimlite_fuzz::patch::check(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    json::mutate(data, size, max_size, seed)
});

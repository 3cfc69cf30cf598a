#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| paillier_fuzz::packed(data));

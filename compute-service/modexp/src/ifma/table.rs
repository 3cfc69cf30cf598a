//! Table look-ups at secret indices.

use super::{LANES, Word};
use std::arch::x86_64::*;

/// `out` = in lane l, lane l of block `index[l]` of the table. Every block is read, whatever the indices.
pub(super) fn select(out: &mut [Word], table: &[Word], index: &[u64]) {
    /// `TILE` words of a block are kept in registers while the table is scanned.
    #[target_feature(enable = "avx512f")]
    fn run<const TILE: usize>(out: &mut [Word], table: &[Word], index: Word) {
        let index = load(&index);
        let width = out.len();
        for (tile, out) in out.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
            let mut sum = [_mm512_setzero_si512(); TILE];
            for (i, block) in (0i64..).zip(table.chunks_exact(width)) {
                let here = _mm512_cmpeq_epi64_mask(index, _mm512_set1_epi64(i));
                let words: &[Word; TILE] = block[tile * TILE..].first_chunk().expect("a tile of the block");
                for c in 0..TILE {
                    sum[c] = _mm512_mask_mov_epi64(sum[c], here, load(&words[c]));
                }
            }
            for c in 0..TILE {
                store(&mut out[c], sum[c]);
            }
        }
    }
    // SAFETY: words of this folder are in use only where its instructions exist.
    unsafe {
        match out.len() {
            length if length.is_multiple_of(10) => run::<10>(out, table, lanes(index)),
            _ => run::<2>(out, table, lanes(index)),
        }
    }
}

/// [`select`] for four blocks of `out`, with eight indices each: every block of the table is read once for all of them.
pub(super) fn select_four(out: &mut [Word], table: &[Word], index: &[u64]) {
    /// `TILE` words of four blocks are kept in registers while the table is scanned.
    #[target_feature(enable = "avx512f")]
    fn run<const TILE: usize>(out: &mut [Word], table: &[Word], index: [Word; 4]) {
        let index = [load(&index[0]), load(&index[1]), load(&index[2]), load(&index[3])];
        let width = out.len() / 4;
        for tile in (0..width).step_by(TILE) {
            let mut sum = [[_mm512_setzero_si512(); TILE]; 4];
            for (i, block) in (0i64..).zip(table.chunks_exact(width)) {
                let words: &[Word; TILE] = block[tile..].first_chunk().expect("a tile of the block");
                let here = index.map(|index| _mm512_cmpeq_epi64_mask(index, _mm512_set1_epi64(i)));
                for c in 0..TILE {
                    let word = load(&words[c]);
                    for (sum, here) in sum.iter_mut().zip(here) {
                        sum[c] = _mm512_mask_mov_epi64(sum[c], here, word);
                    }
                }
            }
            for (sum, out) in sum.iter().zip(out.chunks_exact_mut(width)) {
                for c in 0..TILE {
                    store(&mut out[tile + c], sum[c]);
                }
            }
        }
    }
    assert_eq!(index.len(), 4 * LANES, "four blocks");
    let index = std::array::from_fn(|i| lanes(&index[LANES * i..]));
    // SAFETY: words of this folder are in use only where its instructions exist.
    unsafe {
        match out.len() / 4 {
            width if width.is_multiple_of(5) => run::<5>(out, table, index),
            _ => run::<2>(out, table, index),
        }
    }
}

/// For each lane and digit, the blocks' digits in a row, so that a register holds eight entries of one lane.
pub(super) fn share(blocks: &[Word], width: usize, lanes: usize) -> Vec<Vec<Word>> {
    let mut tables: Vec<Vec<Word>> = (0..lanes).map(|_| Vec::with_capacity(blocks.len() / LANES)).collect();
    for digit in 0..width {
        for eight in blocks.chunks_exact(LANES * width) {
            let eight: [Word; LANES] = std::array::from_fn(|entry| eight[entry * width + digit]);
            for (lane, table) in tables.iter_mut().enumerate() {
                table.push(Word(std::array::from_fn(|entry| eight[entry].0[lane])));
            }
        }
    }
    tables
}

/// `out` = in lane l, entry `index[l]` of a table made by [`share`], of a multiple of 16 entries. All of the table is
/// read; within registers, a permutation picks for each lane.
pub(super) fn select_shared(out: &mut [Word], table: &[Word], entries: usize, index: &[u64]) {
    #[target_feature(enable = "avx512f")]
    fn run(out: &mut [Word], table: &[Word], entries: usize, index: Word) {
        let index = load(&index);
        // vpermt2q looks at the lowest four bits of an index.
        let sixteenth = _mm512_srli_epi64::<4>(index);
        for (out, digit) in out.iter_mut().zip(table.chunks_exact(entries / LANES)) {
            let mut picked = _mm512_setzero_si512();
            for (i, pair) in (0i64..).zip(digit.chunks_exact(2)) {
                let here = _mm512_cmpeq_epi64_mask(sixteenth, _mm512_set1_epi64(i));
                let candidate = _mm512_permutex2var_epi64(load(&pair[0]), index, load(&pair[1]));
                picked = _mm512_mask_mov_epi64(picked, here, candidate);
            }
            store(out, picked);
        }
    }
    assert!(entries.is_multiple_of(2 * LANES) && table.len() == out.len() * (entries / LANES));
    // SAFETY: words of this folder are in use only where its instructions exist.
    unsafe { run(out, table, entries, lanes(index)) }
}

fn lanes(index: &[u64]) -> Word {
    Word(std::array::from_fn(|l| index[l]))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(word: &Word) -> __m512i {
    // SAFETY: a word is 64 aligned bytes.
    unsafe { _mm512_load_si512(std::ptr::from_ref(word).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(word: &mut Word, value: __m512i) {
    // SAFETY: a word is 64 aligned bytes.
    unsafe { _mm512_store_si512(std::ptr::from_mut(word).cast(), value) }
}

//! Table look-ups at secret indices.

use super::digit::{LANES, Word};
use std::arch::x86_64::*;

/// Words of a block that are kept in registers while the table is scanned; widths are multiples of it.
const TILE: usize = 4;
/// The most entries of a table.
const MAX_ENTRIES: usize = 1 << 5;

/// For each index i, all ones in the lanes whose index it is, else zeros.
#[inline]
#[target_feature(enable = "avx2")]
fn masks(index: &[u64]) -> [__m256i; MAX_ENTRIES] {
    let index = Word::from(std::array::from_fn(|l| index[l])).0;
    let mut masks = [_mm256_setzero_si256(); MAX_ENTRIES];
    for (i, mask) in (0i64..).zip(&mut masks) {
        *mask = _mm256_cmpeq_epi64(index, _mm256_set1_epi64x(i));
    }
    masks
}

/// `out` = in lane l, lane l of block `index[l]` of the table. Every block is read, whatever the indices.
pub(super) fn select(out: &mut [Word], table: &[Word], index: &[u64]) {
    #[target_feature(enable = "avx2")]
    fn run(out: &mut [Word], table: &[Word], index: &[u64]) {
        let masks = masks(index);
        let width = out.len();
        for (tile, out) in out.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
            let mut sum = [_mm256_setzero_si256(); TILE];
            for (block, mask) in table.chunks_exact(width).zip(masks) {
                let words: &[Word; TILE] = block[tile * TILE..].first_chunk().expect("a tile of the block");
                for c in 0..TILE {
                    sum[c] = _mm256_or_si256(sum[c], _mm256_and_si256(words[c].0, mask));
                }
            }
            *out = sum.map(Word);
        }
    }
    // SAFETY: words of this folder are in use only where its instructions exist.
    unsafe { run(out, table, index) }
}

/// For each lane the blocks' digits one after the other, four in a word.
pub(super) fn share(blocks: &[Word], _width: usize, lanes: usize) -> Vec<Vec<Word>> {
    let digit = |word: &Word, lane: usize| word.as_ref()[lane];
    let four = |four: &[Word; LANES], lane| four.each_ref().map(|word| digit(word, lane)).into();
    let table = |lane| blocks.as_chunks::<LANES>().0.iter().map(|words| four(words, lane)).collect();
    (0..lanes).map(table).collect()
}

/// `out` = in lane l, entry `index[l]` of a table made by [`share`]. All of the table is read.
pub(super) fn select_shared(out: &mut [Word], table: &[Word], entries: usize, index: &[u64]) {
    #[target_feature(enable = "avx2")]
    fn run(out: &mut [Word], table: &[Word], index: &[u64]) {
        let masks = masks(index);
        let width = out.len() / LANES;
        for (four, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut sum = [_mm256_setzero_si256(); LANES];
            for (entry, mask) in table.chunks_exact(width).zip(masks) {
                let digits = entry[four].as_ref();
                for c in 0..LANES {
                    let digit = _mm256_set1_epi64x(digits[c] as i64);
                    sum[c] = _mm256_or_si256(sum[c], _mm256_and_si256(digit, mask));
                }
            }
            *out = sum.map(Word);
        }
    }
    assert!(table.len() * LANES == out.len() * entries && entries <= MAX_ENTRIES);
    // SAFETY: words of this folder are in use only where its instructions exist.
    unsafe { run(out, table, index) }
}

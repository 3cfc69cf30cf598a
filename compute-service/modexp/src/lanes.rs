//! Residues side by side: moving them in and out of lanes, and table access at public indices.

/// A digit of each of some residues side by side.
pub(crate) trait Lanes: Copy + Default + AsRef<[u64]> + AsMut<[u64]> {}

impl<W: Copy + Default + AsRef<[u64]> + AsMut<[u64]>> Lanes for W {}

/// The same digits in every lane.
pub(crate) fn broadcast<W: Lanes>(digits: &[u64]) -> Vec<W> {
    let mut words = vec![W::default(); digits.len()];
    for (word, &digit) in words.iter_mut().zip(digits) {
        word.as_mut().fill(digit);
    }
    words
}

/// `out` = in lane l, lane l of block `index[l]` of the table.
pub(crate) fn pick<W: Lanes>(out: &mut [W], table: &[W], index: &[usize]) {
    let width = out.len();
    if index.iter().all(|&i| i == index[0]) {
        return out.copy_from_slice(&table[index[0] * width..][..width]);
    }
    for (lane, &i) in index.iter().enumerate() {
        for (out, word) in out.iter_mut().zip(&table[i * width..][..width]) {
            out.as_mut()[lane] = word.as_ref()[lane];
        }
    }
}

/// Writes each lane of `block` to block `index[lane]` of the table.
pub(crate) fn put<W: Lanes>(table: &mut [W], index: &[usize], block: &[W]) {
    let width = block.len();
    if index.iter().all(|&i| i == index[0]) {
        return table[index[0] * width..][..width].copy_from_slice(block);
    }
    for (lane, &i) in index.iter().enumerate() {
        for (word, from) in table[i * width..][..width].iter_mut().zip(block) {
            word.as_mut()[lane] = from.as_ref()[lane];
        }
    }
}

/// Residues into lanes; further lanes become 0.
pub(crate) fn gather<'a, W: Lanes>(out: &mut [W], residues: impl Iterator<Item = &'a [u64]>) {
    let mut used = 0;
    for (lane, digits) in residues.enumerate() {
        assert!(
            digits.len() == out.len() && lane < W::default().as_ref().len(),
            "residue of another modulus, or too many"
        );
        for (word, &digit) in out.iter_mut().zip(digits) {
            word.as_mut()[lane] = digit;
        }
        used = lane + 1;
    }
    for word in out {
        word.as_mut()[used..].fill(0);
    }
}

/// The digits in one lane.
pub(crate) fn scatter<W: Lanes>(block: &[W], lane: usize) -> Vec<u64> {
    block.iter().map(|word| word.as_ref()[lane]).collect()
}

//! What a range query saw: one read after the other, or for long ranges the top of a Merkle tree over them.

use fabric_protos::kvrwset::range_query_info::ReadsInfo;
use fabric_protos::kvrwset::{KvRead, QueryReads, QueryReadsMerkleSummary};
use prost::Message;
use sha2::{Digest, Sha256};

/// Reads beyond this number are summarised by peers, so many nodes at a time.
const MAX_DEGREE: u32 = 50;

/// The record that a peer makes of these reads.
pub fn record(reads: Vec<KvRead>) -> Option<ReadsInfo> {
    match summary(&reads, MAX_DEGREE) {
        Some(summary) => Some(ReadsInfo::ReadsMerkleHashes(summary)),
        None if reads.is_empty() => None,
        None => Some(ReadsInfo::RawReads(QueryReads { kv_reads: reads })),
    }
}

/// Whether these are the reads that the record was made of.
pub fn is_of(recorded: Option<&ReadsInfo>, reads: &[KvRead]) -> bool {
    match recorded {
        None => reads.is_empty(),
        Some(ReadsInfo::RawReads(recorded)) => recorded.kv_reads == reads,
        // A tree of a smaller degree has no height; no peer makes one.
        Some(ReadsInfo::ReadsMerkleHashes(recorded)) => {
            recorded.max_degree >= 2 && summary(reads, recorded.max_degree).as_ref() == Some(recorded)
        }
    }
}

/// The tree over the reads, cut at its highest level; none when there are not more than `degree`.
fn summary(reads: &[KvRead], degree: u32) -> Option<QueryReadsMerkleSummary> {
    let degree_len = degree as usize;
    if reads.len() <= degree_len {
        return None;
    }
    let mut tree = Tree { degree: degree_len, levels: vec![Vec::new()] };
    // A leaf takes one read more than an inner node takes nodes, as peers have it.
    for leaf in reads.chunks(degree_len.saturating_add(1)) {
        tree.add(Sha256::digest(QueryReads { kv_reads: leaf.to_vec() }.encode_to_vec()).to_vec());
    }
    tree.close();
    let max_level = u32::try_from(tree.levels.len()).unwrap_or(u32::MAX);
    let max_level_hashes = tree.levels.pop().unwrap_or_default();
    Some(QueryReadsMerkleSummary { max_degree: degree, max_level, max_level_hashes })
}

/// Nodes whose parents are not made yet, the leaves' level first.
struct Tree {
    degree: usize,
    levels: Vec<Vec<Vec<u8>>>,
}

impl Tree {
    fn add(&mut self, leaf: Vec<u8>) {
        self.levels[0].push(leaf);
        let mut level = 0;
        while self.levels[level].len() > self.degree {
            let nodes = std::mem::take(&mut self.levels[level]);
            level += 1;
            self.push(level, parent(&nodes));
        }
    }

    /// Carries what is left below up to the highest level.
    fn close(&mut self) {
        for level in 0..self.levels.len() - 1 {
            let mut nodes = std::mem::take(&mut self.levels[level]);
            match nodes.len() {
                0 => {}
                1 => self.levels[level + 1].push(nodes.remove(0)),
                _ => self.levels[level + 1].push(parent(&nodes)),
            }
        }
        let top = self.levels.len() - 1;
        if self.levels[top].len() > self.degree {
            let nodes = std::mem::take(&mut self.levels[top]);
            self.push(top + 1, parent(&nodes));
        }
    }

    fn push(&mut self, level: usize, node: Vec<u8>) {
        if level == self.levels.len() {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(node);
    }
}

fn parent(nodes: &[Vec<u8>]) -> Vec<u8> {
    Sha256::digest(nodes.concat()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(count: usize) -> Vec<KvRead> {
        (0..count).map(|i| KvRead { key: format!("k{i:06}"), version: None }).collect()
    }

    #[test]
    fn long_ranges_are_summarised_and_told_apart() {
        assert_eq!(record(Vec::new()), None);
        assert!(matches!(record(reads(50)), Some(ReadsInfo::RawReads(_))));
        for count in [51, 52, 102, 51 * 50, 51 * 50 + 1, 51 * 51 + 7, 140_000] {
            let recorded = record(reads(count));
            let Some(ReadsInfo::ReadsMerkleHashes(summary)) = &recorded else { panic!("{count} raw") };
            assert!(summary.max_level_hashes.len() <= 50, "{count}");
            assert!(is_of(recorded.as_ref(), &reads(count)), "{count}");
            assert!(!is_of(recorded.as_ref(), &reads(count - 1)), "{count}");
            let mut other = reads(count);
            other[count / 2].key.push('x');
            assert!(!is_of(recorded.as_ref(), &other), "{count}");
        }
    }

    #[test]
    fn levels_grow_with_the_number_of_leaves() {
        let level = |count| {
            summary(&reads(count), 2).map(|summary| (summary.max_level, summary.max_level_hashes.len()))
        };
        assert_eq!(level(2), None);
        // Leaves of three reads; three nodes make a parent.
        assert_eq!(level(3), Some((1, 1)));
        assert_eq!(level(6), Some((1, 2)));
        assert_eq!(level(7), Some((2, 1)));
        assert_eq!(level(10), Some((2, 2)));
    }

    #[test]
    fn a_degree_without_a_tree_is_refused() {
        for max_degree in [0, 1] {
            let recorded = QueryReadsMerkleSummary { max_degree, ..Default::default() };
            assert!(!is_of(Some(&ReadsInfo::ReadsMerkleHashes(recorded)), &reads(3)));
        }
    }
}

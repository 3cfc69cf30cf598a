use records::JobId;
use sha2::{Digest, Sha256};

/// SHA-256 over a purpose, the job and parts, each with its length, so that no two different lists of parts are the same
/// bytes.
pub fn digest<P: AsRef<[u8]>>(purpose: &str, job: &JobId, parts: impl IntoIterator<Item = P>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    // Named after the first protocol that had such digests; the randomness of jobs under way depends on it.
    part(b"confab svm");
    part(purpose.as_bytes());
    part(job.to_string().as_bytes());
    parts.into_iter().for_each(|bytes| part(bytes.as_ref()));
    hash.finalize().into()
}

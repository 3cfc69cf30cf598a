//! PEM: the one reading of it, for certificates of others and for files.
//!
//! What is accepted here Go's `encoding/pem` decodes to the same first block: peers judge a creator by that block, and
//! whoever read another one would take somebody else for the caller.

use base64::{Engine, prelude::BASE64_STANDARD};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A block between its marks; what is in it is not decoded yet.
pub struct Block<'a> {
    pub label: &'a [u8],
    body: &'a [u8],
}

impl<'a> Block<'a> {
    /// The first block of a text, and what follows it; `None` where none begins.
    pub fn first(text: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, &'static str> {
        let Some(at) = find(text, BEGIN) else { return Ok(None) };
        if at > 0 && text[at - 1] != b'\n' {
            return Err("PEM does not begin at the start of a line");
        }
        let (label, rest) = line(&text[at + BEGIN.len()..]);
        let label = label.strip_suffix(DASHES).ok_or("the first line of PEM is damaged")?;
        let end = match rest.starts_with(END) {
            true => 0,
            false => 1 + find(rest, b"\n-----END ").ok_or("PEM has no end")?,
        };
        let (last, after) = line(&rest[end..]);
        // The blank at the end of the mark may be gone, with those of its line.
        if last.strip_prefix(END).and_then(|last| last.strip_suffix(DASHES)) != Some(label) {
            return Err("the last line of PEM does not match the first");
        }
        Ok(Some((Self { label, body: &rest[..end] }, after)))
    }

    /// All blocks of a file.
    pub fn all(text: &'a [u8]) -> Result<Vec<Self>, &'static str> {
        let mut rest = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut blocks = Vec::new();
        while let Some((block, after)) = Self::first(rest)? {
            blocks.push(block);
            rest = after;
        }
        Ok(blocks)
    }

    pub fn is_certificate(&self) -> bool {
        self.label == b"CERTIFICATE"
    }

    /// The content. Headers are not understood.
    pub fn decode(&self) -> Result<Vec<u8>, &'static str> {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let digits: Vec<u8> = self.body.iter().copied().filter(|byte| !is_space(byte)).collect();
        BASE64_STANDARD.decode(digits).map_err(|_| "PEM is not Base64")
    }
}

/// A block as it leaves this process.
pub fn encode(label: &str, content: Vec<u8>) -> String {
    let config = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
    ::pem::encode_config(&::pem::Pem::new(label, content), config)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The first line without blanks at its end, and the rest.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match text.iter().position(|&byte| byte == b'\n') {
        Some(end) => (text[..end].strip_suffix(b"\r").unwrap_or(&text[..end]), &text[end + 1..]),
        None => (text, &text[text.len()..]),
    };
    let blanks = line.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    (&line[..line.len() - blanks], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Result<Option<Vec<u8>>, &'static str> {
        let Some((block, _)) = Block::first(text.as_bytes())? else { return Ok(None) };
        block.decode().map(Some)
    }

    #[test]
    fn one_block_is_read_in_its_legal_shapes() {
        for text in [
            "-----BEGIN X-----\nAQID\n-----END X-----\n",
            "-----BEGIN X-----\r\nAQ\r\nID\r\n-----END X-----",
            "a text before\n-----BEGIN X----- \t\n\n A Q\tI D\n\n-----END X----- \nand after -----BEGIN",
        ] {
            assert_eq!(first(text), Ok(Some(vec![1, 2, 3])), "{text:?}");
        }
        assert_eq!(first("-----BEGIN X-----\n-----END X-----"), Ok(Some(Vec::new())));
        assert_eq!(first("no block, ----BEGIN X"), Ok(None));
    }

    #[test]
    fn what_go_would_skip_is_refused() {
        for text in [
            "x-----BEGIN X-----\nAQID\n-----END X-----\n",
            "\u{feff}-----BEGIN X-----\nAQID\n-----END X-----\n",
            " -----BEGIN X-----\nAQID\n-----END X-----\n",
            "-----BEGIN X----\nAQID\n-----END X-----\n",
            "-----BEGIN X-----\nAQID\n-----END Y-----\n",
            "-----BEGIN X-----\nAQID\n-----END X----- z\n",
            "-----BEGIN X-----\nAQID-----END X-----\n",
            "-----BEGIN X-----\nAQID\n -----END X-----\n",
            "-----BEGIN X-----\nAQI\n-----END X-----\n",
            "-----BEGIN X-----\nA: b\n\nAQID\n-----END X-----\n",
            "-----BEGIN X-----\nAQID\n",
            "-----BEGIN X-----\nAQID\n-----END ",
            "-----BEGIN X-----\n-----END \n-----END X-----\n",
            "-----BEGIN X",
        ] {
            assert!(first(text).is_err(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(
            parts in proptest::collection::vec(0usize..12, 0..12),
            any in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..4),
        ) {
            let parts = parts.into_iter().map(|part| match part {
                0 | 1 => &b"-----BEGIN "[..],
                2 | 3 => b"-----END ",
                4 | 5 => b"-----",
                6 | 7 => b"X",
                8 | 9 => b"\n",
                10 => b" ",
                _ => &any,
            });
            let text = parts.collect::<Vec<_>>().concat();
            let blocks = Block::all(&text);
            let _ = blocks.map(|blocks| blocks.iter().map(Block::decode).filter(Result::is_ok).count());
        }
    }

    #[test]
    fn a_file_has_any_number_of_blocks() {
        let text = "\u{feff}-----BEGIN A-----\nAA==\n-----END A-----\nx\n-----BEGIN B-----\nk: v\n\n!\n-----END B-----";
        let blocks = Block::all(text.as_bytes()).unwrap();
        let labels: Vec<_> = blocks.iter().map(|block| block.label).collect();
        assert_eq!(labels, [b"A", b"B"]);
        assert!(blocks[0].decode().is_ok() && blocks[1].decode().is_err());
    }
}

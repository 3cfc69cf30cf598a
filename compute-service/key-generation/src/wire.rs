//! Numbers as bytes: big-endian, all of one width.

use num_bigint::BigUint;

/// # Panics
/// If a number is too long: widths follow from the job's parameters.
pub(crate) fn encode(numbers: &[BigUint], width: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(numbers.len() * width);
    for number in numbers {
        let digits = number.to_bytes_be();
        bytes.resize(bytes.len() + width.checked_sub(digits.len()).expect("the width is the job's"), 0);
        bytes.extend_from_slice(&digits);
    }
    bytes
}

pub(crate) fn decode(bytes: &[u8], width: usize) -> Option<Vec<BigUint>> {
    bytes.len().is_multiple_of(width).then(|| bytes.chunks(width).map(BigUint::from_bytes_be).collect())
}

/// Several messages one after the other, each after its length.
pub(crate) fn join(messages: &[Vec<u8>]) -> Vec<u8> {
    let with_length = |m: &Vec<u8>| [&(m.len() as u32).to_be_bytes()[..], m].concat();
    messages.iter().flat_map(with_length).collect()
}

pub(crate) fn split(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at_checked(4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        let (message, rest) = rest.split_at_checked(length)?;
        messages.push(message);
        bytes = rest;
    }
    Some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_messages_come_back() {
        let numbers: Vec<BigUint> = [0u32, 1, 255, 256, u32::MAX].map(BigUint::from).to_vec();
        assert_eq!(decode(&encode(&numbers, 5), 5), Some(numbers));
        assert_eq!(decode(&[1, 2, 3], 2), None);
        let messages = vec![vec![], vec![1], vec![2, 3]];
        assert_eq!(split(&join(&messages)).unwrap(), messages.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(split(&[0, 0, 0, 2, 1]), None);
        assert_eq!(split(&[0, 0, 0]), None);
    }
}

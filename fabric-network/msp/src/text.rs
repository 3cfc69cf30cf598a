//! Text files as tools leave them.

use zeroize::Zeroizing;

/// Bytes that are not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not text: neither UTF-8 nor UTF-16 with a byte order mark")]
pub struct NotText;

/// The text of a file: UTF-8, or UTF-16 with a byte order mark as Windows' shells write it; without the mark.
///
/// It may hold a private key, hence it is wiped.
///
/// # Errors
/// [`NotText`] for anything else.
pub fn decode(bytes: &[u8]) -> Result<Zeroizing<String>, NotText> {
    let (little_endian, units) = match bytes {
        [0xff, 0xfe, units @ ..] => (true, units),
        [0xfe, 0xff, units @ ..] => (false, units),
        [0xef, 0xbb, 0xbf, text @ ..] | text => {
            let text = std::str::from_utf8(text).map_err(|_| NotText)?;
            return Ok(Zeroizing::new(text.to_owned()));
        }
    };
    if units.len() % 2 != 0 {
        return Err(NotText);
    }
    let units = units.chunks_exact(2).map(|unit| match little_endian {
        true => u16::from_le_bytes([unit[0], unit[1]]),
        false => u16::from_be_bytes([unit[0], unit[1]]),
    });
    // Room for everything: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 3 / 2));
    for character in char::decode_utf16(units) {
        text.push(character.map_err(|_| NotText)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_dropped_and_utf_16_is_read() {
        let text = "{\"name\": \"Zürich 🙂\"}";
        let units: Vec<u16> = text.encode_utf16().collect();
        let wide = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
            mark.into_iter().chain(units.iter().flat_map(|&unit| bytes(unit))).collect::<Vec<u8>>()
        };
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            wide([0xff, 0xfe], u16::to_le_bytes),
            wide([0xfe, 0xff], u16::to_be_bytes),
        ] {
            assert_eq!(*decode(&bytes).unwrap(), text);
        }
        for bytes in [&b"\xff"[..], b"\xff\xfea", b"\xff\xfe\x00\xd8", b"caf\xe9"] {
            assert_eq!(decode(bytes), Err(NotText), "{bytes:?}");
        }
    }
}

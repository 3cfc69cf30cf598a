//! Composite keys in Fabric's format: U+0000, type, U+0000, then each attribute and U+0000.

use crate::StubError;

/// Starts composite keys and ends each of their parts.
const SEPARATOR: char = '\0';
/// Sorts after all that a part may hold, and thus ends the range of a prefix.
const LAST: char = char::MAX;

/// Joins a type and attributes to one key. Keys sort by type, then by attributes.
///
/// # Errors
/// [`StubError::Key`] where a part holds U+0000 or U+10FFFF.
pub fn composite_key<A: AsRef<str>>(object_type: &str, attributes: &[A]) -> Result<String, StubError> {
    let mut key = String::from(SEPARATOR);
    for part in std::iter::once(object_type).chain(attributes.iter().map(AsRef::as_ref)) {
        if part.contains([SEPARATOR, LAST]) {
            return Err(StubError::Key { key: part.into(), reason: "holds U+0000 or U+10FFFF" });
        }
        key.push_str(part);
        key.push(SEPARATOR);
    }
    Ok(key)
}

/// The type and the attributes of a composite key.
///
/// # Errors
/// [`StubError::Key`] where the key is not a composite one.
pub fn split_composite_key(key: &str) -> Result<(&str, Vec<&str>), StubError> {
    let mut parts = key
        .strip_prefix(SEPARATOR)
        .and_then(|rest| rest.strip_suffix(SEPARATOR))
        .ok_or_else(|| StubError::Key { key: key.into(), reason: "is not a composite key" })?
        .split(SEPARATOR);
    let object_type = parts.next().unwrap_or_default();
    Ok((object_type, parts.collect()))
}

/// The range of all keys that begin with these parts, the key of just these among them: from, included, to,
/// excluded.
pub(crate) fn composite_range<A: AsRef<str>>(
    object_type: &str,
    attributes: &[A],
) -> Result<(String, String), StubError> {
    let start = composite_key(object_type, attributes)?;
    let end = format!("{start}{LAST}");
    Ok((start, end))
}

/// The range of simple keys with the start that Fabric uses for an open one, so that no composite key
/// is ever in it.
pub(crate) fn simple_range<'a>(start: &'a str, end: &'a str) -> Result<(&'a str, &'a str), StubError> {
    for key in [start, end] {
        if key.starts_with(SEPARATOR) {
            return Err(StubError::Key { key: key.into(), reason: "starts with U+0000" });
        }
    }
    Ok((if start.is_empty() { "\u{1}" } else { start }, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_keys_have_fabrics_format_and_split_again() {
        let key = composite_key("record", &["job", "", "0000002a"]).unwrap();
        assert_eq!(key, "\0record\0job\0\x000000002a\0");
        assert_eq!(split_composite_key(&key).unwrap(), ("record", vec!["job", "", "0000002a"]));
        let bare = composite_key::<&str>("record", &[]).unwrap();
        assert_eq!(split_composite_key(&bare).unwrap(), ("record", vec![]));
    }

    #[test]
    fn separators_in_parts_are_refused() {
        for part in ["a\0", "\u{10ffff}"] {
            assert!(matches!(composite_key(part, &["x"]), Err(StubError::Key { .. })));
            assert!(matches!(composite_key("t", &["x", part]), Err(StubError::Key { .. })));
        }
        for key in ["", "plain", "\0", "\0open"] {
            assert!(matches!(split_composite_key(key), Err(StubError::Key { .. })), "{key:?}");
        }
    }

    #[test]
    fn a_range_holds_longer_keys_and_not_neighbours() {
        let (start, end) = composite_range("r", &["a"]).unwrap();
        let within = |key: &str| start.as_str() <= key && key < end.as_str();
        assert!(within(&composite_key("r", &["a", "b"]).unwrap()));
        assert!(within(&composite_key("r", &["a", "\u{10fffe}"]).unwrap()));
        assert!(!within(&composite_key("r", &["aa"]).unwrap()));
        assert!(!within(&composite_key("r", &["b"]).unwrap()));
    }

    #[test]
    fn simple_ranges_exclude_composite_keys() {
        assert_eq!(simple_range("", "").unwrap(), ("\u{1}", ""));
        assert!(simple_range("\0a", "b").is_err());
        assert!(simple_range("a", "\0b").is_err());
    }
}

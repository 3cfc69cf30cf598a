//! Things with fields as keys of the state: a key for the type and the names of the fields, and one for each field.

use fabric_protos::lifecycle::state_data::Type;
use fabric_protos::lifecycle::{StateData, StateMetadata};
use prost::Message;

/// Under which definitions are, and approvals of them.
pub const NAMESPACES: &str = "namespaces";
/// Under which it is from where an organisation has a chaincode.
pub const SOURCES: &str = "chaincode-sources";

/// The state as one reads it: nothing is empty.
pub type Read<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<u8>, String>;

pub fn metadata_key(under: &str, name: &str) -> String {
    format!("{under}/metadata/{name}")
}

pub fn field_key(under: &str, name: &str, field: &str) -> String {
    format!("{under}/fields/{name}/{field}")
}

/// Something with fields.
pub struct Record<const N: usize> {
    pub datatype: &'static str,
    pub fields: [(&'static str, Type); N],
}

impl<const N: usize> Record<N> {
    /// All its keys with their values.
    pub fn entries(&self, under: &str, name: &str) -> Vec<(String, Vec<u8>)> {
        let fields = self.fields.iter().map(|(field, value)| (field_key(under, name, field), encode(value)));
        let names = self.fields.iter().map(|(field, _)| field.to_string()).collect();
        let metadata = StateMetadata { datatype: self.datatype.into(), fields: names };
        fields.chain([(metadata_key(under, name), metadata.encode_to_vec())]).collect()
    }

    /// What has to be written so that it is in the state: nothing where it already is, no value deletes.
    pub fn changes(&self, under: &str, name: &str, read: Read<'_>) -> Result<Vec<(String, Vec<u8>)>, String> {
        let known = metadata(under, name, read)?.unwrap_or_default();
        let mut existing = Vec::new();
        for field in &known.fields {
            let key = field_key(under, name, field);
            existing.push((key.clone(), read(&key)?));
        }
        let mut changes = Vec::new();
        let mut entries = self.entries(under, name);
        let own = entries.pop();
        for (key, value) in entries {
            let found = existing.iter().position(|(known, _)| *known == key);
            let found = found.map(|found| existing.swap_remove(found).1);
            if found.as_ref() != Some(&value) {
                changes.push((key, value));
            }
        }
        if !existing.is_empty() || known.datatype != self.datatype || known.fields.len() != N {
            changes.extend(own);
        }
        changes.extend(existing.into_iter().map(|(key, _)| (key, Vec::new())));
        Ok(changes)
    }

    /// The names of the fields whose value differs from the one of this hash, or of the type where that does; empty
    /// when all is the same. `hash` gives the hash of a key's value, nothing is empty.
    pub fn differing(&self, under: &str, name: &str, hash: Read<'_>) -> Result<Vec<String>, String> {
        let entries = self.entries(under, name);
        let mut found = Vec::new();
        for (key, value) in &entries {
            found.push(hash(key)? == crate::simulation::hash(value));
        }
        if found.last() != Some(&true) {
            return Ok(vec![self.datatype.into()]);
        }
        let fields = self.fields.iter().zip(found).filter(|(_, same)| !same);
        Ok(fields.map(|((field, _), _)| field.to_string()).collect())
    }
}

/// The type of something; none where it is not there.
pub fn metadata(under: &str, name: &str, read: Read<'_>) -> Result<Option<StateMetadata>, String> {
    let bytes = read(&metadata_key(under, name))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let metadata = StateMetadata::decode(bytes.as_slice());
    metadata.map(Some).map_err(|e| format!("could not unmarshal metadata for namespace {under}/{name}: {e}"))
}

/// A number in a field; 0 where there is none.
pub fn number(under: &str, name: &str, field: &str, read: Read<'_>) -> Result<i64, String> {
    match value(under, name, field, read)? {
        None => Ok(0),
        Some(Type::Int64(number)) => Ok(number),
        Some(_) => Err(other(under, name, field, "Int64")),
    }
}

/// A text in a field; empty where there is none.
pub fn text(under: &str, name: &str, field: &str, read: Read<'_>) -> Result<String, String> {
    match value(under, name, field, read)? {
        None => Ok(String::new()),
        Some(Type::String(text)) => Ok(text),
        Some(_) => Err(other(under, name, field, "String")),
    }
}

/// A message in a field; the empty one where there is none.
pub fn message<M: Message + Default>(
    under: &str,
    name: &str,
    field: &str,
    read: Read<'_>,
) -> Result<M, String> {
    let bytes = match value(under, name, field, read)? {
        None => Vec::new(),
        Some(Type::Bytes(bytes)) => bytes,
        Some(_) => return Err(other(under, name, field, "[]byte")),
    };
    M::decode(bytes.as_slice())
        .map_err(|e| format!("could not unmarshal key {}: {e}", field_key(under, name, field)))
}

fn value(under: &str, name: &str, field: &str, read: Read<'_>) -> Result<Option<Type>, String> {
    let key = field_key(under, name, field);
    let data = StateData::decode(read(&key)?.as_slice());
    Ok(data.map_err(|e| format!("could not unmarshal state for key {key}: {e}"))?.r#type)
}

fn other(under: &str, name: &str, field: &str, wanted: &str) -> String {
    format!(
        "expected key {} to encode a value of type {wanted}, but it is another",
        field_key(under, name, field)
    )
}

fn encode(value: &Type) -> Vec<u8> {
    StateData { r#type: Some(value.clone()) }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn record(number: i64, text: &str) -> Record<2> {
        Record {
            datatype: "Pair",
            fields: [("Number", Type::Int64(number)), ("Text", Type::String(text.into()))],
        }
    }

    #[test]
    fn only_what_changed_is_written_and_can_be_read_again() {
        let mut state = BTreeMap::new();
        let changes = |state: &BTreeMap<String, Vec<u8>>, record: Record<2>| {
            record.changes("n", "x", &mut |key| Ok(state.get(key).cloned().unwrap_or_default())).unwrap()
        };
        state.extend(changes(&state, record(1, "a")));
        let keys: Vec<_> = state.keys().map(String::as_str).collect();
        assert_eq!(keys, ["n/fields/x/Number", "n/fields/x/Text", "n/metadata/x"]);
        assert!(changes(&state, record(1, "a")).is_empty());
        let second = changes(&state, record(1, "b"));
        assert_eq!(second.len(), 1);
        state.extend(second);
        let mut read = |key: &str| Ok(state.get(key).cloned().unwrap_or_default());
        assert_eq!(text("n", "x", "Text", &mut read).unwrap(), "b");
        assert_eq!(number("n", "x", "Number", &mut read).unwrap(), 1);
        assert_eq!(number("n", "y", "Number", &mut read).unwrap(), 0);
        assert!(number("n", "x", "Text", &mut read).is_err());

        let mut hash = |key: &str| Ok(state.get(key).map(|v| crate::simulation::hash(v)).unwrap_or_default());
        assert_eq!(record(1, "b").differing("n", "x", &mut hash).unwrap(), [""; 0]);
        assert_eq!(record(2, "b").differing("n", "x", &mut hash).unwrap(), ["Number"]);
        assert_eq!(record(2, "b").differing("n", "y", &mut hash).unwrap(), ["Pair"]);
    }

    #[test]
    fn fields_that_are_gone_are_deleted() {
        let more = Record { datatype: "More", fields: [("A", Type::Int64(1)), ("B", Type::Int64(2))] };
        let state: BTreeMap<_, _> = more.entries("n", "x").into_iter().collect();
        let less = Record { datatype: "Less", fields: [("A", Type::Int64(1))] };
        let changes =
            less.changes("n", "x", &mut |key| Ok(state.get(key).cloned().unwrap_or_default())).unwrap();
        let keys: Vec<_> = changes.iter().map(|(key, value)| (key.as_str(), value.is_empty())).collect();
        assert_eq!(keys, [("n/metadata/x", false), ("n/fields/x/B", true)]);
    }
}

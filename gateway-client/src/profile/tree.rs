//! What a profile says, before it is known what it means.

use serde::Deserialize;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// JSON or YAML with texts that are wiped, for some are private keys; errors never quote them.
///
/// Tools leave `null`, `""`, `[]` and `{}` where they have nothing to say: all of them count as absent.
pub enum Tree {
    Nothing,
    /// Numbers and truth values too, as they are written in text.
    Text(Zeroizing<String>),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    /// Reads JSON, or YAML where the text does not look like it or is only nearly that.
    pub fn parse(text: &str) -> Result<Self, String> {
        let yaml = || {
            // Without quotations of the text: it may hold a key.
            let options = serde_saphyr::options! { with_snippet: false };
            serde_saphyr::from_str_with_options(text, options)
        };
        let tree = match text.trim_start().starts_with(['{', '[']) {
            true => match serde_json::from_str(text) {
                Ok(tree) => tree,
                Err(json) => yaml().map_err(|_| format!("not JSON: {json}"))?,
            },
            false => yaml().map_err(|yaml| format!("neither JSON nor YAML: {yaml}"))?,
        };
        match tree {
            Self::Map(_) => Ok(tree),
            _ => Err("not a connection profile: sections such as \"organizations\" are expected".into()),
        }
    }

    /// The member of this name. As in the Go SDK, upper and lower case may differ.
    pub fn get(&self, name: &str) -> &Self {
        let Self::Map(members) = self else { return &Self::Nothing };
        let alike = || members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        members.get(name).or_else(alike).unwrap_or(&Self::Nothing)
    }

    /// The member at the end of a path.
    pub fn at(&self, path: &[&str]) -> &Self {
        path.iter().fold(self, |tree, name| tree.get(name))
    }

    /// Whether nothing is said, however that is written.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::List(items) => items.iter().all(Self::is_empty),
            Self::Map(members) => members.values().all(Self::is_empty),
        }
    }

    /// A text that is not blank, trimmed.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// The texts of a list, or the only one.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::List(items) => items.iter().filter_map(Self::text).collect(),
            other => other.text().into_iter().collect(),
        }
    }

    /// The members with their names.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = match self {
            Self::Map(members) => Some(members),
            _ => None,
        };
        members.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

fn text(value: impl ToString) -> Tree {
    Tree::Text(Zeroizing::new(value.to_string()))
}

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section, a list or a text")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Nothing)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(text(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(text(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(text(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(text(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(text(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(Zeroizing::new(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, value)) = members.next_entry::<Tree, Tree>()? {
            // A name may look like a number or a truth value in YAML.
            map.insert(name.text().unwrap_or_default().to_owned(), value);
        }
        Ok(Tree::Map(map))
    }
}

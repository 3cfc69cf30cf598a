//! What every function needs: its arguments, parsed and bounded, and refusals.

use crate::{Caller, ContractError, WorldState};
use records::{Code, MAX_PAGE, MAX_PAGE_BYTES, MAX_RECORD_BYTES, Page, Refusal};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt::Display, str::FromStr};

pub(crate) type Answer = Result<Vec<u8>, ContractError>;

pub(crate) fn refuse<T>(code: Code, detail: impl Into<String>) -> Result<T, ContractError> {
    Err(Refusal::new(code, detail).into())
}

pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records hold only strings, integers and arrays")
}

pub(crate) fn stored<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ContractError> {
    serde_json::from_slice(bytes).map_err(|e| ContractError::State(format!("stored value: {e}")))
}

/// One call: who, when, with what.
pub(crate) struct Call<'a> {
    pub(crate) caller: &'a Caller,
    /// Seconds since 1970 of the transaction.
    pub(crate) now: u64,
    pub(crate) args: &'a [Vec<u8>],
}

impl Call<'_> {
    pub(crate) fn bytes(&self, index: usize, name: &str) -> Result<&[u8], ContractError> {
        match self.args.get(index) {
            Some(bytes) if bytes.len() <= MAX_RECORD_BYTES => Ok(bytes),
            Some(bytes) => refuse(
                Code::BadInput,
                format!("{name}: {} bytes are more than {MAX_RECORD_BYTES}", bytes.len()),
            ),
            None => refuse(Code::BadInput, format!("argument {} ({name}) is missing", index + 1)),
        }
    }

    pub(crate) fn text(&self, index: usize, name: &str) -> Result<&str, ContractError> {
        match std::str::from_utf8(self.bytes(index, name)?) {
            Ok(text) => Ok(text),
            Err(_) => refuse(Code::BadInput, format!("{name}: not UTF-8")),
        }
    }

    /// An argument whose type says what its text may be: a digest, the name of a job.
    pub(crate) fn named<T: FromStr<Err: Display>>(
        &self,
        index: usize,
        name: &str,
    ) -> Result<T, ContractError> {
        match self.text(index, name)?.parse() {
            Ok(value) => Ok(value),
            Err(e) => refuse(Code::BadInput, format!("{name}: {e}")),
        }
    }

    pub(crate) fn number(&self, index: usize, name: &str) -> Result<u32, ContractError> {
        match self.text(index, name)?.parse() {
            Ok(number) => Ok(number),
            Err(_) => refuse(Code::BadInput, format!("{name}: not a number")),
        }
    }

    /// A page of a range, whose size and bookmark are the arguments from `index` on; the first of full size where there are
    /// none. It is made smaller where its entries are large.
    pub(crate) fn page<T: Serialize>(
        &self,
        world: &mut dyn WorldState,
        kind: &str,
        attributes: &[&str],
        index: usize,
        mut entry: impl FnMut(&mut dyn WorldState, &[u8]) -> Result<T, ContractError>,
    ) -> Answer {
        let (mut size, bookmark) = match self.args.len() > index {
            true => (self.number(index, "size of the page")?, self.text(index + 1, "bookmark")?),
            false => (MAX_PAGE, ""),
        };
        if !(1..=MAX_PAGE).contains(&size) {
            return refuse(Code::BadInput, format!("size of the page: not in 1..={MAX_PAGE}"));
        }
        loop {
            let page = world.page(kind, attributes, size, bookmark)?;
            let bytes: usize = page.values.iter().map(Vec::len).sum();
            if size == 1 || bytes <= MAX_PAGE_BYTES {
                let entries =
                    page.values.iter().map(|value| entry(world, value)).collect::<Result<_, _>>()?;
                return Ok(json(&Page { entries, bookmark: page.bookmark }));
            }
            // So many are sure to fit that are like these; at least half of them are left out.
            let fitting = MAX_PAGE_BYTES * page.values.len() / bytes;
            size = (fitting as u32).clamp(1, size / 2);
        }
    }

    pub(crate) fn parsed<T: DeserializeOwned>(&self, index: usize, name: &str) -> Result<T, ContractError> {
        match serde_json::from_slice(self.bytes(index, name)?) {
            Ok(value) => Ok(value),
            Err(e) => refuse(Code::BadInput, format!("{name}: {e}")),
        }
    }
}

/// Values of exact keys.
pub(crate) fn read<const N: usize>(
    world: &mut dyn WorldState,
    keys: [String; N],
) -> Result<[Option<Vec<u8>>; N], ContractError> {
    let values = world.get(&keys)?;
    values
        .try_into()
        .map_err(|_| ContractError::State("a read answered with another number of values".into()))
}

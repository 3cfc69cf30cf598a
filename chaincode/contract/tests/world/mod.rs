//! A world state in memory, and calls on it.

// Every test binary uses a part of it.
#![allow(dead_code)]

use contract::{Caller, Failure, StatePage, WorldState, invoke};
use records::{Code, Refusal, key};
use std::collections::BTreeMap;

#[derive(Default, Clone)]
pub struct World {
    pub committed: BTreeMap<String, Vec<u8>>,
    writes: BTreeMap<String, Vec<u8>>,
}

impl WorldState for World {
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        Ok(keys.iter().map(|key| self.committed.get(key).cloned()).collect())
    }

    fn list(&mut self, kind: &str, attributes: &[&str]) -> Result<Vec<Vec<u8>>, Failure> {
        let all = self.page(kind, attributes, u32::MAX, "")?;
        Ok(all.values)
    }

    fn page(
        &mut self,
        kind: &str,
        attributes: &[&str],
        size: u32,
        bookmark: &str,
    ) -> Result<StatePage, Failure> {
        let begins = |key: &str| key[1..].split('\0').skip(1).zip(attributes).all(|(a, b)| a == *b);
        let of_kind = self.committed.range(bookmark.to_owned()..);
        let mut of_kind = of_kind.filter(|(k, _)| key::kind(k) == Some(kind) && begins(k));
        let values = of_kind.by_ref().take(size as usize).map(|(_, value)| value.clone()).collect();
        Ok(StatePage { values, bookmark: of_kind.next().map(|(key, _)| key.clone()).unwrap_or_default() })
    }

    fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), Failure> {
        self.writes.insert(key.into(), value);
        Ok(())
    }

    fn event(&mut self, _: &str, _: Vec<u8>) -> Result<(), Failure> {
        Ok(())
    }
}

impl World {
    pub fn call(&mut self, org: u32, function: &str, args: &[&[u8]]) -> Result<Vec<u8>, Code> {
        self.call_as(&caller(org, "a"), function, args)
    }

    pub fn call_as(&mut self, caller: &Caller, function: &str, args: &[&[u8]]) -> Result<Vec<u8>, Code> {
        self.try_as(caller, function, args).map_err(|refusal| refusal.code)
    }

    pub fn try_as(&mut self, caller: &Caller, function: &str, args: &[&[u8]]) -> Result<Vec<u8>, Refusal> {
        let args: Vec<Vec<u8>> = args.iter().map(|a| a.to_vec()).collect();
        let answer = invoke(self, caller, 1_000, function, &args);
        let writes = std::mem::take(&mut self.writes);
        match answer {
            Ok(bytes) => {
                self.committed.extend(writes);
                Ok(bytes)
            }
            Err(Failure::Refused(refusal)) => Err(refusal),
            Err(Failure::State(e)) => panic!("{e}"),
        }
    }
}

pub fn caller(org: u32, key: &str) -> Caller {
    Caller { msp_id: format!("Org{org}MSP"), key_hash: format!("{org}{key}") }
}

//! A world state in memory, and calls on it.

// Every test binary uses a part of it.
#![allow(dead_code)]

use contract::{Caller, Failure, StatePage, WorldState, invoke};
use records::{Code, Refusal, key};
use std::collections::BTreeMap;

#[derive(Clone)]
pub struct World {
    pub committed: BTreeMap<String, Vec<u8>>,
    writes: BTreeMap<String, Vec<u8>>,
    /// Seconds since 1970 of the next transactions.
    pub now: u64,
    /// Keys and bytes that the last call read.
    pub reads: usize,
    pub read_bytes: usize,
}

impl Default for World {
    fn default() -> Self {
        let (committed, writes) = Default::default();
        Self { committed, writes, now: 1_000, reads: 0, read_bytes: 0 }
    }
}

impl WorldState for World {
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let values: Vec<_> = keys.iter().map(|key| self.committed.get(key).cloned()).collect();
        self.reads += keys.len();
        self.read_bytes += values.iter().flatten().map(Vec::len).sum::<usize>();
        Ok(values)
    }

    fn list(&mut self, kind: &str, attributes: &[&str], most: usize) -> Result<Vec<Vec<u8>>, Failure> {
        Ok(self.page(kind, attributes, most as u32, "")?.values)
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
        let values: Vec<_> = of_kind.by_ref().take(size as usize).map(|(_, value)| value.clone()).collect();
        self.reads += values.len();
        self.read_bytes += values.iter().map(Vec::len).sum::<usize>();
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
        (self.reads, self.read_bytes) = (0, 0);
        let now = self.now;
        let answer = invoke(self, caller, now, function, &args);
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

//! A world state in memory with Fabric's versions: calls are simulated on what is committed, and commit only if nothing
//! that they read has changed since.

// Every test binary uses a part of it.
#![allow(dead_code)]

use contract::{Caller, ContractError, StatePage, WorldState, invoke};
use records::{
    Body, Bytes, Code, DataDigest, Digest, Judge, KeyHash, Kind, Publication, Refusal, Setup, ThresholdKey,
    VerticalSvm, key,
};
use std::collections::BTreeMap;

/// What is committed.
#[derive(Clone)]
pub struct World {
    pub committed: BTreeMap<String, Vec<u8>>,
    pub private: BTreeMap<(String, String), Vec<u8>>,
    versions: BTreeMap<String, u64>,
    transactions: u64,
    /// Seconds since 1970 of the next transactions.
    pub now: u64,
    /// Of the next transactions.
    pub transient: BTreeMap<String, Vec<u8>>,
    /// Keys and bytes that the last call read.
    pub reads: usize,
    pub read_bytes: usize,
}

impl Default for World {
    fn default() -> Self {
        Self {
            committed: BTreeMap::new(),
            private: BTreeMap::new(),
            versions: BTreeMap::new(),
            transactions: 0,
            now: 1_000,
            transient: BTreeMap::new(),
            reads: 0,
            read_bytes: 0,
        }
    }
}

/// A call as its endorsers ran it: what it read, and what it would write.
pub struct Simulation {
    pub answer: Vec<u8>,
    read: BTreeMap<String, Option<u64>>,
    writes: BTreeMap<String, Option<Vec<u8>>>,
    private: BTreeMap<(String, String), Vec<u8>>,
}

/// One call under way.
struct Endorser<'a> {
    world: &'a World,
    id: String,
    reads: usize,
    read_bytes: usize,
    made: Simulation,
}

impl Endorser<'_> {
    fn note(&mut self, key: &str, value: Option<&Vec<u8>>) {
        self.made.read.insert(key.into(), value.map(|_| self.world.version(key)));
        self.reads += 1;
        self.read_bytes += value.map_or(0, Vec::len);
    }
}

impl WorldState for Endorser<'_> {
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, ContractError> {
        let world = self.world;
        let read = keys.iter().map(|key| {
            let value = world.committed.get(key);
            self.note(key, value);
            value.cloned()
        });
        Ok(read.collect())
    }

    fn list(&mut self, kind: &str, attributes: &[&str], most: usize) -> Result<Vec<Vec<u8>>, ContractError> {
        Ok(self.page(kind, attributes, most as u32, "")?.values)
    }

    fn page(
        &mut self,
        kind: &str,
        attributes: &[&str],
        size: u32,
        bookmark: &str,
    ) -> Result<StatePage, ContractError> {
        let world = self.world;
        let begins = |key: &str| key[1..].split('\0').skip(1).zip(attributes).all(|(a, b)| a == *b);
        let of_kind = world.committed.range(bookmark.to_owned()..);
        let mut of_kind = of_kind.filter(|(k, _)| key::object_type(k) == Some(kind) && begins(k));
        let mut values = Vec::new();
        for (key, value) in of_kind.by_ref().take(size as usize) {
            self.note(key, Some(value));
            values.push(value.clone());
        }
        Ok(StatePage { values, bookmark: of_kind.next().map(|(key, _)| key.clone()).unwrap_or_default() })
    }

    fn timestamp(&self) -> u64 {
        self.world.now
    }

    fn transaction_id(&self) -> &str {
        &self.id
    }

    fn attribute(&self, _: &str) -> Option<String> {
        None
    }

    fn transient(&self, name: &str) -> Option<&[u8]> {
        self.world.transient.get(name).map(Vec::as_slice)
    }

    fn get_private(
        &mut self,
        collection: &str,
        keys: &[String],
    ) -> Result<Vec<Option<Vec<u8>>>, ContractError> {
        let value = |key: &String| self.world.private.get(&(collection.into(), key.clone())).cloned();
        Ok(keys.iter().map(value).collect())
    }

    fn put_private(&mut self, collection: &str, key: &str, value: Vec<u8>) -> Result<(), ContractError> {
        self.made.private.insert((collection.into(), key.into()), value);
        Ok(())
    }

    fn delete(&mut self, key: &str) -> Result<(), ContractError> {
        self.made.writes.insert(key.into(), None);
        Ok(())
    }

    fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), ContractError> {
        self.made.writes.insert(key.into(), Some(value));
        Ok(())
    }

    fn event(&mut self, _: &str, _: Vec<u8>) -> Result<(), ContractError> {
        Ok(())
    }
}

impl World {
    fn version(&self, key: &str) -> u64 {
        self.versions.get(key).copied().unwrap_or(0)
    }

    /// Runs a call on what is committed, and commits nothing.
    pub fn simulate(
        &mut self,
        caller: &Caller,
        function: &str,
        args: &[&[u8]],
    ) -> Result<Simulation, Refusal> {
        let args: Vec<Vec<u8>> = args.iter().map(|a| a.to_vec()).collect();
        self.transactions += 1;
        let made = Simulation {
            answer: Vec::new(),
            read: BTreeMap::new(),
            writes: BTreeMap::new(),
            private: BTreeMap::new(),
        };
        let id = format!("tx{}", self.transactions);
        let mut endorser = Endorser { world: self, id, reads: 0, read_bytes: 0, made };
        let answer = invoke(&mut endorser, caller, function, &args);
        let Endorser { reads, read_bytes, made, .. } = endorser;
        (self.reads, self.read_bytes) = (reads, read_bytes);
        match answer {
            Ok(answer) => Ok(Simulation { answer, ..made }),
            Err(ContractError::Refused(refusal)) => Err(refusal),
            Err(ContractError::State(e)) => panic!("{e}"),
        }
    }

    /// Commits a call; whether it is valid, for nothing that it read has changed.
    pub fn commit(&mut self, made: Simulation) -> bool {
        let now = |key: &String| self.committed.contains_key(key).then(|| self.version(key));
        if made.read.iter().any(|(key, version)| now(key) != *version) {
            return false;
        }
        self.transactions += 1;
        for (key, value) in made.writes {
            self.versions.insert(key.clone(), self.transactions);
            match value {
                Some(value) => self.committed.insert(key, value),
                None => self.committed.remove(&key),
            };
        }
        self.private.extend(made.private);
        true
    }

    pub fn call(&mut self, org: u32, function: &str, args: &[&[u8]]) -> Result<Vec<u8>, Code> {
        self.call_as(&caller(org, "a"), function, args)
    }

    pub fn call_as(&mut self, caller: &Caller, function: &str, args: &[&[u8]]) -> Result<Vec<u8>, Code> {
        self.try_as(caller, function, args).map_err(|refusal| refusal.code)
    }

    pub fn try_as(&mut self, caller: &Caller, function: &str, args: &[&[u8]]) -> Result<Vec<u8>, Refusal> {
        let made = self.simulate(caller, function, args)?;
        let answer = made.answer.clone();
        assert!(self.commit(made), "nobody else writes");
        Ok(answer)
    }
}

/// A digest of which every digit is the same.
pub fn digest(digit: char) -> Digest {
    digit.to_string().repeat(64).parse().unwrap()
}

pub fn caller(org: u32, key: &str) -> Caller {
    let key_hash = KeyHash(Digest::of(format!("{org}{key}").as_bytes()));
    Caller { msp_id: format!("Org{org}MSP").parse().unwrap(), key_hash }
}

/// A training of two updates under a key of all three participants.
pub fn training() -> Kind {
    Kind::VerticalSvm(VerticalSvm {
        judge: Judge::Blinded,
        instances: 10,
        iterations: 2,
        batch: 1,
        learning_rate: "0.1".parse().unwrap(),
        lambda: "1".parse().unwrap(),
        c: "1".parse().unwrap(),
        key: None,
        key_bits: 256,
        insecure_key_bits: true,
        quorum: 3,
        margin_bits: 42,
        weak_blinding: true,
        model: Publication::Published,
        classes: None,
    })
}

/// What every participant posts first.
pub fn setup() -> Body {
    Body::Setup(Setup {
        key: ThresholdKey {
            n: Bytes(vec![1; 32]),
            quorum: 3,
            collusion_bound: 2,
            theta: Bytes(vec![1; 32]),
            base: Bytes(vec![1; 64]),
            verification: vec![Bytes(vec![1; 64]); 3],
        },
        data: DataDigest { instances: 10, features: 1, ids: [0; 32].into(), labels: [0; 32].into() },
    })
}

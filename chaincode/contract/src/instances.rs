//! Encrypted rows that providers record for analysts (chapter 4, 4.6.1): each under a key of its own, written once. Who
//! provides follows from the caller's certificate.

use crate::{
    ContractError, WorldState,
    call::{Answer, Call, json, refuse, stored},
    router::{Domain, function},
};
use records::{
    AnalystKey, Code, Digest, Instance, MAX_PAGE, Modulus, Row, SharedTable, VERSION, address, key,
};
use serde::Serialize;

/// The functions on shared rows.
pub(crate) const INSTANCES: Domain = Domain {
    name: "instances",
    functions: &[
        function("publish-key", "publish-key", |call, world| call.publish_key(world)),
        function("analyst-keys", "analyst-keys", |call, world| call.analyst_keys(world)),
        function("announce", "announce", |call, world| call.announce(world)),
        function("share", "share", |call, world| call.share(world)),
        function("tables", "tables", |call, world| call.tables(world)),
        function("list", "instances", |call, world| call.instances(world)),
    ],
};

impl Call<'_> {
    fn address(&self) -> Digest {
        address(&self.caller.msp_id, &self.caller.key_hash)
    }

    /// An argument that may be empty.
    fn digest_or_none(&self, index: usize, name: &str) -> Result<Option<Digest>, ContractError> {
        match self.text(index, name)? {
            "" => Ok(None),
            _ => self.named(index, name).map(Some),
        }
    }

    fn publish_key(&self, world: &mut dyn WorldState) -> Answer {
        let modulus: Modulus = self.parsed(0, "modulus")?;
        if let Err(e) = modulus.validate() {
            return refuse(Code::BadInput, e.to_string());
        }
        let analyst = self.address();
        let ledger_key = key::analyst_key(&analyst, &modulus.fingerprint());
        if let Some(bytes) = &world.get(std::slice::from_ref(&ledger_key))?[0] {
            let before: AnalystKey = stored(bytes)?;
            return match before.modulus == modulus {
                true => refuse(Code::AlreadySame, "the key is published"),
                false => {
                    refuse(Code::AlreadyDifferent, "the key is published with another consent to its size")
                }
            };
        }
        let published = AnalystKey {
            version: VERSION,
            analyst,
            msp_id: self.caller.msp_id.clone(),
            modulus,
            published: self.now,
        };
        world.put(&ledger_key, json(&published))?;
        world.event("publish-key", json(&published))?;
        Ok(json(&published))
    }

    fn analyst_keys(&self, world: &mut dyn WorldState) -> Answer {
        let analyst = match self.args {
            [] => None,
            _ => self.digest_or_none(0, "analyst")?,
        };
        self.page_of(world, key::ANALYST_KEY, &[analyst], 1, stored::<AnalystKey>)
    }

    fn announce(&self, world: &mut dyn WorldState) -> Answer {
        let table: SharedTable = self.parsed(0, "table")?;
        if let Err(e) = table.validate().and_then(|()| table.check_text()) {
            return refuse(Code::BadInput, e.to_string());
        }
        self.is_provider(&table.provider)?;
        if table.msp_id != self.caller.msp_id {
            return refuse(Code::WrongCaller, format!("msp_id: the caller is of {}", self.caller.msp_id));
        }
        let (id, analyst) = (table.id(), &table.analyst);
        let ledger_key = key::shared_table(analyst, &table.provider, &id);
        let values = world.get(&[ledger_key.clone(), key::analyst_key(analyst, &table.key)])?;
        if values[0].is_some() {
            return refuse(Code::AlreadySame, format!("table {id} is announced"));
        }
        let Some(bytes) = &values[1] else {
            return refuse(Code::UnknownKey, format!("analyst {analyst} has published no key {}", table.key));
        };
        let bits = stored::<AnalystKey>(bytes)?.modulus.bits();
        if bits != table.key_bits {
            return refuse(Code::BadInput, format!("key_bits: the key has {bits}"));
        }
        world.put(&ledger_key, json(&table))?;
        world.event("announce", json(&table))?;
        Ok(json(&id))
    }

    fn share(&self, world: &mut dyn WorldState) -> Answer {
        let (analyst, provider) = (self.named(0, "analyst")?, self.named(1, "provider")?);
        let id = self.named(2, "table")?;
        self.is_provider(&provider)?;
        let rows: Vec<Row> = self.parsed(3, "rows")?;
        if rows.is_empty() || rows.len() > MAX_PAGE as usize {
            return refuse(
                Code::BadInput,
                format!("rows: {} of them; 1 to {MAX_PAGE} go into one call", rows.len()),
            );
        }
        if !rows.is_sorted_by(|a, b| a.row < b.row) {
            return refuse(Code::BadInput, "rows: not in ascending order");
        }
        let mut keys = vec![key::shared_table(&analyst, &provider, &id)];
        keys.extend(rows.iter().map(|row| key::instance(&analyst, &provider, &id, row.row)));
        let values = world.get(&keys)?;
        let Some(table) = &values[0] else {
            return refuse(Code::NotYet, format!("table {id} is not announced"));
        };
        let table: SharedTable = stored(table)?;
        let count = rows.len();
        let mut written = 0;
        for ((row, ledger_key), before) in rows.into_iter().zip(&keys[1..]).zip(&values[1..]) {
            let index = row.row;
            if index >= table.rows {
                return refuse(Code::BadInput, format!("row {index}: the table has {}", table.rows));
            }
            if let Err(reason) = row.content.check(&table) {
                return refuse(Code::BadInput, format!("row {index}: {reason}"));
            }
            let instance = Instance::new(&table, id, row);
            match before {
                None => world.put(ledger_key, json(&instance))?,
                Some(bytes) if stored::<Instance>(bytes)? == instance => continue,
                Some(_) => {
                    return refuse(
                        Code::AlreadyDifferent,
                        format!("row {index} of table {id} has other content"),
                    );
                }
            }
            written += 1;
        }
        if written == 0 {
            return refuse(Code::AlreadySame, format!("{count} rows of table {id}"));
        }
        world
            .event("share", json(&serde_json::json!({ "analyst": analyst, "table": id, "rows": written })))?;
        Ok(Vec::new())
    }

    fn tables(&self, world: &mut dyn WorldState) -> Answer {
        let provider = self.digest_or_none(1, "provider")?;
        let attributes = [Some(self.named(0, "analyst")?), provider];
        self.page_of(world, key::SHARED_TABLE, &attributes, 2, stored::<SharedTable>)
    }

    fn instances(&self, world: &mut dyn WorldState) -> Answer {
        let attributes =
            [self.named(0, "analyst")?, self.named(1, "provider")?, self.named(2, "table")?].map(Some);
        let digested = match self.text(5, "form")? {
            "full" => false,
            "digests" => true,
            _ => return refuse(Code::BadInput, "form: neither `full` nor `digests`"),
        };
        self.page_of(world, key::INSTANCE, &attributes, 3, |bytes| {
            let instance: Instance = stored(bytes)?;
            Ok(match digested {
                true => Instance { content: instance.content.digested(), ..instance },
                false => instance,
            })
        })
    }

    /// A page of what lies under these digests.
    fn page_of<T: Serialize>(
        &self,
        world: &mut dyn WorldState,
        kind: &str,
        attributes: &[Option<Digest>],
        index: usize,
        shown: impl Fn(&[u8]) -> Result<T, ContractError>,
    ) -> Answer {
        let attributes: Vec<String> = attributes.iter().flatten().map(Digest::to_string).collect();
        let attributes: Vec<&str> = attributes.iter().map(String::as_str).collect();
        self.page(world, kind, &attributes, index, |_, bytes| shown(bytes))
    }

    fn is_provider(&self, provider: &Digest) -> Result<(), ContractError> {
        let own = self.address();
        match *provider == own {
            true => Ok(()),
            false => {
                refuse(Code::WrongCaller, format!("provider {provider} is not the caller, who is {own}"))
            }
        }
    }
}

//! What the participants must agree on before anything is computed: key, instances, labels.

use super::key::Key;
use protocol::Fault;
use records::{MspId, Setup};

/// All participants' set-up.
pub(super) struct Agreement {
    setups: Vec<Option<Setup>>,
}

impl Agreement {
    pub(super) fn new(parties: u32) -> Self {
        Self { setups: vec![None; parties as usize] }
    }

    pub(super) fn fold_setup(&mut self, party: u32, setup: &Setup, expected: u32) -> Result<(), String> {
        let found = setup.data.instances;
        if found != expected {
            return Err(format!("{found} instances instead of {expected}"));
        }
        if setup.data.features == 0 {
            return Err("no features".into());
        }
        self.setups[party as usize] = Some(setup.clone());
        Ok(())
    }

    /// The key that all have posted, whose set-ups agree in everything.
    ///
    /// # Errors
    /// Who disagrees with whom, or what is wrong with the key.
    pub(super) fn key(&self, participants: &[MspId], bits: u32) -> Result<Key, Fault> {
        let setups: Vec<&Setup> = self.setups.iter().flatten().collect();
        let compare =
            |what: &str, same: &dyn Fn(&Setup, &Setup) -> bool| match groups(&setups, same, participants)
                .as_slice()
            {
                [_] => Ok(()),
                several => {
                    let sides = several.join("; ");
                    Err(Fault::Disagreement(format!("{what} differ between participants: {sides}")))
                }
            };
        compare("the public keys", &|a, b| a.key == b.key)?;
        compare("the instances (identifiers)", &|a, b| a.data.ids == b.data.ids)?;
        compare("the labels", &|a, b| a.data.labels == b.data.labels)?;
        let key = Key::from_record(&setups[0].key, bits);
        key.map_err(|e| Fault::Input(format!("the public key: {e}")))
    }

    /// Number of a participant's features.
    pub(super) fn features(&self, party: u32) -> usize {
        self.setups[party as usize].as_ref().map_or(0, |setup| setup.data.features as usize)
    }
}

/// Names of the participants by what they agree on, the largest group first.
fn groups(setups: &[&Setup], same: &dyn Fn(&Setup, &Setup) -> bool, names: &[MspId]) -> Vec<String> {
    let mut groups: Vec<(&Setup, Vec<&str>)> = Vec::new();
    for (setup, name) in setups.iter().zip(names) {
        match groups.iter_mut().find(|(other, _)| same(setup, other)) {
            Some((_, members)) => members.push(name.as_str()),
            None => groups.push((setup, vec![name.as_str()])),
        }
    }
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    groups.into_iter().map(|(_, members)| members.join(", ")).collect()
}

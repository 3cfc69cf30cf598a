//! Which organisations together satisfy policies: what discovery answers.

use crate::definition::{Required, Signer};
use msp::{Policy, Role};
use std::collections::BTreeSet;

/// How many combinations are given at most. Policies over many organisations have more than anybody can use.
const LIMIT: usize = 200;

type Combination<'a> = BTreeSet<&'a str>;

/// The smallest sets of these organisations whose peers satisfy all policies, the smaller ones first.
pub fn layouts<'a>(policies: &[Required], orgs: &'a BTreeSet<String>) -> Vec<Combination<'a>> {
    let mut found = vec![Combination::new()];
    for policy in policies {
        let ways = match policy {
            Required::Signature(policy) => ways(policy, orgs),
            Required::ImplicitMeta(policy) => {
                combine(policy.threshold(), policy.policies.iter().map(|policy| ways(policy, orgs)))
            }
            Required::Never => Vec::new(),
        };
        found = product(&found, &ways);
    }
    // A peer counts once, though it may be named several times.
    found.retain(|orgs| {
        let signers: Vec<_> =
            orgs.iter().map(|org| Signer { msp_id: org.to_string(), role: Role::Peer }).collect();
        policies.iter().all(|policy| policy.holds(&signers))
    });
    smallest(found)
}

/// The sets of organisations whose peers satisfy one policy.
fn ways<'a>(policy: &Policy, orgs: &'a BTreeSet<String>) -> Vec<Combination<'a>> {
    match policy {
        Policy::SignedBy(principal) => {
            let fits = [Role::Member, Role::Peer].contains(&principal.role);
            let org = orgs.get(&principal.msp_id).filter(|_| fits);
            org.map(|org| [org.as_str()].into()).into_iter().collect()
        }
        Policy::OutOf(n, policies) => combine(*n, policies.iter().map(|policy| ways(policy, orgs))),
    }
}

/// The unions of one way each of `n` of these.
fn combine<'a>(n: usize, parts: impl Iterator<Item = Vec<Combination<'a>>>) -> Vec<Combination<'a>> {
    let parts: Vec<_> = parts.filter(|ways| !ways.is_empty()).collect();
    if parts.len() < n {
        return Vec::new();
    }
    // By how many parts have been taken.
    let mut taken: Vec<Vec<Combination<'a>>> = vec![Vec::new(); n + 1];
    taken[0].push(Combination::new());
    for (index, ways) in parts.iter().enumerate() {
        let left = parts.len() - index;
        for count in (0..n).rev() {
            // What cannot become complete any more is not followed, nor what nobody would use.
            if count + left < n || taken[count + 1].len() >= LIMIT {
                continue;
            }
            let more = product(&taken[count], ways);
            taken[count + 1].extend(more);
            taken[count + 1].truncate(LIMIT);
        }
    }
    smallest(taken.pop().unwrap_or_default())
}

fn product<'a>(left: &[Combination<'a>], right: &[Combination<'a>]) -> Vec<Combination<'a>> {
    let both = left.iter().flat_map(|one| right.iter().map(move |other| one | other));
    both.take(LIMIT).collect()
}

/// Without those that contain others.
fn smallest(mut found: Vec<Combination<'_>>) -> Vec<Combination<'_>> {
    found.sort_by_key(|one| (one.len(), one.iter().map(ToString::to_string).collect::<Vec<_>>()));
    let mut kept: Vec<Combination<'_>> = Vec::new();
    for one in found {
        if !kept.iter().any(|known| known.is_subset(&one)) {
            kept.push(one);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use msp::{ImplicitMeta, Rule};

    fn orgs(n: usize) -> BTreeSet<String> {
        (1..=n).map(|i| format!("Org{i}MSP")).collect()
    }

    fn found(policies: &[&str], n: usize) -> Vec<String> {
        let policies: Vec<_> =
            policies.iter().map(|text| Required::Signature(text.parse().unwrap())).collect();
        let orgs = orgs(n);
        let found = layouts(&policies, &orgs);
        found.iter().map(|one| one.iter().map(|org| &org[3..4]).collect()).collect()
    }

    #[test]
    fn smallest_sets_are_found() {
        assert_eq!(found(&["OR('Org1MSP.peer','Org2MSP.member')"], 3), ["1", "2"]);
        assert_eq!(found(&["AND('Org1MSP.peer','Org2MSP.peer')"], 3), ["12"]);
        assert_eq!(found(&["OutOf(2,'Org1MSP.peer','Org2MSP.peer','Org3MSP.peer')"], 3), ["12", "13", "23"]);
        assert_eq!(found(&["OutOf(2,'Org1MSP.peer','Org2MSP.peer','Org3MSP.peer')"], 2), ["12"]);
        assert_eq!(found(&["OR('Org1MSP.peer',AND('Org1MSP.peer','Org2MSP.peer'))"], 3), ["1"]);
        assert_eq!(found(&["OR('Org1MSP.peer','Org2MSP.peer')", "'Org3MSP.peer'"], 3), ["13", "23"]);
        assert_eq!(found(&["'Org1MSP.admin'"], 3), [""; 0]);
        assert_eq!(found(&["AND('Org1MSP.peer','Org4MSP.peer')"], 3), [""; 0]);
        // One peer does not sign twice.
        assert_eq!(found(&["OutOf(2,'Org1MSP.peer','Org1MSP.peer')"], 3), [""; 0]);
        assert_eq!(found(&["OutOf(0,'Org1MSP.peer')"], 3), [""]);
    }

    #[test]
    fn large_channels_have_an_answer_that_is_no_larger_than_can_be_used() {
        let orgs = orgs(64);
        let majority = ImplicitMeta::new(Rule::Majority, Role::Peer, orgs.iter().map(String::as_str));
        let found = layouts(&[Required::ImplicitMeta(majority)], &orgs);
        assert!((1..=LIMIT).contains(&found.len()));
        assert!(found.iter().all(|one| one.len() == 33));
    }
}

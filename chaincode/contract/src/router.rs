//! Finds the function that a call names: `domain:function`, as Fabric names the functions of a chaincode with several
//! contracts, or the bare name that it had before there were domains.

use crate::{
    WorldState,
    call::{Answer, Call},
    instances::INSTANCES,
    jobs::JOBS,
    keys::KEYS,
    probe::PROBE,
};

type Run = fn(&Call, &mut dyn WorldState) -> Answer;

/// One function of a domain.
pub(crate) struct Function {
    name: &'static str,
    /// Its name without a domain.
    alias: &'static str,
    run: Run,
}

pub(crate) const fn function(name: &'static str, alias: &'static str, run: Run) -> Function {
    Function { name, alias, run }
}

/// Functions about one thing.
pub(crate) struct Domain {
    pub(crate) name: &'static str,
    pub(crate) functions: &'static [Function],
}

const DOMAINS: [&Domain; 4] = [&JOBS, &KEYS, &INSTANCES, &PROBE];

/// The function of this name.
pub(crate) fn find(name: &str) -> Option<Run> {
    let functions = DOMAINS.iter().flat_map(|domain| domain.functions.iter().map(move |f| (domain.name, f)));
    let mut named = functions.filter(|(domain, function)| match name.split_once(':') {
        Some(of_domain) => of_domain == (*domain, function.name),
        None => function.alias == name,
    });
    named.next().map(|(_, function)| function.run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_function_has_two_names_of_its_own() {
        let mut names = BTreeSet::new();
        for domain in DOMAINS {
            for function in domain.functions {
                for name in [format!("{}:{}", domain.name, function.name), function.alias.to_owned()] {
                    assert!(find(&name).is_some_and(|run| std::ptr::fn_addr_eq(run, function.run)), "{name}");
                    assert!(names.insert(name.clone()), "{name} twice");
                }
            }
        }
        for name in ["", ":", "jobs:", ":propose", "jobs:job", "keys:propose", "jobs:propose:", "Propose"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}

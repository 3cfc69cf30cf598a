//! Signature policies: who must have signed.

use crate::{Error, Identity, Msps};
use std::fmt;
use std::str::FromStr;

/// How deep gates may nest in a policy's text.
const MAX_DEPTH: usize = 16;

/// What somebody is in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Anybody of the organisation.
    Member,
    /// An administrator.
    Admin,
    /// A client.
    Client,
    /// A peer.
    Peer,
    /// An orderer.
    Orderer,
}

impl Role {
    const ALL: [(Self, &str); 5] = [
        (Self::Member, "member"),
        (Self::Admin, "admin"),
        (Self::Client, "client"),
        (Self::Peer, "peer"),
        (Self::Orderer, "orderer"),
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(role, _)| role == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// Anybody of an organisation who has a role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The organisation.
    pub msp_id: String,
    /// The role.
    pub role: Role,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}.{}'", self.msp_id, self.role)
    }
}

/// A signature policy; its text is Fabric's, `AND('Org1MSP.peer', OR(…))` or `OutOf(2, …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A signature by the principal.
    SignedBy(Principal),
    /// At least that many of the policies hold, each with signers of its own.
    OutOf(usize, Vec<Policy>),
}

impl Policy {
    /// Whether those who signed are enough.
    ///
    /// Give each signer once, and only after checking the signature; who is not valid under his MSP
    /// satisfies no principal. As in Fabric, a signer counts once, for the first principal that fits.
    pub fn evaluate(&self, signers: &[&Identity], msps: &Msps) -> bool {
        self.evaluate_unused(signers, &mut vec![false; signers.len()], msps)
    }

    fn evaluate_unused(&self, signers: &[&Identity], used: &mut [bool], msps: &Msps) -> bool {
        match self {
            Self::SignedBy(principal) => {
                let fits = |i: &usize| !used[*i] && msps.satisfies(signers[*i], principal);
                let Some(found) = (0..signers.len()).find(fits) else {
                    return false;
                };
                used[found] = true;
                true
            }
            Self::OutOf(n, policies) => {
                let mut verified = 0;
                for policy in policies {
                    let mut tried = used.to_vec();
                    if policy.evaluate_unused(signers, &mut tried, msps) {
                        verified += 1;
                        used.copy_from_slice(&tried);
                    }
                }
                verified >= *n
            }
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignedBy(principal) => principal.fmt(f),
            Self::OutOf(n, policies) => {
                write!(f, "OutOf({n}")?;
                policies.iter().try_for_each(|policy| write!(f, ", {policy}"))?;
                f.write_str(")")
            }
        }
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parser = Parser { text, at: 0 };
        let policy = parser.policy(0)?;
        parser.skip_blanks();
        if parser.at < text.len() {
            return Err(parser.expected("the end"));
        }
        Ok(policy)
    }
}

/// How many organisations' policies of the same name must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One.
    Any,
    /// Every one.
    All,
    /// More than half.
    Majority,
}

/// A policy made of the organisations' own, such as `MAJORITY Endorsement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImplicitMeta {
    /// How many.
    pub rule: Rule,
    /// The organisations' policies.
    pub policies: Vec<Policy>,
}

impl ImplicitMeta {
    /// The policy in which each of the organisations asks for one signature by the role.
    pub fn new<'a>(rule: Rule, role: Role, msp_ids: impl IntoIterator<Item = &'a str>) -> Self {
        let own = |msp_id: &str| Policy::SignedBy(Principal { msp_id: msp_id.into(), role });
        Self { rule, policies: msp_ids.into_iter().map(own).collect() }
    }

    /// How many of the policies must hold.
    pub fn threshold(&self) -> usize {
        match self.rule {
            Rule::Any => 1,
            Rule::All => self.policies.len(),
            Rule::Majority => self.policies.len() / 2 + 1,
        }
    }

    /// Whether those who signed are enough; unlike in [`Policy`], a signer may count for several.
    pub fn evaluate(&self, signers: &[&Identity], msps: &Msps) -> bool {
        let hold = self.policies.iter().filter(|policy| policy.evaluate(signers, msps)).count();
        hold >= self.threshold()
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn policy(&mut self, depth: usize) -> Result<Policy, Error> {
        if depth > MAX_DEPTH {
            return Err(self.expected("fewer nested gates"));
        }
        self.skip_blanks();
        if let Some(quote @ ('\'' | '"')) = self.peek() {
            return self.principal(quote).map(Policy::SignedBy);
        }
        let start = self.at;
        let name = self.take(|c| c.is_ascii_alphabetic()).to_ascii_lowercase();
        if !["and", "or", "outof"].contains(&name.as_str()) {
            self.at = start;
            return Err(self.expected("AND, OR, OutOf or a quoted principal"));
        }
        self.token('(')?;
        let mut threshold = None;
        if name == "outof" {
            self.skip_blanks();
            let digits = self.take(|c| c.is_ascii_digit());
            threshold = Some(digits.parse::<usize>().map_err(|_| self.expected("a number"))?);
            self.token(',')?;
        }
        let mut policies = vec![self.policy(depth + 1)?];
        self.skip_blanks();
        while self.peek() == Some(',') {
            self.token(',')?;
            policies.push(self.policy(depth + 1)?);
            self.skip_blanks();
        }
        self.token(')')?;
        let n = threshold.unwrap_or(if name == "and" { policies.len() } else { 1 });
        // One more than there are is how Fabric lets one say "never".
        if n > policies.len() + 1 {
            self.at = start;
            return Err(self.expected(&format!("at most {} of {}", policies.len() + 1, policies.len())));
        }
        Ok(Policy::OutOf(n, policies))
    }

    fn principal(&mut self, quote: char) -> Result<Principal, Error> {
        let start = self.at;
        self.at += 1;
        let name = self.take(|c| c != quote);
        let found = name.rsplit_once('.').and_then(|(msp_id, role)| {
            let role = Role::ALL.iter().find(|(_, name)| *name == role)?.0;
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
            (!msp_id.is_empty() && msp_id.chars().all(valid))
                .then(|| Principal { msp_id: msp_id.into(), role })
        });
        let Some(principal) = found else {
            self.at = start;
            return Err(self.expected("'MSPID.role' with role member, admin, client, peer or orderer"));
        };
        self.token(quote)?;
        Ok(principal)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let rest = &self.text[self.at..];
        let taken = &rest[..rest.find(|c| !wanted(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken.into()
    }

    fn skip_blanks(&mut self) {
        self.take(char::is_whitespace);
    }

    fn token(&mut self, wanted: char) -> Result<(), Error> {
        if !['\'', '"'].contains(&wanted) {
            self.skip_blanks();
        }
        if self.peek() != Some(wanted) {
            return Err(self.expected(&format!("`{wanted}`")));
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    fn expected(&self, what: &str) -> Error {
        let at = self.text[..self.at].chars().count();
        Error::Policy { policy: self.text.into(), at, what: format!("expected {what}") }
    }
}

//! Signature policies: who must have signed.

use crate::{Error, Identity, Msps};
use fabric_protos::common::msp_principal::Classification;
use fabric_protos::common::msp_role::MspRoleType;
use fabric_protos::common::{
    MspPrincipal, MspRole, SignaturePolicy, SignaturePolicyEnvelope, signature_policy,
};
use fabric_protos::prost::Message;
use std::fmt;
use std::str::FromStr;

/// How deep gates may nest in a policy's text.
const MAX_DEPTH: usize = 16;

/// What somebody is in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Any identity of the organisation.
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

/// Any identity of an organisation that has a role.
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
        self.holds(signers.len(), &|signer, principal| msps.satisfies(signers[signer], principal))
    }

    /// [`evaluate`](Self::evaluate) for signers 0, 1, … `signers` (excluded), of whom `fits` says whether they
    /// are what a principal asks for.
    pub fn holds(&self, signers: usize, fits: &dyn Fn(usize, &Principal) -> bool) -> bool {
        self.holds_unused(&mut vec![false; signers], fits)
    }

    fn holds_unused(&self, used: &mut [bool], fits: &dyn Fn(usize, &Principal) -> bool) -> bool {
        match self {
            Self::SignedBy(principal) => {
                let Some(found) = (0..used.len()).find(|i| !used[*i] && fits(*i, principal)) else {
                    return false;
                };
                used[found] = true;
                true
            }
            Self::OutOf(n, policies) => {
                let mut verified = 0;
                for policy in policies {
                    let mut tried = used.to_vec();
                    if policy.holds_unused(&mut tried, fits) {
                        verified += 1;
                        used.copy_from_slice(&tried);
                    }
                }
                verified >= *n
            }
        }
    }

    /// The organisations that the policy names, sorted, each once.
    pub fn organizations(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.principals(&mut |principal| found.push(principal.msp_id.as_str()));
        found.sort_unstable();
        found.dedup();
        found
    }

    fn principals<'a>(&'a self, each: &mut dyn FnMut(&'a Principal)) {
        match self {
            Self::SignedBy(principal) => each(principal),
            Self::OutOf(_, policies) => policies.iter().for_each(|policy| policy.principals(each)),
        }
    }

    /// Reads a serialised `SignaturePolicyEnvelope`, such as a key's endorsement policy.
    ///
    /// # Errors
    /// [`Error::Policy`] for what is none, nests too deeply, or has principals other than roles.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let envelope = SignaturePolicyEnvelope::decode(bytes).map_err(|e| malformed(&e.to_string()))?;
        Self::from_envelope(&envelope)
    }

    /// The policy of Fabric's message.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn from_envelope(envelope: &SignaturePolicyEnvelope) -> Result<Self, Error> {
        if envelope.version != 0 {
            return Err(malformed("its version is not 0"));
        }
        let principal = |principal: &MspPrincipal| {
            if principal.principal_classification != Classification::Role as i32 {
                return Err(malformed("only principals by role are supported"));
            }
            let role = MspRole::decode(principal.principal.as_slice())
                .map_err(|e| malformed(&format!("a principal: {e}")))?;
            let known = match role.role() {
                MspRoleType::Member => Role::Member,
                MspRoleType::Admin => Role::Admin,
                MspRoleType::Client => Role::Client,
                MspRoleType::Peer => Role::Peer,
                MspRoleType::Orderer => Role::Orderer,
            };
            Ok(Principal { msp_id: role.msp_identifier, role: known })
        };
        let principals = envelope.identities.iter().map(principal).collect::<Result<Vec<_>, _>>()?;
        let rule = envelope.rule.as_ref().ok_or_else(|| malformed("it has no rule"))?;
        read_rule(rule, &principals, 0)
    }

    /// The policy as Fabric's message, each principal once.
    pub fn to_envelope(&self) -> SignaturePolicyEnvelope {
        let mut principals = Vec::new();
        let rule = self.write_rule(&mut principals);
        let identity = |principal: &Principal| {
            let role = match principal.role {
                Role::Member => MspRoleType::Member,
                Role::Admin => MspRoleType::Admin,
                Role::Client => MspRoleType::Client,
                Role::Peer => MspRoleType::Peer,
                Role::Orderer => MspRoleType::Orderer,
            };
            let role = MspRole { msp_identifier: principal.msp_id.clone(), role: role as i32 };
            MspPrincipal {
                principal_classification: Classification::Role as i32,
                principal: role.encode_to_vec(),
            }
        };
        let identities = principals.iter().map(|principal| identity(principal)).collect();
        SignaturePolicyEnvelope { version: 0, rule: Some(rule), identities }
    }

    fn write_rule<'a>(&'a self, principals: &mut Vec<&'a Principal>) -> SignaturePolicy {
        let kind = match self {
            Self::SignedBy(principal) => {
                let known = principals.iter().position(|known| *known == principal);
                let index = known.unwrap_or_else(|| {
                    principals.push(principal);
                    principals.len() - 1
                });
                signature_policy::Type::SignedBy(i32::try_from(index).unwrap_or(i32::MAX))
            }
            Self::OutOf(n, policies) => signature_policy::Type::NOutOf(signature_policy::NOutOf {
                n: i32::try_from(*n).unwrap_or(i32::MAX),
                rules: policies.iter().map(|policy| policy.write_rule(principals)).collect(),
            }),
        };
        SignaturePolicy { r#type: Some(kind) }
    }
}

fn read_rule(rule: &SignaturePolicy, principals: &[Principal], depth: usize) -> Result<Policy, Error> {
    if depth > MAX_DEPTH {
        return Err(malformed("gates nest too deeply"));
    }
    match rule.r#type.as_ref().ok_or_else(|| malformed("a rule is empty"))? {
        signature_policy::Type::SignedBy(index) => {
            let principal = usize::try_from(*index).ok().and_then(|index| principals.get(index));
            let principal =
                principal.ok_or_else(|| malformed("a rule names a principal that is not there"))?;
            Ok(Policy::SignedBy(principal.clone()))
        }
        signature_policy::Type::NOutOf(gate) => {
            let n = usize::try_from(gate.n).map_err(|_| malformed("a gate's number is negative"))?;
            let rules = gate.rules.iter().map(|rule| read_rule(rule, principals, depth + 1));
            Ok(Policy::OutOf(n, rules.collect::<Result<_, _>>()?))
        }
    }
}

fn malformed(what: &str) -> Error {
    Error::Policy { policy: "(serialised)".into(), at: 0, what: what.into() }
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
        self.holds(signers.len(), &|signer, principal| msps.satisfies(signers[signer], principal))
    }

    /// [`evaluate`](Self::evaluate) for signers of whom `fits` says what they are, as [`Policy::holds`].
    pub fn holds(&self, signers: usize, fits: &dyn Fn(usize, &Principal) -> bool) -> bool {
        let hold = self.policies.iter().filter(|policy| policy.holds(signers, fits)).count();
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

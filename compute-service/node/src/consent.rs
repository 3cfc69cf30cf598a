//! Consent: what a job asks of this organisation and shows of its data, and the least that it agrees to.
//!
//! Every parameter of a job is its proposer's choice. A node therefore has minima of its own ([`Minimum`]), takes no part
//! in a job below one of them, and tells what a job reveals before it is accepted. A person can accept one below all the same;
//! that is noted in the data directory, so that a job which was accepted in any other way does not pass for that.

use crate::{
    config::Config,
    jobs,
    keyring::Keyring,
    protected,
    store::{Store, StoreError},
};
use paillier::KeyShare;
use records::{Decimal, Fingerprint, Job, JobId, JobParams, Judge, MspId, Publication};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// The least under which a node takes part in jobs: `[minimum]` in its configuration. The defaults let in what Confab proposes by
/// default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Minimum {
    /// Bits of the modulus N.
    pub key_bits: u32,
    /// L: a blinding factor is drawn from a range of 2^L.
    pub blinding_bits: u32,
    /// To within how many octaves (factors of two) |2d+1| of an instance's margin d has to stay unknown over all visits of a training by columns.
    pub octaves: f64,
    /// `paper` lets both judges in.
    pub judge: Judge,
    /// How many members decrypt together.
    pub quorum: Quorum,
    /// How many colluding members may not learn the factors of a key.
    pub against: Against,
    /// Noise that providers add to their gradients, in multiples of the norm of a row.
    pub gradient_noise: Decimal,
    /// `split`: only jobs whose model stays where it is trained.
    pub model: Publication,
    /// Seconds for an answer and for a record. Of less than five minutes a participant with a wrong clock leaves others none.
    pub deadline: u32,
}

impl Default for Minimum {
    fn default() -> Self {
        Self {
            key_bits: 2048,
            blinding_bits: 256,
            octaves: 1.0,
            judge: Judge::Blinded,
            quorum: Quorum::Majority,
            against: Against::Minority,
            gradient_noise: Decimal::default(),
            model: Publication::Published,
            deadline: 600,
        }
    }
}

impl Minimum {
    /// Lets everything in: of an experiment's nodes, for which the person at the command line answers with its options.
    pub fn none() -> Self {
        Self {
            key_bits: 0,
            blinding_bits: 0,
            octaves: 0.0,
            judge: Judge::Paper,
            quorum: Quorum::AtLeast(0),
            against: Against::Nobody,
            deadline: 0,
            ..Self::default()
        }
    }

    /// Whether this is what a configuration without the section has.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A lower bound on how many members decrypt together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quorum {
    /// More than half.
    Majority,
    /// All of them.
    All,
    /// So many.
    #[serde(untagged)]
    AtLeast(u32),
}

impl Quorum {
    fn of(self, parties: u32) -> u32 {
        match self {
            Self::Majority => parties / 2 + 1,
            Self::All => parties,
            Self::AtLeast(number) => number,
        }
    }
}

/// Against whom a key has to hide its factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// Nobody.
    Nobody,
    /// Fewer than half of the members.
    Minority,
    /// All members but one.
    AllButOne,
}

impl Against {
    fn of(self, parties: u32) -> u32 {
        match self {
            Self::Nobody => 0,
            Self::Minority => (parties - 1) / 2,
            Self::AllButOne => parties - 1,
        }
    }
}

/// A job as its participant sees it before it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Review {
    /// The job.
    pub job: JobId,
    /// What kind of job it is.
    pub kind: Cow<'static, str>,
    /// Who proposed it.
    pub proposer: MspId,
    /// Who is to take part.
    pub participants: Vec<MspId>,
    /// What else was chosen, by name.
    pub parameters: Vec<(Cow<'static, str>, String)>,
    /// What it reveals, in words.
    pub reveals: Vec<String>,
    /// What is below the node's minima.
    pub below: Vec<Below>,
}

/// A parameter that is below a minimum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Below {
    /// The setting in `[minimum]`.
    pub setting: Cow<'static, str>,
    /// What the job has.
    pub job: String,
    /// What the node wants.
    pub minimum: String,
}

impl fmt::Display for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the job has {}, the least here is {}", self.setting, self.job, self.minimum)
    }
}

/// Names all that is below, for a message.
pub fn listed(below: &[Below]) -> String {
    below.iter().map(Below::to_string).collect::<Vec<_>>().join("; ")
}

/// What a job asks of a party, and shows of it.
pub fn review(config: &Config, job: &Job, party: u32) -> Review {
    let mut review = Review {
        job: job.id.clone(),
        kind: job.params.kind.name().into(),
        proposer: job.proposer.clone(),
        participants: job.params.participants.clone(),
        parameters: Vec::new(),
        reveals: Vec::new(),
        below: Vec::new(),
    };
    let weigh =
        Weigh { minimum: &config.minimum, params: &job.params, party, key: own_share(config, &job.params) };
    jobs::of(&job.params.kind).review(&weigh, &mut review);
    if let Some(deadlines) = &job.params.deadlines {
        let waits = format!("{} s for answers, {} s for a record", deadlines.accept, deadlines.step);
        review.parameters.push(("deadlines".into(), waits));
        let least = config.minimum.deadline;
        if deadlines.accept.min(deadlines.step) < least {
            let job = format!("{} s", deadlines.accept.min(deadlines.step));
            review.below.push(Below { setting: "deadline".into(), job, minimum: format!("{least} s") });
        }
    }
    review
}

/// What of an accepted job is below the node's minima and was not consented to.
///
/// # Errors
/// A failing database.
pub(crate) fn unmet(config: &Config, store: &Store, job: &Job, party: u32) -> Result<Vec<Below>, StoreError> {
    let below = review(config, job, party).below;
    match below.is_empty() || store.accepted_weaker(&job.id)? {
        true => Ok(Vec::new()),
        false => Ok(below),
    }
}

/// The own share of the key that a job uses. Where there is none, the job does not fit, and says so where its data are
/// checked.
fn own_share(config: &Config, params: &JobParams) -> Option<KeyShare> {
    match params.kind.as_job_kind().key() {
        Some(key) => Keyring::open(config).find(&key.to_string()).ok(),
        None if jobs::of(&params.kind).uses_dealt_key() => {
            protected::share(config.key_share.as_deref()?).ok()
        }
        None => None,
    }
}

/// One job beside the minima of one party.
pub(crate) struct Weigh<'a> {
    pub(crate) minimum: &'a Minimum,
    pub(crate) params: &'a JobParams,
    pub(crate) party: u32,
    key: Option<KeyShare>,
}

impl Weigh<'_> {
    pub(crate) fn name(&self, party: u32) -> &str {
        self.params.participants.get(party as usize).map_or("?", MspId::as_str)
    }

    /// How many colluding members learned nothing of the factors of the key of the job: 0 of one that was dealt, for a dealer
    /// knows it.
    pub(crate) fn key_bound(&self) -> Option<u32> {
        let share = self.key.as_ref()?;
        Some(if self.is_dealt() { 0 } else { share.key().collusion_bound() })
    }

    /// Whether the members bring shares that were dealt, as their configurations name them.
    pub(crate) fn is_dealt(&self) -> bool {
        jobs::of(&self.params.kind).uses_dealt_key() && self.params.kind.as_job_kind().key().is_none()
    }

    pub(crate) fn key_shown(&self, named: Option<Fingerprint>, bits: u32) -> String {
        let made = match self.key_bound() {
            None => "no share of it here".into(),
            Some(0) => "dealt by somebody, who may know it whole".into(),
            Some(bound) => format!("made against {bound} who collude"),
        };
        let name = named.map_or("that of key_share".into(), |key| format!("{key:.12}…"));
        format!("{bits} bits, {name}, {made}")
    }

    pub(crate) fn key_bits(&self, bits: u32, review: &mut Review) {
        if bits < self.minimum.key_bits {
            let minimum = self.minimum.key_bits.to_string();
            review.below.push(Below { setting: "key_bits".into(), job: bits.to_string(), minimum });
        }
    }

    pub(crate) fn blinding(&self, range: u32, review: &mut Review) {
        if range < self.minimum.blinding_bits {
            let minimum = self.minimum.blinding_bits.to_string();
            review.below.push(Below { setting: "blinding_bits".into(), job: range.to_string(), minimum });
        }
    }

    pub(crate) fn judge(&self, is_paper: bool, review: &mut Review) {
        if is_paper && self.minimum.judge == Judge::Blinded {
            let (job, minimum) = ("paper".into(), "blinded".into());
            review.below.push(Below { setting: "judge".into(), job, minimum });
        }
    }

    pub(crate) fn model(&self, model: Publication, review: &mut Review) {
        if model == Publication::Published && self.minimum.model == Publication::Split {
            let (job, minimum) = (shown(&model), shown(&Publication::Split));
            review.below.push(Below { setting: "model".into(), job, minimum });
        }
    }

    pub(crate) fn quorum(&self, quorum: u32, parties: u32, review: &mut Review) {
        let least = self.minimum.quorum.of(parties);
        if quorum < least {
            review.below.push(Below {
                setting: "quorum".into(),
                job: of(quorum, parties),
                minimum: least.to_string(),
            });
        }
    }

    pub(crate) fn against(&self, bound: u32, parties: u32, review: &mut Review) {
        let least = self.minimum.against.of(parties);
        if bound < least {
            let job = format!("a key made against {bound} of {parties} who collude");
            review.below.push(Below { setting: "against".into(), job, minimum: least.to_string() });
        }
    }

    /// Of the key of a training or of predictions. Whoever put a dealt one into its configuration trusts the dealer.
    pub(crate) fn bound(&self, parties: u32, review: &mut Review) {
        if let Some(bound) = self.key_bound().filter(|_| !self.is_dealt()) {
            self.against(bound, parties, review);
        }
    }
}

pub(crate) fn of(quorum: u32, parties: u32) -> String {
    format!("{quorum} of {parties}")
}

/// A word as parameters have it.
pub(crate) fn shown(word: &impl Serialize) -> String {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(word)) => word,
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposal::{job_params, key_generation, template};
    use proptest::prelude::*;
    use records::{
        Collusion, Comparison, Dealer, GradientNoise, HorizontalSvm, KeyRefresh, Kind, VerticalPredict,
        VerticalSvm,
    };

    fn config(minimum: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        let text =
            format!("data_dir = \"state\"\nconnection_profile = \"none.json\"\n[minimum]\n{minimum}\n");
        std::fs::write(&path, text).unwrap();
        Config::load(&path).unwrap()
    }

    fn names(parties: u32) -> Vec<MspId> {
        (1..=parties).map(|i| format!("Org{i}MSP").parse().unwrap()).collect()
    }

    fn review_of(kind: Kind, parties: u32, party: u32, minimum: &str) -> Review {
        let params = job_params(kind, names(parties)).unwrap();
        let job =
            Job { version: 1, id: params.id(), params, proposer: "Org1MSP".parse().unwrap(), proposed: 0 };
        review(&config(minimum), &job, party)
    }

    fn below(kind: Kind, parties: u32, minimum: &str) -> Vec<String> {
        review_of(kind, parties, 0, minimum).below.into_iter().map(|below| below.setting.into()).collect()
    }

    fn training(change: impl FnOnce(&mut VerticalSvm)) -> Kind {
        let mut training = template(100, names(3)).unwrap().training().clone();
        change(&mut training);
        Kind::VerticalSvm(training)
    }

    fn rows(change: impl FnOnce(&mut HorizontalSvm)) -> Kind {
        let mut rows: HorizontalSvm = serde_json::from_str(
            r#"{"comparison":"hidden","analyst":2,"columns":["age","pulse"],"positive":"ill","negative":"well",
            "standardise":true,"rows":30,"iterations":3,"learning_rate":"0.5","lambda":"0.001","c":"0.01","intercept":true,
            "key_bits":2048,"margin_bits":50,"model":"published"}"#,
        )
        .unwrap();
        change(&mut rows);
        Kind::HorizontalSvm(Box::new(rows))
    }

    fn refresh(quorum: u32, dealers: u32, members: Vec<u32>) -> Kind {
        Kind::KeyRefresh(KeyRefresh {
            key: [0xaa; 32].into(),
            purpose: "training".into(),
            key_bits: 2048,
            insecure_key_bits: false,
            old_parties: 4,
            share_bits: 4300,
            dealers: (0..dealers).map(|party| Dealer { party, member: party }).collect(),
            members,
            quorum,
        })
    }

    #[test]
    fn what_is_proposed_by_default_is_taken() {
        let nothing: Vec<String> = Vec::new();
        for parties in [2, 3, 4, 5] {
            let kind = template(100, names(parties)).unwrap().kind;
            assert_eq!(below(kind, parties, ""), nothing, "{parties}");
            let against = if parties == 2 { Collusion::AllButOne } else { Collusion::Minority };
            let kind = Kind::KeyGeneration(key_generation(2048, false, parties, against));
            assert_eq!(below(kind, parties, ""), nothing, "{parties}");
        }
        assert_eq!(below(rows(|_| {}), 3, ""), nothing);
        assert_eq!(below(refresh(4, 4, vec![0, 1, 2, 3]), 4, ""), nothing);
        assert_eq!(below(refresh(3, 4, vec![0, 1, 2]), 4, ""), ["quorum"], "fewer are left");
    }

    #[test]
    fn each_parameter_that_is_below_is_named() {
        assert_eq!(below(training(|t| t.key_bits = 512), 3, ""), ["key_bits", "blinding_bits"]);
        assert_eq!(below(training(|t| t.judge = Judge::Paper), 3, ""), ["judge"]);
        assert_eq!(below(training(|t| t.judge = Judge::Paper), 3, "judge = \"paper\""), [""; 0]);
        assert_eq!(below(training(|t| t.quorum = 2), 4, ""), ["quorum"]);
        assert_eq!(below(training(|t| t.quorum = 2), 3, ""), [""; 0]);
        assert_eq!(below(training(|t| t.quorum = 2), 3, "quorum = \"all\""), ["quorum"]);
        assert_eq!(below(training(|t| t.quorum = 4), 4, "quorum = 5"), ["quorum"]);
        assert_eq!(below(training(|t| t.iterations = 100_000), 3, ""), ["octaves"]);
        assert_eq!(below(training(|t| t.iterations = 100_000), 3, "octaves = 0.0"), [""; 0]);
        assert_eq!(below(training(|_| {}), 3, "model = \"split\""), ["model"]);
        assert_eq!(below(training(|t| t.model = Publication::Split), 3, "model = \"split\""), [""; 0]);
        // Consent of the proposer to what it does not do is nothing.
        assert_eq!(
            below(training(|t| (t.weak_blinding, t.insecure_key_bits) = (true, true)), 3, ""),
            [""; 0]
        );

        let generation = |against, quorum| Kind::KeyGeneration(key_generation(2048, false, quorum, against));
        assert_eq!(below(generation(Collusion::Minority, 3), 3, "against = \"all-but-one\""), ["against"]);
        assert_eq!(below(generation(Collusion::AllButOne, 3), 3, "against = \"all-but-one\""), [""; 0]);
        assert_eq!(below(generation(Collusion::Minority, 2), 4, ""), ["quorum"]);
        assert_eq!(
            below(Kind::KeyGeneration(key_generation(512, true, 3, Collusion::Minority)), 3, ""),
            ["key_bits"]
        );
        assert_eq!(below(refresh(3, 4, vec![0, 1, 2, 3]), 4, ""), ["quorum"], "lower than before");
        assert_eq!(below(refresh(2, 2, vec![0, 1, 2, 3]), 4, ""), ["quorum"], "below the majority");

        assert_eq!(below(rows(|r| r.comparison = Comparison::Paper), 3, ""), ["judge"]);
        assert_eq!(
            below(rows(|r| r.key_bits = 1024), 3, "blinding_bits = 900"),
            ["key_bits", "blinding_bits"]
        );
        let noise = |multiplier: &str| {
            let multiplier = multiplier.parse().unwrap();
            let (norm, delta) = ("4".parse().unwrap(), "0.00001".parse().unwrap());
            rows(move |r| r.gradient_noise = Some(GradientNoise { multiplier, norm, delta }))
        };
        let wanted = "gradient_noise = \"1.5\"";
        assert_eq!(below(noise("1.4"), 3, wanted), ["gradient_noise"]);
        assert_eq!(below(noise("1.5"), 3, wanted), [""; 0]);
        assert_eq!(below(rows(|_| {}), 3, wanted), ["gradient_noise"]);
        assert!(review_of(rows(|_| {}), 3, 2, wanted).below.is_empty(), "the analyst has no rows");

        let predict = VerticalPredict { quorum: 2, key_bits: 1024, ..prediction() };
        assert_eq!(below(Kind::VerticalPredict(predict), 4, ""), ["key_bits", "quorum", "blinding_bits"]);
        assert_eq!(below(Kind::VerticalPredict(prediction()), 4, ""), [""; 0]);
    }

    fn prediction() -> VerticalPredict {
        let training = template(100, names(4)).unwrap().training().clone();
        VerticalPredict::after(JobId::from([0xaa; 32]), &training, vec![[0xbb; 32].into(); 4], 5)
    }

    #[test]
    fn the_same_sentences_are_said_before_and_after() {
        let said = review_of(training(|_| {}), 3, 0, "").reveals.join("\n");
        for part in ["every indicator", "octaves", "deviates", "the whole model", "not known here"] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        let said = review_of(training(|t| t.judge = Judge::Paper), 3, 0, "").reveals.join("\n");
        assert!(said.contains("every margin"), "{said}");
        let said = review_of(rows(|_| {}), 3, 0, "").reveals.join("\n");
        assert!(said.contains("trained on at most 60 rows"), "{said}");
        let said = review_of(Kind::VerticalPredict(prediction()), 4, 0, "").reveals.join("\n");
        assert!(said.contains("every decision value"), "{said}");
    }

    #[test]
    fn an_unknown_minimum_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        for (line, says) in [
            ("keybits = 1024", "keybits"),
            ("quorum = \"half\"", "quorum"),
            ("against = \"some\"", "some"),
            ("gradient_noise = \"much\"", "gradient_noise"),
        ] {
            let text = format!("data_dir = \"s\"\nconnection_profile = \"c.json\"\n[minimum]\n{line}\n");
            std::fs::write(&path, text).unwrap();
            let error = Config::load(&path).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("node.toml"), "{error}");
        }
        let none = Minimum::none();
        let text = toml::to_string(&none).unwrap();
        assert_eq!(toml::from_str::<Minimum>(&text).unwrap(), none);
    }

    proptest! {
        /// More visits to one instance than are said come in fewer than 1 % of trainings.
        #[test]
        fn visits_are_seldom_more(seed: [u8; 32], instances in 2u32..300, iterations in 1u32..60, batch in 1u32..70) {
            let kind = training(|t| (t.instances, t.iterations, t.batch) = (instances, iterations, batch));
            let params = job_params(kind, names(3)).unwrap();
            let most = jobs::vertical_svm::most_visits(params.training());
            let schedule = svm::vertical::schedule(&seed, instances, iterations, batch);
            let mut visits = vec![0u32; instances as usize];
            schedule.concat().iter().for_each(|instance| visits[*instance as usize] += 1);
            let found = visits.into_iter().max().unwrap();
            // Beyond twice the bound and three more chance comes once in billions.
            prop_assert!(found <= 2 * most + 3, "{found} of {most}");
            prop_assert!((1..=iterations * batch).contains(&most));
        }

        /// Whatever a proposal says, looking at it is safe: it may come from anywhere.
        #[test]
        fn any_numbers_are_looked_at(numbers: [u32; 6], parties in 2u32..6) {
            let [a, b, c, d, e, f] = numbers;
            let training = training(|t| {
                (t.instances, t.iterations, t.batch) = (a, b % 1000, c % 1000);
                (t.key_bits, t.quorum, t.margin_bits) = (d, e, f % 100);
            });
            let rows = rows(|r| {
                (r.analyst, r.rows, r.iterations) = (a, b % 10_000_000, c);
                (r.key_bits, r.margin_bits) = (d % 5000, e % 100);
            });
            for kind in [training, rows, refresh(a, b % 50, vec![c, d, e, f])] {
                review_of(kind, parties, a % parties, "");
            }
        }
    }
}

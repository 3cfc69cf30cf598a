//! From an organisation's files to its side of a job.

use crate::{
    config::{Config, Data, NewRows, Words},
    keyring::Keyring,
    model::{Model, Part},
    proposal::class_names,
    protected,
};
use dataset::{
    scaling::{Scaler, Scaling},
    table::{Class, Columns, Overview, Reading, Row, Table, TableError, is_class},
};
use paillier::KeyShare;
use protocol::{Fault, JobSecret};
use records::{ClassNames, Fingerprint, Job, JobParams, Kind, TRAINING, VERSION, VerticalSvm};
use sha2::{Digest, Sha256};
use std::{fmt::Display, path::Path};
use svm::{fixed::Features, horizontal, vertical::Private};

/// What a participant brings to one job.
pub struct Loaded {
    /// For the protocol.
    pub private: Private,
    /// Digest of the table and of how it is read.
    pub digest: [u8; 32],
    /// The frame of its own part of the model: classes, columns and scaling, without weights.
    pub frame: Model,
    /// What the table holds, for its owner.
    pub overview: Overview,
}

/// Reads key share and table of a party and checks that they fit a job.
///
/// # Errors
/// [`Fault::Input`] with file, line and column.
pub fn load(config: &Config, job: &Job, party: u32, secret: &JobSecret) -> Result<Loaded, Fault> {
    let share = share(config, &job.params, &WantedKey::of(job.params.training()), party)?;
    let data = config.data.as_ref().ok_or_else(no_data)?;
    let names = job.params.training().classes.as_ref();
    let (table, scaler) = table_of(data, names)?;
    let input = in_file(&data.file);
    let all: Vec<usize> = (0..table.rows.len()).collect();
    let scaled = scaler.apply(&table, &all).map_err(|e| input(&e))?;
    let features = Features::encode_training(&scaled).map_err(|e| match data.scale {
        Scaling::None => input(&format!("{e}; set `scale` in [data] to \"std\" or \"unit\"")),
        _ => input(&e),
    })?;
    let digest = digest(&table, Some(data.scale));
    let labels = table.labels().map_err(|e| input(&e))?;
    let ids: Vec<String> = table.rows.iter().filter_map(|row| row.id.clone()).collect();
    let private = Private::new(&job.params, share, &ids, features, labels, secret).map_err(|e| input(&e))?;
    let overview = Overview::new(&data.file, &table);
    let own = table.classes.as_ref().map(class_names).ok_or_else(|| input(&"no label column"))?;
    // All participants keep the model in the same words.
    let ClassNames { positive, negative } = names.cloned().unwrap_or(own);
    let msp_id = job.params.participants[party as usize].clone();
    let frame = Model {
        version: VERSION,
        positive,
        negative,
        job: Some(job.id.clone()),
        holders: job.params.participants.clone(),
        parts: vec![Part { msp_id, scaler, weights: Vec::new(), intercept: 0 }],
    };
    Ok(Loaded { private, digest, frame, overview })
}

/// What a party brings to a training by rows.
pub struct Rows {
    /// For the protocol.
    pub private: horizontal::Private,
    /// Digest of a provider's table.
    pub digest: Option<[u8; 32]>,
    /// What a provider's table holds, for its owner.
    pub overview: Option<Overview>,
}

/// A party's side of a training by rows.
///
/// # Errors
/// [`Fault::Input`] with file, line and column.
pub fn rows(config: &Config, job: &Job, party: u32, secret: JobSecret) -> Result<Rows, Fault> {
    let Kind::HorizontalSvm(training) = &job.params.kind else {
        return Err(Fault::Input(format!("a {} job is no training by rows", job.params.kind.name())));
    };
    if party == training.analyst {
        return Ok(Rows { private: horizontal::Private::analyst(secret), digest: None, overview: None });
    }
    let data = config.data.as_ref().ok_or_else(no_data)?;
    for (name, own, class) in
        [("positive", &data.positive, &training.positive), ("negative", &data.negative, &training.negative)]
    {
        let is_other = |own: &Class| {
            let words = own.all();
            let are_its = !words.is_empty() && words.iter().all(|word| is_class(word, class));
            !is_class(&own.name(), class) && !are_its
        };
        if let Some(own) = own.as_ref().map(Words::class).filter(is_other) {
            return Err(Fault::Input(format!(
                "`{name}` in [data] is `{}`, in the job the {name} class is `{class}`: see that all mean the same, and change \
                 it, or refuse the job",
                own.name()
            )));
        }
    }
    let names = ClassNames { positive: training.positive.clone(), negative: training.negative.clone() };
    let table = provider_table(data, Some(&names))?;
    let digest = Some(digest(&table, None));
    let overview = Some(Overview::new(&data.file, &table));
    match horizontal::Private::provider(training, table, secret) {
        Ok(private) => Ok(Rows { private, digest, overview }),
        Err(Fault::Input(reason)) => Err(in_file(&data.file)(&reason)),
        Err(other) => Err(other),
    }
}

/// A provider's table in a training by rows. With the classes of a job, positive and negative, its rows may be of one class,
/// and of no other.
///
/// # Errors
/// [`Fault::Input`] with file, line and column.
pub fn provider_table(data: &Data, classes: Option<&ClassNames>) -> Result<Table, Fault> {
    let own = Columns { one_class: true, ..columns(data) };
    let columns = match classes {
        Some(names) => of_job(own, names),
        None => own,
    };
    let whose = if classes.is_some() { "; these are the job's classes" } else { "" };
    let table = read_file(&data.file, &columns, whose)?;
    let gap = |row: &Row| row.values.iter().position(Option::is_none).map(|column| (row.line, column));
    match table.rows.iter().find_map(gap).filter(|_| !data.fill_missing) {
        None => Ok(table),
        Some((line, column)) => Err(in_file(&data.file)(&format!(
            "line {line}, column `{}`: a cell is missing; set `fill_missing = true` in [data], or leave such rows out",
            table.columns[column]
        ))),
    }
}

/// Reads a table as it is.
///
/// # Errors
/// [`Fault::Input`] with file, line and column.
pub fn read(data: &Data) -> Result<Table, Fault> {
    read_file(&data.file, &columns(data), "")
}

/// Reads a file, which has to be there the next time, too.
pub(crate) fn read_file(path: &Path, columns: &Columns, of_job: &str) -> Result<Table, Fault> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(in_file(path)(&"no regular file; a node reads its table again whenever it starts"));
    }
    Table::read(path, columns).map_err(|e| {
        let is_classes = matches!(e.problem(), TableError::NeitherClass { .. });
        in_configuration(format!("{e}{}", if is_classes { of_job } else { "" }))
    })
}

/// New rows that are to be asked about, with some columns.
///
/// # Errors
/// [`Fault::Input`] with file, line and column.
pub(crate) fn new_rows(new: &NewRows, features: Vec<String>) -> Result<Table, Fault> {
    let columns = Columns {
        id: Some(new.id.clone()),
        features: Some(features),
        reading: reading(&new.na, new.header, new.decimal_comma),
        ..Columns::default()
    };
    read_file(&new.file, &columns, "")
}

fn reading(na: &Option<Words>, header: Option<bool>, decimal_comma: bool) -> Reading {
    Reading { header, na: na.as_ref().map(Words::each).unwrap_or_default(), decimal_comma }
}

/// The same table with the classes of a job.
fn of_job(columns: Columns, names: &ClassNames) -> Columns {
    let [positive, negative] =
        [&names.positive, &names.negative].map(|class| Some(Class::Joined(class.clone())));
    Columns { positive, negative, ..columns }
}

/// Which columns of its table an organisation says play which part.
pub(crate) fn columns(data: &Data) -> Columns {
    Columns {
        label: Some(data.label.clone()),
        positive: data.positive.as_ref().map(Words::class),
        negative: data.negative.as_ref().map(Words::class),
        id: data.id.clone(),
        reading: reading(&data.na, data.header, data.decimal_comma),
        ..Columns::default()
    }
}

/// Digest of all that a table brings to a job: what was read of the file, in the order that the job has it, and how it is
/// scaled.
pub(crate) fn digest(table: &Table, scale: Option<Scaling>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut text = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    text("confab table 1");
    text(&format!("{scale:?} {} {}", table.columns.len(), table.rows.len()));
    table.columns.iter().for_each(|column| text(column));
    if let Some(classes) = &table.classes {
        text(&classes.positive_name());
        classes.negative.iter().for_each(|class| text(class));
    }
    for row in &table.rows {
        text(row.id.as_deref().unwrap_or_default());
        text(&format!("{:?}", row.label));
        // Every value that is not a gap is finite.
        let value = |value: &Option<f64>| value.unwrap_or(f64::NAN).to_bits().to_string();
        row.values.iter().for_each(|cell| text(&value(cell)));
    }
    hash.finalize().into()
}

pub(crate) fn in_file(path: &Path) -> impl Fn(&dyn Display) -> Fault {
    let path = path.display();
    move |e| in_configuration(format!("{path}: {e}"))
}

/// Advice speaks of the options of `confab train`; here they are settings.
pub(crate) fn in_configuration(error: String) -> Fault {
    const SETTINGS: [(&str, &str); 9] = [
        ("with --positive or --negative", "with `positive` or `negative` in [data]"),
        ("with --positive", "with `positive` in [data]"),
        ("--positive", "`positive` in [data]"),
        ("--negative", "`negative` in [data]"),
        ("name it with --na", "name it with `na` in the configuration"),
        ("Say --header,", "Say `header = true` in the configuration,"),
        ("or --no-header,", "or `header = false`,"),
        ("say --decimal-comma", "say `decimal_comma = true` in the configuration"),
        ("use --missing mean", "set `fill_missing = true` in [data]"),
    ];
    let settings = SETTINGS.iter();
    Fault::Input(settings.fold(error, |error, (option, setting)| error.replace(option, setting)))
}

/// That a node without a table takes part in no training.
pub fn no_data() -> Fault {
    Fault::Input("the configuration names no table: add a [data] section".into())
}

/// What key a job needs.
pub(crate) struct WantedKey {
    /// Its name; each participant brings its dealt share where there is none.
    pub(crate) key: Option<Fingerprint>,
    pub(crate) bits: u32,
    pub(crate) quorum: u32,
    pub(crate) purpose: &'static str,
}

impl WantedKey {
    /// That of a training.
    pub(crate) fn of(training: &VerticalSvm) -> Self {
        let VerticalSvm { key, key_bits: bits, quorum, .. } = *training;
        Self { key, bits, quorum, purpose: TRAINING }
    }
}

/// Reads a party's share of the key and checks that it is one for this job.
pub(crate) fn share(
    config: &Config,
    params: &JobParams,
    wanted: &WantedKey,
    party: u32,
) -> Result<KeyShare, Fault> {
    let dealt = || {
        let path = config.key_share.as_deref().ok_or_else(|| {
            Fault::Input("the job names no key, and the configuration no key_share that was dealt".into())
        })?;
        let share = protected::share(path).map_err(|e| Fault::Input(e.to_string()))?;
        Ok((path.to_path_buf(), share))
    };
    let (path, share) = match &wanted.key {
        None => dealt()?,
        Some(key) => {
            let share =
                Keyring::open(config).find(&key.to_string()).map_err(|e| Fault::Input(e.to_string()))?;
            (format!("key {key}").into(), share)
        }
    };
    let input = in_file(&path);
    let (key, n) = (share.key(), params.parties());
    let is = |what: &str, found: &dyn Display, wanted: &dyn Display| {
        input(&format!("the key is one {what} {found}, the job needs one {what} {wanted}"))
    };
    if share.purpose() != wanted.purpose {
        return Err(is("for", &share.purpose(), &wanted.purpose));
    }
    if key.bits() != u64::from(wanted.bits) {
        return Err(is("of so many bits:", &key.bits(), &wanted.bits));
    }
    if (key.parties(), key.quorum()) != (n, wanted.quorum) {
        let members = |quorum: u32, n: u32| format!("{quorum} of {n} members");
        return Err(is("for", &members(key.quorum(), key.parties()), &members(wanted.quorum, n)));
    }
    if share.index() != party {
        return Err(input(&format!(
            "this is the key share of member {}, but {} is number {} of the job's participants; carry each file to \
             its member, in the order of the participants",
            share.index() + 1,
            params.participants[party as usize],
            party + 1
        )));
    }
    Ok(share)
}

/// The table of an organisation in the order of its identifiers, with the scaling fitted on all of it.
///
/// # Errors
/// [`Fault::Input`] with file, line and column.
pub fn table(data: &Data) -> Result<(Table, Scaler), Fault> {
    table_of(data, None)
}

/// The same for a job that names the classes. Where the configuration says nothing of them the table has to have the job's
/// words; where it does, its own words mean the job's classes.
fn table_of(data: &Data, names: Option<&ClassNames>) -> Result<(Table, Scaler), Fault> {
    let input = in_file(&data.file);
    if data.id.is_none() {
        return Err(Fault::Input(
            "name the column of the identifiers as `id` in [data]: rows are joined by it".into(),
        ));
    }
    let mut table = match names {
        Some(names) if data.positive.is_none() && data.negative.is_none() => {
            let columns = Columns { one_class: true, ..of_job(columns(data), names) };
            read_file(
                &data.file,
                &columns,
                "; these are the job's classes: where the table has other words for them, name those as `positive` and \
                 `negative` in [data]",
            )?
        }
        Some(names) => {
            let is = |own: &Option<Words>, class: &str| {
                let own = own.as_ref().map(Words::each).unwrap_or_default();
                own.iter().any(|word| is_class(word, class))
            };
            let swapped = |own, class, other| is(own, other) && !is(own, class);
            if swapped(&data.positive, &names.positive, &names.negative)
                || swapped(&data.negative, &names.negative, &names.positive)
            {
                return Err(Fault::Input(format!(
                    "`positive` and `negative` in [data] name the classes the other way round than the job, in which `{}` is \
                     positive and `{}` negative: change them, or refuse the job",
                    names.positive, names.negative
                )));
            }
            read(data)?
        }
        None => read(data)?,
    };
    table.order_by_id().map_err(|e| input(&e))?;
    if !data.fill_missing {
        table.require_no_gaps().map_err(|e| input(&e))?;
    }
    let all: Vec<usize> = (0..table.rows.len()).collect();
    let scaler = Scaler::fit(&table, &all, data.scale).map_err(|e| input(&e))?;
    Ok((table, scaler))
}

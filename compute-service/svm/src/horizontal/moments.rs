//! Common scaling of the columns from sums over all providers' rows (`docs/protocols.md` 3), each masked: of the number of
//! values, the values, and their squares.
//!
//! Sums are integers in a unit of each column, a power of two that the job names. The proposer chooses it from the order
//! of magnitude of its own values, so that these have 53 binary places at least, as many as a float: standardised columns
//! do not depend on the unit of measurement. Every provider checks that its own values fit and lose nothing.

use dataset::{
    float64::{self, times_power_of_two},
    scaling::{Scaler, ScalingError},
    table::Table,
};
use num_bigint::{BigInt, BigUint};
use num_traits::{One, ToPrimitive, Zero};
use records::{DEFAULT_UNIT, HorizontalSvm as Params, MOMENT_BITS, MOMENT_BYTES};

/// A column or row that cannot take part.
pub(super) type Unfit = String;

/// The modulus of the masked sums.
pub(super) fn modulus() -> BigUint {
    BigUint::one() << (8 * MOMENT_BYTES)
}

/// Of each column the unit 2^u in which the sums count it.
pub(super) struct Units(Vec<i32>);

/// The units that a proposer of this table names, as binary exponents: |x| is below 2^(u+60). They say the largest |x| of a
/// column to a factor of 2^8.
pub fn units(table: &Table) -> Vec<i32> {
    let of = |largest: f64| match float64::exponent(largest) {
        // Up to 2^8 larger than need be, which leaves 53 bits of the largest value.
        Some(exponent) => (exponent + 7).div_euclid(8) * 8 - 60,
        None => DEFAULT_UNIT,
    };
    largest(table).into_iter().map(of).collect()
}

impl Units {
    pub(super) fn of(params: &Params) -> Self {
        Self((0..params.columns.len()).map(|column| params.unit(column)).collect())
    }
}

/// The largest |x| of each column.
fn largest(table: &Table) -> Vec<f64> {
    let mut largest = vec![0.0f64; table.columns.len()];
    for row in &table.rows {
        for (largest, value) in largest.iter_mut().zip(&row.values) {
            *largest = largest.max(value.map_or(0.0, f64::abs));
        }
    }
    largest
}

/// The values of a column that are there, with their lines.
fn values(table: &Table, column: usize) -> impl Iterator<Item = (u64, f64)> {
    table.rows.iter().filter_map(move |row| row.values[column].map(|value| (row.line, value)))
}

/// Checks that a provider's values fit the job's units.
///
/// # Errors
/// A value that is too large, with its line, or a column all of whose values are too small.
pub(super) fn check(units: &Units, table: &Table) -> Result<(), Unfit> {
    for (column, (&unit, largest)) in units.0.iter().zip(largest(table)).enumerate() {
        let Some(most) = float64::exponent(largest) else { continue };
        let name = &table.columns[column];
        let large = |exponent: i32| exponent > unit + MOMENT_BITS as i32;
        if large(most) {
            let mut values = values(table, column);
            let first = values.find(|(_, value)| float64::exponent(*value).is_some_and(large));
            let (line, _) = first.expect("the largest is one");
            return Err(format!(
                "line {line}, column `{name}`: the value is too large for the job, whose sums count this column in units of \
                 {}; correct the cell, see that all providers have the column in one unit of measurement, or propose \
                 with larger `units`",
                shown(unit)
            ));
        }
        if most <= unit + FINE && loses(table, column, unit) {
            return Err(too_fine(name, unit));
        }
    }
    Ok(())
}

/// A column's deviation has this many bits in its unit where values were rounded: what is rounded away of a value is then
/// two units of the features at most.
const FINE: i32 = 10;

/// Whether rounding to the unit changes a value of the column.
fn loses(table: &Table, column: usize, unit: i32) -> bool {
    values(table, column).any(|(_, value)| !float64::in_units(value, unit).1)
}

fn too_fine(name: &str, unit: i32) -> Unfit {
    format!(
        "column `{name}`: the values are too fine for the job, whose sums count this column in units of {}; see that all \
         providers have the column in one unit of measurement, or propose with smaller `units`",
        shown(unit)
    )
}

fn shown(unit: i32) -> String {
    format!("2^{unit} (about {:.0e})", times_power_of_two(1.0, unit))
}

/// Checks that the sums, once they are known, were fine enough for a provider's own values.
///
/// # Errors
/// A column whose values lose in the sums what its deviation needs, or that has next to none.
pub(super) fn check_scaled(units: &Units, table: &Table, pooled: &Pooled) -> Result<(), Unfit> {
    for (column, (fitted, &unit)) in pooled.scaler.fitted().iter().zip(&units.0).enumerate() {
        // Where the sums show no deviation, nothing may have been rounded.
        let is_fine = !pooled.constant[column] && fitted.divisor >= times_power_of_two(1.0, unit + FINE);
        if !is_fine && loses(table, column, unit) {
            return Err(too_fine(&fitted.name, unit));
        }
        if !pooled.constant[column] {
            fitted.require_exact_centre().map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// A provider's sums, three for each column. Its values are those that were checked.
pub(super) fn sums(units: &Units, table: &Table) -> Vec<BigUint> {
    let mut sums = vec![BigInt::ZERO; 3 * table.columns.len()];
    for row in &table.rows {
        for ((value, unit), sums) in row.values.iter().zip(&units.0).zip(sums.chunks_exact_mut(3)) {
            let Some(value) = value else { continue };
            let (units, _) = float64::in_units(*value, *unit);
            sums[0] += 1;
            sums[1] += units;
            sums[2] += match u64::try_from(units.unsigned_abs()) {
                Ok(small) => BigInt::from(u128::from(small) * u128::from(small)),
                Err(_) => BigInt::from(units) * units,
            };
        }
    }
    let modulus = BigInt::from(modulus());
    sums.into_iter().map(|sum| ((sum + &modulus) % &modulus).to_biguint().expect("reduced")).collect()
}

/// The scaling that providers of these rows come to, whoever of them has which row.
///
/// # Errors
/// A column that cannot be scaled.
pub fn pooled(table: &Table) -> Result<Scaler, String> {
    let units = Units(units(table));
    check(&units, table)?;
    let sums = sums(&units, table);
    let unmasked = encode(&sums, &vec![BigUint::ZERO; sums.len()]);
    let pooled = Pooled::new(&table.columns, &units, &[unmasked]).map_err(|e| e.to_string())?;
    check_scaled(&units, table, &pooled)?;
    Ok(pooled.scaler)
}

/// Masked sums as bytes.
pub(super) fn encode(sums: &[BigUint], masks: &[BigUint]) -> Vec<u8> {
    let modulus = modulus();
    let bytes = |(sum, mask): (&BigUint, &BigUint)| {
        let bytes = ((sum + mask) % &modulus).to_bytes_be();
        [vec![0; MOMENT_BYTES - bytes.len()], bytes].concat()
    };
    sums.iter().zip(masks).flat_map(bytes).collect()
}

/// What follows from the sums of all providers.
pub(super) struct Pooled {
    pub(super) scaler: Scaler,
    /// Which columns have no deviation in the sums.
    constant: Vec<bool>,
}

impl Pooled {
    /// Columns that are left as they are.
    pub(super) fn identity(columns: &[String]) -> Self {
        Self { scaler: Scaler::identity(columns), constant: vec![false; columns.len()] }
    }

    /// The scaling that follows from what all providers posted; masks cancel in the sums.
    pub(super) fn new(columns: &[String], units: &Units, posted: &[Vec<u8>]) -> Result<Self, ScalingError> {
        let modulus = modulus();
        let half = &modulus >> 1u32;
        let sum = |place: usize| {
            let part =
                |bytes: &Vec<u8>| BigUint::from_bytes_be(&bytes[place * MOMENT_BYTES..][..MOMENT_BYTES]);
            let sum = posted.iter().map(part).sum::<BigUint>() % &modulus;
            match sum > half {
                true => BigInt::from(sum) - BigInt::from(modulus.clone()),
                false => BigInt::from(sum),
            }
        };
        let float = |x: &BigInt| x.to_f64().unwrap_or(f64::NAN);
        let mut moments = Vec::with_capacity(columns.len());
        let mut constant = Vec::with_capacity(columns.len());
        for (column, (name, &unit)) in columns.iter().zip(&units.0).enumerate() {
            let [count, values, squares] = [0, 1, 2].map(|i| sum(3 * column + i));
            if count <= BigInt::ZERO {
                return Err(ScalingError::NoValue { column: name.clone() });
            }
            let n = float(&count);
            // n²·variance, exact.
            let spread = &count * squares - &values * &values;
            // Rounded once: the mean of equal values is their value.
            let is_whole = (&values % &count).is_zero();
            let mean = if is_whole { float(&(&values / &count)) } else { float(&values) / n };
            let deviation = (!spread.is_zero()).then(|| float(&spread).sqrt() / n);
            constant.push(deviation.is_none());
            moments.push((
                name.clone(),
                times_power_of_two(mean, unit),
                deviation.map(|deviation| times_power_of_two(deviation, unit)),
            ));
        }
        Ok(Self { scaler: Scaler::standard(moments)?, constant })
    }
}

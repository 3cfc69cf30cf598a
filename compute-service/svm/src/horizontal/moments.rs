//! Common scaling of the columns from sums over all providers' rows (`protocols.md` 3), each masked: of the number of
//! values, the values, and their squares.

use crate::{
    scaling::{Scaler, ScalingError},
    table::Table,
};
use num_bigint::{BigInt, BigUint};
use num_traits::{One, ToPrimitive};
use records::MOMENT_BYTES;

/// Binary places of a value in the sums.
const PLACES: i32 = 16;
/// Largest |x| in the sums, so that those of 10,000,000 rows of 64 providers and their squares do not overflow.
const LARGEST: f64 = (1u64 << 40) as f64;

/// A column or row that cannot take part.
pub(super) type Unfit = String;

/// The modulus of the masked sums.
pub(super) fn modulus() -> BigUint {
    BigUint::one() << (8 * MOMENT_BYTES)
}

/// A provider's sums, three for each column.
pub(super) fn sums(table: &Table) -> Result<Vec<BigUint>, Unfit> {
    let mut sums = vec![BigInt::ZERO; 3 * table.columns.len()];
    for row in &table.rows {
        for (column, value) in row.values.iter().enumerate() {
            let Some(value) = value else { continue };
            if value.abs() >= LARGEST {
                let name = &table.columns[column];
                return Err(format!("line {}, column `{name}`: {value} is too large to be scaled", row.line));
            }
            let units = (value * f64::from(1 << PLACES)).round_ties_even() as i128;
            sums[3 * column] += 1;
            sums[3 * column + 1] += units;
            sums[3 * column + 2] += units * units;
        }
    }
    let modulus = BigInt::from(modulus());
    Ok(sums.into_iter().map(|sum| ((sum + &modulus) % &modulus).to_biguint().expect("reduced")).collect())
}

/// The scaling that providers of these rows come to, whoever of them has which row.
///
/// # Errors
/// A value that is too large, or a column without one.
pub fn pooled(table: &Table) -> Result<Scaler, String> {
    let sums = sums(table)?;
    let unmasked = encode(&sums, &vec![BigUint::ZERO; sums.len()]);
    scaler(&table.columns, &[unmasked]).map_err(|e| e.to_string())
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

/// The scaling that follows from what all providers posted; masks cancel in the sums.
pub(super) fn scaler(columns: &[String], posted: &[Vec<u8>]) -> Result<Scaler, ScalingError> {
    let modulus = modulus();
    let half = &modulus >> 1u32;
    let sum = |place: usize| {
        let part = |bytes: &Vec<u8>| BigUint::from_bytes_be(&bytes[place * MOMENT_BYTES..][..MOMENT_BYTES]);
        let sum = posted.iter().map(part).sum::<BigUint>() % &modulus;
        match sum > half {
            true => BigInt::from(sum) - BigInt::from(modulus.clone()),
            false => BigInt::from(sum),
        }
    };
    let moments = |(column, name): (usize, &String)| {
        let [count, values, squares] = [0, 1, 2].map(|i| sum(3 * column + i));
        let float = |x: &BigInt| x.to_f64().unwrap_or(f64::NAN);
        if count <= BigInt::ZERO {
            return Err(ScalingError::NoValue { column: name.clone() });
        }
        let unit = 2f64.powi(-PLACES);
        // n²·variance, exact.
        let spread = &count * squares - &values * &values;
        let n = float(&count);
        Ok((name.clone(), float(&values) / n * unit, float(&spread).sqrt() / n * unit))
    };
    Scaler::standard(&columns.iter().enumerate().map(moments).collect::<Result<Vec<_>, _>>()?)
}

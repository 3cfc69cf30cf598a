//! Rows as plaintexts and back: exact decimals, several in a plaintext.

use super::SharingError;
use dataset::{Label, table::Table};
use num_bigint::BigInt;
use paillier::{EncryptionKey, packing::Packing};
use records::{Decimal, SCALE, SHARED_VALUE_BITS, SharedTable};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Stands for a gap: the least number that fits a slot.
const GAP: i64 = -i64::MAX;

/// The values of a table's rows in units of 10^−9, labels last; wiped on drop, never shown.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Values {
    width: usize,
    units: Vec<i64>,
    /// Cells with more than nine decimal places, which were rounded.
    #[zeroize(skip)]
    pub(super) rounded: u64,
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values({} × {})", self.units.len() / self.width, self.width)
    }
}

impl Values {
    /// Takes a table's values, exact to nine decimal places.
    ///
    /// # Errors
    /// The line and column of a number that is too large, or a column that is too fine.
    pub(super) fn encode(table: &Table) -> Result<Self, String> {
        let width = table.columns.len() + usize::from(table.classes.is_some());
        let mut values = Self { width, units: Vec::with_capacity(width * table.rows.len()), rounded: 0 };
        require_places(table)?;
        for row in &table.rows {
            for (value, column) in row.values.iter().zip(&table.columns) {
                let units = match value {
                    None => GAP,
                    Some(x) => {
                        let (units, exact) = decimal(*x).ok_or_else(|| {
                            format!(
                                "line {}, column `{column}`: the number is too large; below 9,223,372,036 in magnitude can \
                                 be shared",
                                row.line
                            )
                        })?;
                        values.rounded += u64::from(!exact);
                        units
                    }
                };
                values.units.push(units);
            }
            if table.classes.is_some() {
                values.units.push(row.label.map_or(GAP, |label| label.sign() * SCALE));
            }
        }
        Ok(values)
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.units.len() / self.width
    }

    /// A row's values.
    pub(super) fn row(&self, row: usize) -> &[i64] {
        &self.units[row * self.width..][..self.width]
    }

    /// SHA-256 of some rows.
    pub(super) fn digest(&self, rows: std::ops::Range<usize>) -> [u8; 32] {
        let units = &self.units[rows.start * self.width..rows.end * self.width];
        let hash = Sha256::new().chain_update((self.width as u64).to_be_bytes());
        units.iter().fold(hash, |hash, units| hash.chain_update(units.to_be_bytes())).finalize().into()
    }
}

/// Checks that rounding to nine decimal places leaves of every column what tells its values apart.
fn require_places(table: &Table) -> Result<(), String> {
    for (place, column) in table.columns.iter().enumerate() {
        let values = || table.rows.iter().filter_map(|row| row.values[place]);
        let (low, high) =
            values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let spread = if low == high { high.abs() } else { high - low };
        let lost = values().filter_map(|x| {
            let (units, is_exact) = decimal(x)?;
            (!is_exact).then(|| (Decimal::from_raw(units).to_f64() - x).abs())
        });
        if lost.fold(0.0, f64::max) > spread / 4096.0 {
            return Err(format!(
                "column `{column}`: the values are too fine to be shared with nine decimal places; share the column in a \
                 smaller unit of measurement"
            ));
        }
    }
    Ok(())
}

/// A number as the decimal with which it is read again, or the nearest of nine places; and whether it is the former.
fn decimal(x: f64) -> Option<(i64, bool)> {
    let shortest = x.to_string().parse::<Decimal>().map(|decimal| (decimal, true));
    let rounded = || format!("{x:.9}").parse().map(|decimal| (decimal, false));
    let (decimal, exact) = shortest.or_else(|_| rounded()).ok()?;
    (decimal.raw() != GAP).then(|| (decimal.raw(), exact))
}

/// How a row's values lie in plaintexts.
pub(super) struct Form {
    packing: Packing,
    values: usize,
    has_label: bool,
}

/// A row that was read: a value for each column, none for a gap, and the class.
#[derive(Debug, PartialEq)]
pub(super) struct Opened {
    pub(super) values: Vec<Option<Decimal>>,
    pub(super) label: Option<Label>,
}

impl Form {
    /// That of a table whose rows are encrypted under this key.
    pub(super) fn new(table: &SharedTable, key: &EncryptionKey) -> Result<Self, SharingError> {
        let packing =
            Packing::new(key, SHARED_VALUE_BITS, 0).map_err(|e| SharingError::Input(e.to_string()))?;
        Ok(Self { packing, values: table.values(), has_label: table.classes.is_some() })
    }

    pub(super) fn pack(&self, row: &[i64]) -> Vec<BigInt> {
        let values: Vec<BigInt> = row.iter().map(|units| BigInt::from(*units)).collect();
        self.packing.pack(&values).expect("63 bits and a sign fit a slot")
    }

    /// Reads a row's plaintexts. All slots together are 63 bits shorter than the modulus, so that what was encrypted under
    /// another key does not pass for values.
    pub(super) fn unpack(&self, plaintexts: &[BigInt]) -> Result<Opened, String> {
        let slots = plaintexts.len() * self.packing.slots();
        let mut units =
            self.packing.unpack(plaintexts, slots).map_err(|_| "it does not hold packed values")?;
        if units.drain(self.values..).any(|unused| unused != BigInt::ZERO) {
            return Err("there is something behind its last value".into());
        }
        let units: Option<Vec<i64>> = units.iter().map(|v| i64::try_from(v).ok()).collect();
        let mut units = units.filter(|units| !units.contains(&i64::MIN)).ok_or("a value is out of range")?;
        let label = match self.has_label.then(|| units.pop()).flatten() {
            None => None,
            Some(SCALE) => Some(Label::Positive),
            Some(units) if units == -SCALE => Some(Label::Negative),
            Some(_) => return Err("its label is neither of the two classes".into()),
        };
        let value = |units: i64| (units != GAP).then(|| Decimal::from_raw(units));
        Ok(Opened { values: units.into_iter().map(value).collect(), label })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::table::Columns;

    fn table(cell: &str) -> Table {
        let columns =
            Columns { label: Some("ill".into()), positive: Some("yes".into()), ..Columns::default() };
        Table::parse(format!("age,ill\n{cell},yes\n2,no\n").as_bytes(), &columns).unwrap()
    }

    #[test]
    fn decimals_are_exact_and_gaps_are_kept() {
        let units =
            |cell: &str| Values::encode(&table(cell)).map(|v| (v.row(0).to_vec(), v.rounded)).unwrap();
        let label = SCALE;
        for (cell, expected) in [
            ("0.1", 100_000_000),
            ("-0.000000001", -1),
            ("123456789.1", 123_456_789_100_000_000),
            ("-9223372036.5", -9_223_372_036_500_000_000),
            ("?", GAP),
        ] {
            assert_eq!(units(cell), (vec![expected, label], 0), "{cell}");
        }
        assert_eq!(units("0.3333333333333"), (vec![333_333_333, label], 1));
        assert_eq!(units("1e-300"), (vec![0, label], 1));
        for large in ["9223372037", "-1e12", "1e300"] {
            let error = Values::encode(&table(large)).unwrap_err();
            assert!(error.starts_with("line 2, column `age`: ") && !error.contains(large), "{error}");
        }
    }

    #[test]
    fn a_column_in_a_small_unit_is_named_and_not_shared_as_nothing() {
        let of = |cells: [&str; 3]| {
            let text = format!("age,analyte\n1,{}\n2,{}\n3,{}\n", cells[0], cells[1], cells[2]);
            let table = Table::parse(text.as_bytes(), &Columns::default()).unwrap();
            Values::encode(&table).map(|values| values.rounded)
        };
        for fine in [["5.996e-9", "6.7476e-9", "4.2273e-9"], ["1e-12", "?", "1e-12"], ["1e-300", "0", "0"]] {
            let said = of(fine).unwrap_err();
            assert!(said.starts_with("column `analyte`: the values are too fine"), "{said}");
        }
        assert_eq!(of(["5e-9", "7e-9", "0"]), Ok(0), "exact");
        assert_eq!(of(["0.3333333333333", "1", "1e-300"]), Ok(2), "no loss beside the others");
    }

    #[test]
    fn rows_come_back_and_what_is_none_is_refused() {
        let key = paillier::PrivateKey::generate(256, &mut crate::os_rng()).unwrap();
        let packing = Packing::new(key.public(), SHARED_VALUE_BITS, 0).unwrap();
        // Three values in a plaintext; the second has a label and two that are not used.
        let form = Form { packing, values: 4, has_label: true };
        let read = |row: &[i64]| form.unpack(&form.pack(row));
        let most = i64::MAX;
        let values = [Some(most), Some(1 - most), None].map(|units| units.map(Decimal::from_raw));
        let opened = Opened { values: values.into(), label: Some(Label::Negative) };
        assert_eq!(read(&[most, 1 - most, GAP, -SCALE]), Ok(opened));
        assert!(read(&[1, 2, 3, 4]).unwrap_err().contains("classes"));
        assert!(read(&[1, 2, 3, SCALE, 0, 1]).unwrap_err().contains("behind"));
        let least = BigInt::from(i64::MIN);
        assert!(form.unpack(&[least, SCALE.into()]).unwrap_err().contains("range"));
        for beyond in [key.public().max_plaintext().clone(), num_bigint::BigUint::from(1u32) << 192u32] {
            let error = form.unpack(&[beyond.into(), SCALE.into()]).unwrap_err();
            assert!(error.contains("packed"), "{error}");
        }
    }
}

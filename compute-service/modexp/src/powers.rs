//! Secret powers, and products of them that share their squarings.

use crate::number::Montgomery;
use crate::ring::{DEAR, FEW, Residue, Ring, in_blocks, with_engine};
use crate::window::{Column, Joining};
use crate::{Error, Secret, window};
use num_bigint::BigUint;

impl Ring {
    /// Each base to the same secret power, in constant time.
    pub fn pow_secret(&self, bases: &[Residue], exponent: &Secret) -> Vec<Residue> {
        let few = self.0.few.is_some() && bases.len() <= FEW;
        let wide = 2 * exponent.width() as u64 > 3 * self.0.montgomery.n.bits();
        if let Some(low) = self.0.low.as_ref().filter(|_| wide && !few) {
            return self.pow_secret_wide(low, bases, exponent);
        }
        with_engine!(self, for bases.len(), engine => in_blocks(&**engine, bases.len(), DEAR, |from, to| {
            window::pow_secret(&**engine, &bases[from..to], &vec![exponent; to - from])
        }))
    }

    /// [`pow_secret`](Self::pow_secret) modulo N² by an exponent x₁·N + x₀ much wider than N: as (b^x₁ mod N)^N·b^x₀. An Nth
    /// power modulo N² depends on its base modulo N only, and modulo N a squaring costs less than half.
    fn pow_secret_wide(&self, low: &Ring, bases: &[Residue], exponent: &Secret) -> Vec<Residue> {
        let Montgomery { n, count, parts, .. } = &self.0.montgomery;
        let (quotient, rest) = exponent.div_rem(n);
        let low_bases: Vec<Residue> =
            bases.iter().map(|base| Residue::from_digits(base.digits()[..*count].to_vec())).collect();
        let roots: Vec<Residue> = low
            .pow_secret(&low_bases, &quotient)
            .iter()
            .map(|power| {
                let mut digits = Vec::with_capacity(parts * count);
                digits.extend_from_slice(power.digits());
                digits.resize(parts * count, 0);
                Residue::from_digits(digits)
            })
            .collect();
        let column = Column { bases, exponents: vec![&rest; bases.len()], shift: 0 };
        self.products(&[column], &[Public::Power(&roots, n)])
    }

    /// Each base to its own secret power, in constant time.
    ///
    /// # Panics
    /// If there are not as many exponents as bases, or the exponents differ in width.
    pub fn pow_secret_each(&self, bases: &[Residue], exponents: &[Secret]) -> Vec<Residue> {
        assert_eq!(bases.len(), exponents.len(), "one exponent for each base");
        assert!(exponents.windows(2).all(|e| e[0].width() == e[1].width()), "exponents of one width");
        with_engine!(self, for bases.len(), engine => in_blocks(&**engine, bases.len(), DEAR, |from, to| {
            window::pow_secret(&**engine, &bases[from..to], &exponents[from..to].iter().collect::<Vec<_>>())
        }))
    }

    /// For each i the product of bases\[i\]^exponents\[i\] over all `columns` of (bases, exponents), in constant time. The
    /// powers of a product share their squarings, so that it costs much less than
    /// [`pow_secret_each`](Self::pow_secret_each) for each column. The columns may differ in the width of their exponents.
    ///
    /// # Panics
    /// If there is no column, the columns differ in length, or the exponents of one column differ in width.
    pub fn multi_pow_secret(&self, columns: &[(&[Residue], &[Secret])]) -> Vec<Residue> {
        self.products(&shifted(columns, 0), &[])
    }

    /// As [`multi_pow_secret`](Self::multi_pow_secret) with signed exponents: all are of one width w ≥ 1, and e stands
    /// for e − 2^(w−1).
    ///
    /// # Errors
    /// [`Error::NotInvertible`] where the bases at an index are not all units.
    ///
    /// # Panics
    /// As there, or if the exponents differ in width.
    pub fn multi_pow_secret_signed(
        &self,
        columns: &[(&[Residue], &[Secret])],
    ) -> Result<Vec<Residue>, Error> {
        let mut widths = columns.iter().flat_map(|(_, exponents)| exponents.iter()).map(Secret::width);
        let width = widths.next().unwrap_or(1);
        assert!(width > 0 && widths.all(|other| other == width), "exponents of one width");
        let (first, rest) = columns.split_first().expect("at least one column");
        let bases = rest.iter().fold(first.0.to_vec(), |product, (bases, _)| self.mul_pairs(&product, bases));
        let inverses = self.invert_batch(&bases)?;
        Ok(self.products(&shifted(columns, 0), &[Public::Factor(&inverses, width - 1)]))
    }

    /// As [`multi_pow_secret`](Self::multi_pow_secret), with column k counting 2^(shift·k) times, and times roots\[i\]^power.
    /// All of it shares its squarings: as many as the longest of these powers has bits.
    ///
    /// # Panics
    /// As there, or if there are not as many roots as products.
    pub fn multi_pow_secret_packed(
        &self,
        columns: &[(&[Residue], &[Secret])],
        shift: usize,
        (roots, power): (&[Residue], &BigUint),
    ) -> Vec<Residue> {
        self.products(&shifted(columns, shift), &[Public::Power(roots, power)])
    }

    fn products(&self, columns: &[Column], public: &[Public]) -> Vec<Residue> {
        let count = columns.first().expect("at least one column").bases.len();
        for Column { bases, exponents, .. } in columns {
            assert!(
                bases.len() == count && exponents.len() == count,
                "a base and an exponent for each product"
            );
            assert!(exponents.windows(2).all(|e| e[0].width() == e[1].width()), "exponents of one width");
        }
        for Public::Factor(all, _) | Public::Power(all, _) in public {
            assert_eq!(all.len(), count, "as many as products");
        }
        with_engine!(self, for count, engine => in_blocks(&**engine, count, DEAR, |from, to| {
            let columns: Vec<Column> = columns.iter().map(|column| column.part(from, to)).collect();
            let joining = public.iter().map(|public| match public {
                Public::Factor(factors, bit) => Joining::once(&**engine, &factors[from..to], *bit),
                Public::Power(roots, power) => Joining::power(&**engine, &roots[from..to], power),
            });
            window::product_secret(&**engine, &columns, &joining.collect::<Vec<_>>())
        }))
    }
}

/// What joins each product at public bits.
enum Public<'a> {
    /// A factor that counts 2^bit times.
    Factor(&'a [Residue], usize),
    /// A root to one power.
    Power(&'a [Residue], &'a BigUint),
}

/// Column k counts 2^(shift·k) times.
fn shifted<'a>(columns: &[(&'a [Residue], &'a [Secret])], shift: usize) -> Vec<Column<'a>> {
    let column = |(k, (bases, exponents)): (usize, &(&'a [Residue], &'a [Secret]))| Column {
        bases,
        exponents: exponents.iter().collect(),
        shift: shift * k,
    };
    columns.iter().enumerate().map(column).collect()
}

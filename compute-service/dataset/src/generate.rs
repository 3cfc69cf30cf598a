//! A generated data set, so that the demonstration needs no download.

use crate::split::{below, generator};
use rand_chacha::ChaCha20Rng;
use std::fmt::Write;

/// Name of the id column of the generated table.
pub const ID: &str = "patient";
/// Name of its label column; 1 is positive.
pub const LABEL: &str = "disease";

/// How a generated column depends on the class and on what the patient shares with the other columns.
struct Measure {
    name: &'static str,
    mean: f64,
    deviation: f64,
    /// Shift of the mean, in deviations, from healthy to ill.
    shift: f64,
    /// Which hidden factor it shares, and with which weight.
    factor: Option<(usize, f64)>,
    places: usize,
}

const fn measure(
    name: &'static str,
    (mean, deviation): (f64, f64),
    shift: f64,
    factor: Option<(usize, f64)>,
    places: usize,
) -> Measure {
    Measure { name, mean, deviation, shift, factor, places }
}

/// Informative, correlated (hidden factors: circulation, sugar, body) and useless measures.
const MEASURES: [Measure; 12] = [
    measure("age", (52.0, 11.0), 1.05, None, 0),
    measure("body_mass_index", (26.0, 4.0), 0.6, Some((2, 0.8)), 1),
    measure("systolic_pressure", (128.0, 14.0), 1.35, Some((0, 0.8)), 0),
    measure("diastolic_pressure", (81.0, 9.0), 0.9, Some((0, 0.8)), 0),
    measure("glucose", (5.6, 0.9), 1.65, Some((1, 0.7)), 1),
    measure("hba1c", (5.5, 0.6), 1.5, Some((1, 0.7)), 1),
    measure("cholesterol", (5.2, 0.9), 0.75, Some((2, 0.4)), 2),
    measure("hdl", (1.4, 0.3), -1.2, Some((2, -0.5)), 2),
    measure("c_reactive_protein", (4.0, 1.5), 1.8, None, 1),
    measure("resting_heart_rate", (71.0, 9.0), 0.45, Some((0, 0.3)), 0),
    measure("sodium", (140.0, 2.5), 0.0, None, 0),
    measure("visit_hour", (12.0, 2.5), 0.0, None, 1),
];

/// A table of invented patients as CSV text: id, twelve measures, class. About two in five are ill, and one label in
/// thirty is wrong. The same seed gives the same text.
pub fn patients(rows: usize, seed: u64) -> String {
    let mut rng = generator("confab generate", seed);
    let names = MEASURES.map(|m| m.name).join(",");
    let mut text = format!("{ID},{names},{LABEL}\n");
    for row in 1..=rows {
        let ill = below(&mut rng, 5) < 2;
        let factors = [normal(&mut rng), normal(&mut rng), normal(&mut rng)];
        write!(text, "P{row:05}").expect("writing to a string");
        for m in &MEASURES {
            let own = normal(&mut rng);
            let noise = m.factor.map_or(own, |(factor, weight)| {
                weight * factors[factor] + (1.0 - weight * weight).sqrt() * own
            });
            let value = m.mean + m.deviation * (noise + if ill { m.shift } else { 0.0 });
            write!(text, ",{:.*}", m.places, value).expect("writing to a string");
        }
        let wrong = below(&mut rng, 30) == 0;
        writeln!(text, ",{}", u8::from(ill != wrong)).expect("writing to a string");
    }
    text
}

/// Roughly normal, mean 0 and deviation 1: twelve uniform numbers less six. Sums are the same on every machine.
fn normal(rng: &mut ChaCha20Rng) -> f64 {
    const STEPS: u64 = 1 << 32;
    (0..12).map(|_| below(rng, STEPS) as f64 / STEPS as f64).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Label,
        table::{Columns, Table},
    };

    #[test]
    fn has_the_promised_shape() {
        let text = patients(400, 1);
        assert_eq!(text, patients(400, 1));
        assert_ne!(text, patients(400, 2));
        let columns = Columns { label: Some(LABEL.into()), id: Some(ID.into()), ..Columns::default() };
        let mut table = Table::parse(text.as_bytes(), &columns).unwrap();
        assert_eq!((table.rows.len(), table.columns.len()), (400, 12));
        table.order_by_id().expect("unique ids");
        table.require_no_gaps().unwrap();
        let ill = table.labels().unwrap().iter().filter(|&&l| l == Label::Positive).count();
        assert!((120..200).contains(&ill), "{ill}");
    }

    #[test]
    fn pressures_go_together_and_the_hour_with_nothing() {
        let columns = Columns { label: Some(LABEL.into()), id: Some(ID.into()), ..Columns::default() };
        let table = Table::parse(patients(2_000, 3).as_bytes(), &columns).unwrap();
        let column = |name: &str| -> Vec<f64> {
            let index = table.columns.iter().position(|c| c == name).unwrap();
            table.rows.iter().map(|r| r.values[index].unwrap()).collect()
        };
        let correlation = |a: &[f64], b: &[f64]| {
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let (ma, mb) = (mean(a), mean(b));
            let product = |x: &[f64], mx: f64, y: &[f64], my: f64| -> f64 {
                x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum()
            };
            product(a, ma, b, mb) / (product(a, ma, a, ma) * product(b, mb, b, mb)).sqrt()
        };
        assert!(correlation(&column("systolic_pressure"), &column("diastolic_pressure")) > 0.5);
        assert!(correlation(&column("visit_hour"), &column("glucose")).abs() < 0.1);
    }
}

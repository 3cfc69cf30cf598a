//! Charts as SVG elements for a page. Colours are classes, so that the page's style decides them.

use records::text::Escaped;
use std::fmt::Write;

/// Text between tags or in quotes of an attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in Escaped(text).to_string().chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// An axis with round numbers at its ticks, from the first to the last.
pub struct Axis {
    label: &'static str,
    ticks: Vec<f64>,
    /// Decimal places of the ticks.
    places: usize,
}

impl Axis {
    /// That begins at 0 and holds `most`; what is not finite or not above 0 counts as 1.
    pub fn from_zero(label: &'static str, most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let rough = most / 5.0;
        let power = rough.log10().floor();
        let unit = 10f64.powf(power);
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * unit).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        // A most that is a tick but for rounding needs no further one.
        let count = (most / step - 1e-9).ceil().max(1.0) as u32;
        let quarter = (step / unit - 2.5).abs() < 1e-9;
        let places = (-power).max(0.0) as usize + usize::from(quarter && power <= 0.0);
        Self { label, ticks: (0..=count).map(|tick| f64::from(tick) * step).collect(), places }
    }

    fn most(&self) -> f64 {
        self.ticks[self.ticks.len() - 1]
    }

    fn text(&self, tick: f64) -> String {
        format!("{tick:.*}", self.places)
    }
}

/// Size of a chart of lines, in units of the picture.
const WIDTH: f64 = 430.0;
const HEIGHT: f64 = 420.0;
/// Where its plot begins and ends.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 416.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 372.0;

/// Most points of a line.
const POINTS: usize = 400;

/// A chart of lines.
pub struct Chart {
    svg: String,
    x: Axis,
    y: Axis,
}

impl Chart {
    /// Without lines; `name` is for those who cannot see it.
    pub fn new(name: &str, x: Axis, y: Axis) -> Self {
        let mut svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escape(name));
        let mut chart = Self { svg: String::new(), x, y };
        for tick in &chart.x.ticks {
            let (at, text) = (chart.across(*tick), chart.x.text(*tick));
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{BOTTOM}\"/>\
                 <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                BOTTOM + 18.0
            );
        }
        for tick in &chart.y.ticks {
            let (at, text) = (chart.up(*tick), chart.y.text(*tick));
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{RIGHT}\" y2=\"{at:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 8.0,
                at + 4.0
            );
        }
        let (middle, centre) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>\
             <text class=\"label\" x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"label\" transform=\"translate(14 {centre}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 40.0,
            chart.x.label,
            chart.y.label
        );
        chart.svg = svg;
        chart
    }

    fn across(&self, x: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * x / self.x.most()
    }

    fn up(&self, y: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * y.clamp(0.0, self.y.most()) / self.y.most()
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let finite = points.filter(|(x, y)| x.is_finite() && y.is_finite());
        let place = |(x, y)| format!("{:.1} {:.1}", self.across(x), self.up(y));
        finite.map(place).collect::<Vec<_>>().join("L")
    }

    /// A line through points; what lies beyond the axes lies on their ends, what is not finite is left out.
    pub fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let path = self.path(thinned(points));
        let _ = writeln!(self.svg, "<path class=\"{class}\" d=\"M{path}\"/>");
    }

    /// The surface between lower and upper ends, (x, lower, upper).
    pub fn band(&mut self, class: &str, ends: &[(f64, f64, f64)]) {
        let upper = self.path(thinned(ends).map(|(x, _, y)| (x, y)));
        let lower = self.path(thinned(ends).collect::<Vec<_>>().into_iter().rev().map(|(x, y, _)| (x, y)));
        let _ = writeln!(self.svg, "<path class=\"{class}\" d=\"M{upper}L{lower}Z\"/>");
    }

    /// The element.
    pub fn finish(self) -> String {
        self.svg + "</svg>\n"
    }
}

/// Every k-th of many, and the last.
fn thinned<T: Copy>(all: &[T]) -> impl Iterator<Item = T> {
    let (step, last) = (all.len().div_ceil(POINTS).max(1), all.len().saturating_sub(1));
    all.iter()
        .copied()
        .enumerate()
        .filter(move |(place, _)| place % step == 0 || *place == last)
        .map(|(_, item)| item)
}

/// Bars of parts one after another: a name and the lengths of the parts of each bar, in seconds.
pub fn bars(name: &str, parts: &[&str], bars: &[(String, Vec<f64>)]) -> String {
    const LINE: f64 = 26.0;
    const WIDE: f64 = 900.0;
    const FIRST: f64 = 150.0;
    const LAST: f64 = 830.0;
    let sum = |lengths: &[f64]| lengths.iter().sum::<f64>();
    let axis = Axis::from_zero("seconds", bars.iter().map(|(_, lengths)| sum(lengths)).fold(0.0, f64::max));
    let across = |x: f64| FIRST + (LAST - FIRST) * x / axis.most();
    let bottom = LINE * bars.len() as f64 + 6.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDE} {:.0}\" role=\"img\" aria-label=\"{}\">\n",
        bottom + 48.0,
        escape(name)
    );
    for tick in &axis.ticks {
        let (at, text) = (across(*tick), axis.text(*tick));
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"0\" x2=\"{at:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            bottom + 18.0
        );
    }
    for (place, (label, lengths)) in bars.iter().enumerate() {
        let top = LINE * place as f64 + 4.0;
        let _ = writeln!(
            svg,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            FIRST - 10.0,
            top + 14.0,
            escape(label)
        );
        let mut begin = 0.0;
        for (part, (length, name)) in lengths.iter().zip(parts).enumerate() {
            let _ = writeln!(
                svg,
                "<rect class=\"part{part}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"18\"><title>{}: {length:.2} s</title></rect>",
                across(begin),
                across(length.max(0.0)) - FIRST,
                escape(name)
            );
            begin += length.max(0.0);
        }
        let _ = writeln!(
            svg,
            "<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{begin:.1}</text>",
            across(begin) + 6.0,
            top + 14.0
        );
    }
    let _ = writeln!(
        svg,
        "<path class=\"axis\" d=\"M{FIRST} 0V{bottom:.1}H{LAST}\"/>\
         <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        (FIRST + LAST) / 2.0,
        bottom + 40.0,
        axis.label
    );
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(most: f64) -> Vec<String> {
        let axis = Axis::from_zero("", most);
        axis.ticks.iter().map(|tick| axis.text(*tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_the_largest_value() {
        assert_eq!(ticks(1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(ticks(100.0), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(ticks(24.0), ["0", "5", "10", "15", "20", "25"]);
        assert_eq!(ticks(0.012), ["0.0000", "0.0025", "0.0050", "0.0075", "0.0100", "0.0125"]);
        assert_eq!(ticks(12.0), ["0.0", "2.5", "5.0", "7.5", "10.0", "12.5"]);
        assert_eq!(ticks(120.0), ["0", "25", "50", "75", "100", "125"]);
        for strange in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(ticks(strange), ticks(1.0));
        }
    }

    #[test]
    fn values_beyond_the_axes_stay_in_the_plot_and_no_number_is_written_that_is_none() {
        let mut chart = Chart::new("a <name>", Axis::from_zero("x", 1.0), Axis::from_zero("y", 1.0));
        chart.line("mean", &[(0.0, -1.0), (0.5, f64::NAN), (f64::INFINITY, 0.0), (1.0, 2.0)]);
        chart.band("band", &[(0.0, -1.0, 0.5), (1.0, 0.5, 9.0)]);
        let svg = chart.finish();
        assert!(svg.contains("aria-label=\"a &lt;name&gt;\""), "{svg}");
        assert!(svg.contains("class=\"mean\" d=\"M58.0 372.0L416.0 14.0\""), "{svg}");
        assert!(svg.contains("d=\"M58.0 193.0L416.0 14.0L416.0 193.0L58.0 372.0Z\""), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn long_lines_are_thinned_and_keep_their_end() {
        let thin: Vec<usize> = thinned(&(0..1501).collect::<Vec<_>>()).collect();
        assert!(thin.len() <= POINTS + 1, "{}", thin.len());
        assert_eq!((thin[0], thin[1], thin[thin.len() - 1]), (0, 4, 1500));
        assert_eq!(thinned(&[7]).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("<a href=\"x\">'&\u{7}"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\\u{7}");
        let svg = bars("times", &["<b>"], &[("\"1\"".into(), vec![2.0])]);
        assert!(
            svg.contains("&quot;1&quot;") && svg.contains("&lt;b&gt;: 2.00 s") && !svg.contains("<b>"),
            "{svg}"
        );
    }
}

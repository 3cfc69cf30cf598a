//! The report as one page that needs nothing else: no scripts, no fonts, no pictures from elsewhere.

use super::{
    Evaluation, ROC_STEPS, Secure,
    chart::{Axis, Chart, bars, escape},
    measures, spread,
};
use dataset::{Spread, metrics::Confusion};
use std::fmt::Write;
use svm::evaluation::Partition;

/// The page.
pub fn page(e: &Evaluation) -> String {
    let partition = match e.setting.partition {
        Partition::Columns { .. } => "columns",
        Partition::Rows { .. } => "rows",
    };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Confab: evaluation of a training by {partition}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <header>\n<h1>Evaluation of a training by {partition}</h1>\n<p class=\"lead\">{}</p>\n</header>\n",
        include_str!("style.css"),
        escape(&e.data.file)
    );
    page += &tiles(e);
    page += &facts(e);
    page += &table_of_measures(e);
    page += "<h2>Curves</h2>\n<div class=\"grid-2\">\n";
    page += &objective(e);
    page += &roc(e);
    page += "</div>\n";
    page += &confusions(e);
    if let Some(secure) = &e.secure {
        page += &encrypted(secure);
    }
    page += &all_folds(e);
    page += "<footer><p>Means and standard deviations (of the population, n in the denominator) are over folds. The plaintext \
             reference computes with the integers of the encrypted training; floating point is the same training in 64-bit \
             numbers. Where nothing can be divided by, precision, recall and F1 are 0.</p></footer>\n</body>\n</html>\n";
    page
}

fn tiles(e: &Evaluation) -> String {
    let class = escape(&e.data.positive);
    let tiles = [
        ("accuracy".to_string(), &e.reference.accuracy),
        (format!("F1, class {class}"), &e.reference.positive.f1),
        (format!("F1, class {}", escape(&e.data.negative)), &e.reference.inverted.f1),
        ("area under the ROC curve".into(), &e.auc),
    ];
    let tile = |(name, value): &(String, &Spread)| {
        format!(
            "<div class=\"card\"><b>{:.3}</b><span>± {:.3} {name}</span></div>\n",
            value.mean, value.deviation
        )
    };
    format!("<div class=\"tiles\">\n{}</div>\n", tiles.iter().map(tile).collect::<String>())
}

fn facts(e: &Evaluation) -> String {
    let data = &e.data;
    let mut facts = vec![
        ("Rows", format!("{} {}", data.rows, data.about_classes())),
        ("Gaps", data.about_gaps()),
        ("Training", e.about_training()),
        ("Scaling", e.about_scaling().into()),
        ("Folds", e.about_folds()),
    ];
    facts.extend(e.remarks().into_iter().map(|remark| ("Note", remark)));
    if let Some(secure) = &e.secure {
        facts.push(("Encrypted", e.about_secure(secure)));
        facts.extend(secure.about_key().map(|key| ("Key", key)));
    }
    let fact = |(name, text): &(&str, String)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(text));
    format!("<dl class=\"card\">\n{}</dl>\n", facts.iter().map(fact).collect::<String>())
}

fn table_of_measures(e: &Evaluation) -> String {
    let mut table = "<h2>Measures</h2>\n<div class=\"card scroll\"><table>\n<thead><tr><th>mean ± standard deviation</th>\
                     <th class=\"text\">positive class</th><th>accuracy</th><th>precision</th><th>recall</th><th>F1</th>\
                     </tr></thead>\n<tbody>\n"
        .to_string();
    for [model, class, values @ ..] in measures(e) {
        let values: String = values.iter().map(|value| format!("<td>{value}</td>")).collect();
        let _ =
            writeln!(table, "<tr><th>{model}</th><td class=\"text\">{}</td>{values}</tr>", escape(&class));
    }
    table + "</tbody></table></div>\n"
}

/// An entry of a legend.
fn key(class: &str, text: &str) -> String {
    format!("<span class=\"key\"><i class=\"{class}\"></i>{}</span>", escape(text))
}

fn objective(e: &Evaluation) -> String {
    let curve = &e.objective;
    let ends: Vec<(f64, f64, f64)> = curve
        .mean
        .iter()
        .zip(&curve.deviation)
        .enumerate()
        .map(|(update, (mean, deviation))| (update as f64, mean - deviation, mean + deviation))
        .collect();
    let means: Vec<(f64, f64)> =
        curve.mean.iter().enumerate().map(|(update, y)| (update as f64, *y)).collect();
    let most = ends.iter().map(|end| end.2).filter(|y| y.is_finite()).fold(0.0, f64::max);
    let x = Axis::from_zero("iteration", means.len().saturating_sub(1) as f64);
    let mut chart =
        Chart::new("Objective by iteration", x, Axis::from_zero("objective on the training rows", most));
    chart.band("band", &ends);
    chart.line("mean", &means);
    format!(
        "<figure>\n{}<figcaption>{}{}<br>λ/2·‖w‖² + C·B·(mean hinge loss), B the rows of an update; before the first update and \
         after each.</figcaption></figure>\n",
        chart.finish(),
        key("mean", "mean over folds"),
        key("band", "± one standard deviation"),
    )
}

fn roc(e: &Evaluation) -> String {
    let rate = |label| Axis::from_zero(label, 1.0);
    let mut chart = Chart::new("ROC curves", rate("false positive rate"), rate("true positive rate"));
    chart.line("chance", &[(0.0, 0.0), (1.0, 1.0)]);
    for fold in &e.folds {
        chart.line("one", &fold.roc.points);
    }
    let steps = f64::from(ROC_STEPS);
    let mean = e.roc.mean.iter().enumerate().map(|(step, y)| (step as f64 / steps, *y));
    chart.line("mean", &std::iter::once((0.0, 0.0)).chain(mean).collect::<Vec<_>>());
    format!(
        "<figure>\n{}<figcaption>{}{}{}<br>Area under the curve {}, class {} positive; plaintext reference.</figcaption></figure>\n",
        chart.finish(),
        key("mean", "mean"),
        key("one", "each fold"),
        key("chance", "chance"),
        spread(&e.auc),
        escape(&e.data.positive)
    )
}

fn confusions(e: &Evaluation) -> String {
    let once = match e.cross_validation.repeats {
        1 => format!("all {} folds", e.folds.len()),
        repeats => format!("all {} folds; every row counts {repeats} times", e.folds.len()),
    };
    let mut figures = confusion(e, "Plaintext reference", &e.confusion, &once);
    figures += &confusion(e, "64-bit floating point", &e.float_confusion, &once);
    if let Some(secure) = &e.secure {
        figures += &confusion(
            e,
            "Secure folds",
            &secure.confusion,
            &format!("the {} that ran encrypted", secure.folds.len()),
        );
    }
    format!("<h2>Confusion</h2>\n<div class=\"grid-2\">\n{figures}</div>\n")
}

fn confusion(e: &Evaluation, name: &str, c: &Confusion, of: &str) -> String {
    let (positive, negative) = (escape(&e.data.positive), escape(&e.data.negative));
    let cell = |count: u64, all: u64, class: &str| {
        let share = if all == 0 { 0.0 } else { count as f64 / all as f64 };
        format!(
            "<td class=\"{class}\" style=\"--share:{share:.3}\"><b>{count}</b><span>{:.1} %</span></td>",
            100.0 * share
        )
    };
    let (positives, negatives) = (c.true_positive + c.false_negative, c.true_negative + c.false_positive);
    format!(
        "<figure><table class=\"confusion\">\n<thead><tr><th>is</th><th>predicted {positive}</th><th>predicted {negative}</th>\
         </tr></thead>\n<tbody><tr><th>{positive}</th>{}{}</tr>\n<tr><th>{negative}</th>{}{}</tr></tbody></table>\
         <figcaption>{name}: {}; shares are of the class.</figcaption></figure>\n",
        cell(c.true_positive, positives, "right"),
        cell(c.false_negative, positives, "wrong"),
        cell(c.false_positive, negatives, "wrong"),
        cell(c.true_negative, negatives, "right"),
        escape(of)
    )
}

fn encrypted(secure: &Secure) -> String {
    let Some(first) = secure.folds.first() else { return String::new() };
    let mean = secure.mean_parts();
    let parts: Vec<&str> = mean.iter().map(|(part, _)| *part).collect();
    let mut rows = vec![("mean".to_string(), mean.iter().map(|(_, spread)| spread.mean).collect())];
    rows.extend(secure.folds.iter().map(|fold| {
        let seconds = fold.seconds.parts().into_iter().map(|(_, seconds)| seconds).collect();
        (format!("repeat {}, fold {}", fold.repeat, fold.fold), seconds)
    }));
    let legend: String =
        parts.iter().enumerate().map(|(place, part)| key(&format!("part{place}"), part)).collect();
    let mut html = "<h2>Encrypted folds</h2>\n".to_string();
    let _ = writeln!(
        html,
        "<figure>\n{}<figcaption>{legend}<br>Seconds {}.</figcaption></figure>",
        bars("Where the time of the encrypted folds went", &parts, &rows),
        first.seconds.of_parts()
    );
    let beside = first.seconds.beside().into_iter().map(|(name, _)| name);
    let heads: String =
        parts.iter().copied().chain(beside).map(|name| format!("<th>{}</th>", escape(name))).collect();
    let _ = writeln!(
        html,
        "<div class=\"card scroll\" style=\"margin-top:1rem\"><table>\n<thead><tr><th>fold</th><th>accuracy</th>\
         <th>reference</th><th>F1</th><th>reference</th><th>same model</th><th>in all, s</th>{heads}</tr></thead>\n<tbody>"
    );
    for fold in &secure.folds {
        let same = match fold.identical {
            true => "yes",
            false => "<span class=\"bad\">no</span>",
        };
        let seconds = fold.seconds.parts().into_iter().chain(fold.seconds.beside());
        let seconds: String = seconds.map(|(_, seconds)| format!("<td>{seconds:.1}</td>")).collect();
        let _ = writeln!(
            html,
            "<tr><th>repeat {}, fold {}</th><td>{:.4}</td><td>{:.4}</td><td>{:.4}</td><td>{:.4}</td><td>{same}</td>\
             <td>{:.1}</td>{seconds}</tr>",
            fold.repeat,
            fold.fold,
            fold.secure.scores.accuracy,
            fold.reference.scores.accuracy,
            fold.secure.scores.f1,
            fold.reference.scores.f1,
            fold.seconds.total()
        );
    }
    html + "</tbody></table></div>\n"
}

fn all_folds(e: &Evaluation) -> String {
    let mut html = "<h2>Every fold</h2>\n<details><summary>Plaintext reference, fold by fold</summary>\n\
                    <div class=\"card scroll\" style=\"margin-top:.75rem\"><table>\n<thead><tr><th>fold</th>\
                    <th>training rows</th><th>test rows</th><th>updates</th><th>accuracy</th><th>precision</th><th>recall</th>\
                    <th>F1</th><th>AUC</th><th>accuracy, floating point</th></tr></thead>\n<tbody>\n"
        .to_string();
    for fold in &e.folds {
        let s = &fold.reference.scores;
        let _ = writeln!(
            html,
            "<tr><th>repeat {}, fold {}</th><td>{}</td><td>{}</td><td>{}</td><td>{:.4}</td><td>{:.4}</td><td>{:.4}</td>\
             <td>{:.4}</td><td>{:.4}</td><td>{:.4}</td></tr>",
            fold.repeat,
            fold.fold,
            fold.training_rows,
            fold.test_rows,
            fold.iterations,
            s.accuracy,
            s.precision,
            s.recall,
            s.f1,
            fold.roc.auc,
            fold.float.scores.accuracy
        );
    }
    html + "</tbody></table></div></details>\n"
}

mod forms;
mod mistakes;

use super::*;
use proptest::prelude::*;
use std::fs::File;

fn columns(label: &str) -> Columns {
    Columns { label: Some(label.into()), ..Columns::default() }
}

fn parse_labelled(text: &str, label: &str) -> Result<Table, TableError> {
    Table::parse(text.as_bytes(), &columns(label))
}

fn error(text: &str, columns: &Columns) -> String {
    Table::parse(text.as_bytes(), columns).unwrap_err().to_string()
}

fn values(text: &str, columns: &Columns) -> Vec<Vec<Option<f64>>> {
    let table = Table::parse(text.as_bytes(), columns).unwrap();
    table.rows.into_iter().map(|row| row.values).collect()
}

const PATIENTS: &str = "patient;age;sick;pulse\nb;50;yes;?\na;61;no;80\nc;;no;70\n";

fn patients() -> Columns {
    Columns { id: Some("patient".into()), positive: Some("yes".into()), ..columns("sick") }
}

#[test]
fn reads_a_named_table() {
    let table = Table::parse(PATIENTS.as_bytes(), &patients()).unwrap();
    assert_eq!(table.columns, ["age", "pulse"]);
    assert_eq!(table.labels().unwrap(), [Label::Positive, Label::Negative, Label::Negative]);
    assert_eq!(table.rows[0].values, [Some(50.0), None]);
    assert_eq!(table.rows[2].id.as_deref(), Some("c"));
    assert_eq!(table.rows.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 3, 4]);
    let classes = table.classes.unwrap();
    assert_eq!((classes.positive_name(), classes.negative_name()), ("yes".into(), "no".into()));
}

#[test]
fn the_larger_number_is_positive_unless_told() {
    let labels = |positive: Option<&str>| {
        let columns = Columns { positive: positive.map(Class::from), ..columns("2") };
        Table::parse(b"1,10\n2,9\n3,10.0\n", &columns).unwrap().labels().unwrap()
    };
    assert_eq!(labels(None), [Label::Positive, Label::Negative, Label::Positive]);
    assert_eq!(labels(Some("9.0")), [Label::Negative, Label::Positive, Label::Negative]);
}

#[test]
fn features_can_be_chosen_without_reading_the_others() {
    let chosen = Columns { features: Some(vec!["pulse".into(), "age".into()]), ..Columns::default() };
    let table = Table::parse(PATIENTS.as_bytes(), &chosen).unwrap();
    assert_eq!(table.columns, ["pulse", "age"]);
    assert_eq!(table.rows[1].values, [Some(80.0), Some(61.0)]);
    assert_eq!(table.labels(), Err(TableError::NoLabels));
    let ignoring = Columns { ignore: vec!["patient".into(), "sick".into()], ..Columns::default() };
    assert_eq!(Table::parse(PATIENTS.as_bytes(), &ignoring).unwrap().columns, ["age", "pulse"]);
}

#[test]
fn missing_columns_list_those_there_are() {
    assert_eq!(
        error(PATIENTS, &columns("ill")),
        "there is no column `ill`; the columns are patient, age, sick, pulse"
    );
    assert_eq!(
        error("1,2\n3,4", &columns("3")),
        "there is no column `3`; the file has no header, its columns are numbered 1 to 2"
    );
    let twice = Columns { id: Some("2".into()), ..columns("2") };
    assert_eq!(error("1,2\n3,4", &twice), "column `2` is named twice");
    assert_eq!(error("1\n2", &columns("1")), "no feature column is left");
    assert_eq!(error("a,b,a\n1,2,3", &columns("b")), "the header on line 1 names column `a` twice");
}

#[test]
fn wrong_cells_are_named_by_line_and_column_and_not_shown() {
    for (wrong, hint) in [
        ("x", "; where the word stands for a gap, name it with --na"),
        ("1,2,3", "; where the word"),
        ("0x10", "; where the word"),
        ("-", "; where the word"),
        ("1,5x", " because of what comes behind it, such as a unit"),
        ("inf", " but infinite"),
        ("1e999", " but infinite"),
        ("<7.25", " but a limit"),
        ("17 %", " but a percentage"),
        ("7,891.5", " because of what divides the thousands"),
        ("\u{2212}7.25", " because its minus is a dash such as U+2212"),
        ("7\u{a0}891", " because of what divides the thousands, a comma, a blank"),
        ("- 7.25", " because of a blank in it, perhaps a non-breaking one"),
        ("7\u{200b}", " because of a character that does not show"),
        ("2017-07-31", " but a date or a time"),
        ("false", " but a word such as true or no"),
    ] {
        let text = format!("age;sick\n50;0\n\n\"{wrong}\";1\n51;1\n");
        let said = error(&text, &columns("sick"));
        assert!(said.starts_with(&format!("line 4, column `age`: not a number{hint}")), "{wrong}: {said}");
        assert!(!said.contains("7.25") && !said.contains("891") && !said.contains("17"), "{said}");
    }
    // Blanks around a cell are none of it, whatever they are.
    let padded = parse_labelled("age;sick\n50;0\n\u{a0}51\u{202f};1\n", "sick").unwrap();
    assert_eq!(padded.rows[1].values, [Some(51.0)]);
    let said = error("5,0\n6,1\nx,1\n7,0", &columns("2"));
    assert!(said.starts_with("line 3, column `1`: not a number; "), "{said}");
    for gap in ["?", "", "NA", "NaN", "null", ".", "n/a", "#N/A"] {
        let missing = "line 3, column `sick`: a label or identifier is missing; ";
        let said = error(&format!("age;sick\n50;0\n51;{gap}\n52;1"), &columns("sick"));
        assert!(said.starts_with(missing), "{gap}: {said}");
        let id = Columns { id: Some("id".into()), ..columns("sick") };
        let said = error(&format!("age;id;sick\n50;a;0\n51;{gap};1\n52;c;1"), &id);
        assert!(said.contains("line 3, column `id`: a label or identifier"), "{gap}: {said}");
    }
}

#[test]
fn ragged_lines_are_named() {
    let message = "line 3 has 2 cells, line 1 has 3";
    assert_eq!(error("1,2,3\n4,5,6\n7,8\n", &columns("3")), message);
    assert!(error("1 2 3\n4 5 6\n7 8\n", &columns("3")).starts_with(message));
}

#[test]
fn classes_that_do_not_do_are_explained() {
    let one = "column `2`: only one class, 1; two are needed to train or to score a model";
    assert_eq!(error("5,1\n6,1", &columns("2")), one);
    assert_eq!(error("5,1\n6,1", &Columns { positive: Some("1".into()), ..columns("2") }), one);
    let alone = Columns { positive: Some("4".into()), one_class: true, ..columns("2") };
    let healthy = Table::parse(b"5,1\n6,1", &alone).unwrap();
    assert_eq!(healthy.labels().unwrap(), [Label::Negative; 2]);
    assert_eq!(Table::parse(b"5,4\n6,4", &alone).unwrap().labels().unwrap(), [Label::Positive; 2]);
    let three = "column `2` has the values 1, 2, 10: name the positive one with --positive";
    assert_eq!(error("5,10\n6,1\n7,2", &columns("2")), three);
    let text = "column `sick` has the values no, yes: name the positive one with --positive";
    assert_eq!(error(PATIENTS, &Columns { positive: None, ..patients() }), text);
    let never = "column `2` never has the value `4` of --positive; it has 1, 2";
    assert_eq!(error("5,2\n6,1", &Columns { positive: Some("4".into()), ..columns("2") }), never);
    let many: String = (0..100).map(|i| format!("{i},{i}\n")).collect();
    assert!(error(&many, &columns("2")).contains("no label column"));
}

#[test]
fn instances_come_in_the_order_of_their_ids() {
    let mut table = Table::parse(PATIENTS.as_bytes(), &patients()).unwrap();
    table.order_by_id().unwrap();
    assert_eq!(table.rows.iter().map(|r| r.line).collect::<Vec<_>>(), [3, 2, 4]);
    assert_eq!(table.labels().unwrap(), [Label::Negative, Label::Positive, Label::Negative]);

    let repeated = PATIENTS.replace("c;;", "b;1;");
    let mut table = Table::parse(repeated.as_bytes(), &patients()).unwrap();
    assert_eq!(table.order_by_id().unwrap_err().to_string(), "the id `b` of line 2 is repeated on line 4");
    let mut table = parse_labelled("1,0\n2,1", "2").unwrap();
    assert_eq!(table.order_by_id(), Err(TableError::NoIds));
}

#[test]
fn gaps_are_dropped_or_named() {
    let text = "1,5,0\n?,6,1\n3,7,1\n4,,0\n";
    let mut table = parse_labelled(text, "3").unwrap();
    assert!(
        table.require_no_gaps().unwrap_err().to_string().starts_with("cells are missing on the lines 2, 4;")
    );
    assert_eq!(table.drop_gaps().unwrap(), [2, 4]);
    assert_eq!(table.rows.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(table.require_no_gaps(), Ok(()));

    let mut all = parse_labelled("?,0\n?,1\n5,1\n6,1", "2").unwrap();
    assert_eq!(all.drop_gaps(), Err(TableError::OneClass { column: "2".into(), value: "1".into() }));
    let mut none = parse_labelled("?,0\n?,1", "2").unwrap();
    assert_eq!(none.drop_gaps(), Err(TableError::Empty));
}

#[test]
fn slices_keep_rows_and_classes() {
    let table = parse_labelled("1,2,3,0\n4,5,6,1", "4").unwrap();
    let slice = table.slice(1..3);
    assert_eq!(slice.columns, ["2", "3"]);
    assert_eq!(slice.rows[1].values, [Some(5.0), Some(6.0)]);
    assert_eq!(slice.labels(), table.labels());
    assert_eq!(format!("{slice:?}"), "Table(2 × 2)");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.csv");
    let error = Table::read(&path, &columns("1")).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: ", path.display())) && error.contains("o such file"), "{error}");

    let path = folder.path().join("large.csv");
    File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
    let error = Table::read(&path, &columns("1")).unwrap_err().to_string();
    assert!(error.ends_with("large.csv: larger than 64 MiB"), "{error}");

    let path = folder.path().join("good.csv");
    std::fs::write(&path, PATIENTS).unwrap();
    assert_eq!(Table::read(&path, &patients()).unwrap().rows.len(), 3);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        rows in prop::collection::vec((prop::collection::vec(prop::option::of(-1e12..1e12f64), 3), any::<bool>()), 2..30),
        delimiter in prop::sample::select(vec![",", ";", "\t", "  "]),
        header: bool,
    ) {
        prop_assume!(rows.iter().any(|r| r.1) && rows.iter().any(|r| !r.1));
        // A column without any number would make the header a guess.
        prop_assume!(!header || (0..3).all(|c| rows.iter().any(|r| r.0[c].is_some())));
        let mut text = if header { ["a", "b", "c", "y"].join(delimiter) + "\r\n" } else { String::new() };
        for (values, label) in &rows {
            let mut cells: Vec<_> = values.iter().map(|v| v.map_or("?".into(), |v| v.to_string())).collect();
            cells.push(u8::from(*label).to_string());
            text += &(cells.join(delimiter) + "\r\n");
        }
        let table = parse_labelled(&text, if header { "y" } else { "4" }).unwrap();
        prop_assert_eq!(table.rows.len(), rows.len());
        for (index, (row, (values, label))) in table.rows.iter().zip(&rows).enumerate() {
            prop_assert_eq!(&row.values, values);
            prop_assert_eq!(row.label, Some(Label::of_sign(!label)));
            prop_assert_eq!(row.line, index as u64 + 1 + u64::from(header));
        }
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Table::parse(&bytes, &columns("1"));
    }

    #[test]
    fn foreign_text_gives_finite_numbers(text in "[0-9a?,;\"\r\n é.e-]{0,120}", label in "[0-9]") {
        if let Ok(table) = parse_labelled(&text, &label) {
            prop_assert!(table.rows.iter().flat_map(|r| r.values.iter().flatten()).all(|v| v.is_finite()));
        }
    }
}

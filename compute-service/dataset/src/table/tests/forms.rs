//! One table in all the forms in which other programs write it reads alike, and what is no table is called what it is.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoding {
    Utf8,
    Marked,
    Little,
    Big,
    Latin,
}

/// How a table is written.
#[derive(Clone, Debug)]
struct Form {
    delimiter: &'static str,
    header: bool,
    ending: &'static str,
    /// Empty cells at the end of every line.
    trailing: usize,
    comments: usize,
    separator: bool,
    /// A first column without a name that counts the rows.
    index: bool,
    quoted: bool,
    decimal_comma: bool,
    gap: &'static str,
    encoding: Encoding,
    gzip: bool,
}

impl Form {
    /// Without what contradicts itself.
    fn possible(mut self) -> Self {
        if self.delimiter == " " {
            (self.trailing, self.separator, self.quoted) = (0, false, false);
            self.index = false;
            self.gap = if self.gap.is_empty() { "?" } else { self.gap };
        }
        // Only a header tells the index from a feature.
        self.index &= self.header;
        self.quoted |= self.decimal_comma && self.delimiter == ",";
        self
    }

    fn columns(&self) -> Columns {
        let label = if self.header { "größe" } else { "4" };
        Columns { reading: Reading { na: vec!["zz".into()], ..Reading::default() }, ..super::columns(label) }
    }

    fn cell(&self, text: &str) -> String {
        if self.quoted { format!("\"{text}\"") } else { text.into() }
    }

    fn line(&self, cells: &[String]) -> String {
        cells.join(self.delimiter) + &self.delimiter.repeat(self.trailing) + self.ending
    }

    fn write(&self, rows: &[(Vec<Option<f64>>, bool)]) -> Vec<u8> {
        let mut text = String::new();
        if self.separator {
            text += &format!("sep={}{}", self.delimiter, self.ending);
        }
        (0..self.comments).for_each(|line| text += &format!("# note, {line}; x{}", self.ending));
        if self.header {
            let mut names: Vec<_> = ["a", "b b", "c", "größe"].iter().map(|name| self.cell(name)).collect();
            if self.delimiter == " " {
                names[1] = "b_b".into();
            }
            if self.index {
                names.insert(0, self.cell(""));
            }
            text += &self.line(&names);
        }
        for (place, (values, label)) in rows.iter().enumerate() {
            let number = |value: &f64| match self.decimal_comma {
                true => value.to_string().replace('.', ","),
                false => value.to_string(),
            };
            let value = |value: &Option<f64>| self.cell(&value.as_ref().map_or(self.gap.into(), number));
            let mut cells: Vec<_> = values.iter().map(value).collect();
            cells.push(self.cell(&u8::from(*label).to_string()));
            if self.index {
                cells.insert(0, self.cell(&place.to_string()));
            }
            text += &self.line(&cells);
        }
        let bytes = match self.encoding {
            Encoding::Utf8 => text.into_bytes(),
            Encoding::Marked => format!("\u{feff}{text}").into_bytes(),
            Encoding::Little => format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Encoding::Big => format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Encoding::Latin => text.chars().map(|c| u32::from(c) as u8).collect(),
        };
        match self.gzip {
            false => bytes,
            true => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&bytes).unwrap();
                encoder.finish().unwrap()
            }
        }
    }
}

fn form() -> impl Strategy<Value = Form> {
    let layout = (
        prop::sample::select(vec![",", ";", "\t", "|", " "]),
        any::<bool>(),
        prop::sample::select(vec!["\n", "\r\n", "\r"]),
        0..3usize,
        0..3usize,
        any::<[bool; 5]>(),
    );
    let gaps = vec!["", "?", "NA", "nan", "NULL", "n/a", ".", "None", "\\N", "#N/A", "zz", "ZZ"];
    let encodings = vec![Encoding::Utf8, Encoding::Marked, Encoding::Little, Encoding::Big, Encoding::Latin];
    (layout, prop::sample::select(gaps), prop::sample::select(encodings)).prop_map(
        |((delimiter, header, ending, trailing, comments, flags), gap, encoding)| {
            let [separator, index, quoted, decimal_comma, gzip] = flags;
            let form = Form {
                delimiter,
                header,
                ending,
                trailing,
                comments,
                separator,
                index,
                quoted,
                decimal_comma,
                gap,
                encoding,
                gzip,
            };
            form.possible()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_table_reads_alike_in_every_form(
        rows in prop::collection::vec((prop::collection::vec(prop::option::of(-1e12..1e12f64), 3), any::<bool>()), 2..30),
        form in form(),
    ) {
        prop_assume!(rows.iter().any(|r| r.1) && rows.iter().any(|r| !r.1));
        let table = Table::parse(&form.write(&rows), &form.columns());
        prop_assert!(table.is_ok(), "{:?}", table.unwrap_err());
        let table = table.unwrap();
        let names = match form.header {
            true if form.delimiter == " " => ["a", "b_b", "c"],
            true => ["a", "b b", "c"],
            false => ["1", "2", "3"],
        };
        prop_assert_eq!(&table.columns, &names);
        prop_assert_eq!(table.rows.len(), rows.len());
        let above = usize::from(form.separator) + form.comments + usize::from(form.header);
        for (index, (row, (values, label))) in table.rows.iter().zip(&rows).enumerate() {
            prop_assert_eq!(&row.values, values);
            prop_assert_eq!(row.label, Some(Label::of_sign(!label)));
            prop_assert_eq!(row.line, (above + index + 1) as u64);
        }
    }

    #[test]
    fn what_begins_like_a_table_never_panics(
        start in prop::sample::select(vec![
            &b"\x1f\x8b\x08"[..], b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"sep=;\n", b"sep=", b"# a,b\n#", b"PK\x03\x04",
            b"@relation x\n@attribute a real\n@attribute 'b", b"@relation x\n@attribute a real\n@data\n", b",a\n0,", b"0,1,2\n",
        ]),
        rest in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..120),
            "[0-9a?,;|'\"\\\\\r\n\t é.{}%#@-]{0,120}".prop_map(String::into_bytes),
        ],
        label in "[0-9a]",
    ) {
        let bytes = [start, &rest].concat();
        if let Ok(table) = Table::parse(&bytes, &columns(&label)) {
            prop_assert!(table.rows.iter().flat_map(|r| r.values.iter().flatten()).all(|v| v.is_finite()));
            prop_assert!(table.rows.iter().all(|row| row.values.len() == table.columns.len()));
            prop_assert!(table.rows.windows(2).all(|rows| rows[0].line < rows[1].line));
        }
    }
}

fn with(reading: Reading) -> Columns {
    Columns { reading, ..columns("y") }
}

#[test]
fn a_header_that_counts_is_told_from_rows() {
    // As pandas writes a table without names.
    let counted = "0,1,2\n5.5,7.5,0\n6.5,8.5,1\n7.0,3.5,0\n";
    let table = parse_labelled(counted, "2").unwrap();
    assert_eq!((table.columns.as_slice(), table.rows.len()), (&["0".to_string(), "1".into()][..], 3));
    assert!(table.notes[0].contains("line 1 counts from 0"), "{:?}", table.notes);
    assert_eq!(error(counted, &columns("3")), "there is no column `3`; the columns are 0, 1, 2");
    // Rows of the same kind: nobody knows.
    let unclear = "0,1,2\n1,0,1\n2,2,3\n0,1,2\n";
    let said = error(unclear, &columns("2"));
    assert!(said.contains("--header") && said.contains("--no-header") && said.contains("line 1"), "{said}");
    let told = |header: bool, label: &str| {
        let reading = Reading { header: Some(header), ..Reading::default() };
        let columns =
            Columns { positive: Some("3".into()), negative: Some("1,2".into()), reading, ..columns(label) };
        Table::parse(unclear.as_bytes(), &columns)
    };
    assert_eq!(told(true, "2").unwrap().rows.len(), 3);
    assert_eq!(told(false, "3").unwrap().rows.len(), 4);
    let missing = told(false, "0").unwrap_err().to_string();
    assert!(missing.contains("numbered 1 to 3"), "{missing}");
    // Numbers that do not count are a row, unless it is said that they name wavelengths.
    let spectra = "400,500,y\n0.5,0.25,1\n0.25,0.5,0\n";
    assert_eq!(parse_labelled(spectra, "y").unwrap().columns, ["400", "500"]);
    let numbers = spectra.replace('y', "600");
    let said = Columns { reading: Reading { header: Some(true), ..Reading::default() }, ..columns("600") };
    assert_eq!(Table::parse(numbers.as_bytes(), &said).unwrap().columns, ["400", "500"]);
    // Two columns are soon counted by chance.
    assert_eq!(values("1,2\n3,1\n2,1\n", &columns("2")).len(), 3);
}

#[test]
fn lines_above_the_table_are_passed_over_or_named() {
    let rows = "case,age,y\nk1,50,0\nk2,61,1\nk3,55,0\n";
    let columns = Columns { id: Some("case".into()), ..columns("y") };
    for above in [
        "# ward 3\n# in mmHg\n",
        "\n\n#x\n",
        "// x\n",
        "% x\n",
        "#a,b,c,d,e\n",
        "sep=,\n# x\n",
        "# x\nSEP=,\n",
    ] {
        let table = Table::parse(format!("{above}{rows}").as_bytes(), &columns).unwrap();
        let line = above.matches('\n').count() as u64 + 2;
        assert_eq!((table.rows.len(), table.rows[0].line), (3, line), "{above:?}");
    }
    for above in
        ["Ward 3\n", "Ward 3,,\n", "Export,2 May\n", "Ward 3\nin mmHg\n", "a,b,c,d\n", "\"Ward 3, May\"\n"]
    {
        let said = error(&format!("{above}{rows}"), &columns);
        assert!(
            said.contains("no part of the table") && said.contains("the columns have their names on"),
            "{said}"
        );
    }
    let said = error("Ward 3\nage,pulse\n50,70\n61,80\n", &Columns::default());
    assert!(said.starts_with("line 1 is no part of the table: it has one cell, line 2 has 2"), "{said}");
    // NumPy's names are a comment.
    let named = Table::parse(b"# made by NumPy\n# age,y\n50,0\n61,1\n", &super::columns("y")).unwrap();
    assert_eq!((named.columns.as_slice(), named.rows[0].line), (&["age".to_string()][..], 3));
    let said = error(&(rows.to_owned() + "# end\n"), &columns);
    assert!(said.starts_with("line 5 has 1 cells, line 1 has 3; comments"), "{said}");
}

#[test]
fn empty_cells_at_the_end_are_none() {
    let y = Columns { id: Some("c".into()), ..columns("y") };
    for text in [
        "c,a,y,\nk,1,0,\nl,2,1,\n",
        "c;a;y;;\nk;1;0;;\nl;2;1;;\n",
        "c,a,y\nk,1,0,\nl,2,1,\n",
        "c,a,y,,\nk,1,0\nl,2,1,\n",
        "c,a,y\nk,1,0\n,,\nl,2,1\n,,,,\n",
    ] {
        assert_eq!(values(text, &y), [[Some(1.0)], [Some(2.0)]], "{text:?}");
    }
    assert_eq!(values("1,0,\n2,1,\n", &columns("2")), [[Some(1.0)], [Some(2.0)]]);
    // A gap is no end.
    assert_eq!(values("a,b,y\n1,,0\n,2,1\n", &columns("y")), [[Some(1.0), None], [None, Some(2.0)]]);
    assert_eq!(values("y,a,b\n0,1,\n1,2,3\n", &columns("y"))[0], [Some(1.0), None]);
    let said = error("c,a,y,\nk,1,0,\nl,2,1,7\n", &y);
    assert!(
        said.starts_with("column 4 has no name in the header on line 1, but values, as on line 3"),
        "{said}"
    );
    let said = error("c,a,y\nk,1,0\nl,2,1,7\n", &y);
    assert!(said.starts_with("line 3 has 4 cells, line 1 has 3"), "{said}");
    let said = error("c,a,y\nk,1\nl,2,1\n", &y);
    assert!(said.starts_with("line 2 has 2 cells, line 1 has 3"), "{said}");
}

#[test]
fn line_ends_may_be_mixed() {
    let rows = "1 2 0\r3 4 1\n5 6 0\r\n7 8 1\r";
    let cells = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]].map(|row| row.map(Some));
    assert_eq!(values(rows, &columns("3")), cells);
    assert_eq!(values(&rows.replace(' ', ","), &columns("3")), cells);
}

#[test]
fn an_index_is_no_feature() {
    for header in [",a,y", "\"\",a,y", "Unnamed: 0,a,y"] {
        let text = format!("{header}\n0,5,0\n1,6,1\n2,7,1\n");
        let table = parse_labelled(&text, "y").unwrap();
        assert_eq!(table.columns, ["a"], "{header}");
        assert!(table.notes.iter().any(|note| note.contains("counts the rows")), "{:?}", table.notes);
    }
    let said = error(",a,y\nk1,5,0\nk2,6,1\n", &columns("y"));
    assert!(said.starts_with("column 1 has no name in the header on line 1"), "{said}");
    let said = error("\"a\" \"y\"\n\"1\" 5 0\n\"2\" 6 1\n", &columns("y"));
    assert!(said.contains("row names, as R writes them"), "{said}");
    let named = Columns { id: Some("Unnamed: 0".into()), ..columns("y") };
    assert_eq!(
        Table::parse(b"Unnamed: 0,a,y\n0,5,0\n1,6,1\n", &named).unwrap().rows[1].id.as_deref(),
        Some("1")
    );
}

#[test]
fn commas_in_numbers_divide_fractions_only() {
    // Blanks divide the cells although the only comma is in the first row.
    let blanks = values("? 6957,1031 1\n? ? 0\n", &columns("3"));
    assert_eq!(blanks, [[None, Some(6957.1031)], [None, None]]);
    let points = [[Some(1.5), Some(20.25)], [Some(-3.0), None]];
    assert_eq!(values("a;b;y\n1,5;20,25;0\n-3;;1\n", &columns("y")), points);
    assert_eq!(values("a,b,y\n\"1,5\",\"20,25\",0\n-3,,1\n", &columns("y")), points);
    assert_eq!(values("a b y\n1,5 20,25 0\n-3 ? 1\n", &columns("y")), points);
    let said = error("a;b;y\n1,234;2;0\n3;4;1\n", &columns("y"));
    assert!(said.starts_with("line 2, column `a`: the comma may divide thousands"), "{said}");
    let told = with(Reading { decimal_comma: true, ..Reading::default() });
    assert_eq!(values("a;b;y\n1,234;2;0\n3;4;1\n", &told)[0], [Some(1.234), Some(2.0)]);
    assert_eq!(values("a;b;y\n1,234;2;0\n0,5;4;1\n", &columns("y"))[0][0], Some(1.234));
    let said = error("a;b;y\n1,5;2;0\n3;4.5;1\n", &columns("y"));
    assert!(said.starts_with("line 2, column `a` has a decimal comma, line 3, column `b` a point"), "{said}");
    // What is no feature is no number.
    let id = Columns { id: Some("a".into()), ..columns("y") };
    assert_eq!(values("a;b;y\n1.2;2,5;0\n3;4;1\n", &id)[0], [Some(2.5)]);
    let said = error("a,y\n1,5,0\n2,5,1\n", &columns("y"));
    assert!(said.contains("line 1") && said.contains("2"), "{said}");
}

#[test]
fn quotes_that_go_on_are_read_or_named() {
    let id = Columns { id: Some("c".into()), ..columns("y") };
    let table = Table::parse(b"c,a,y\n\"k\n1, \"\"x\"\"\",5,0\nl,6,1\n", &id).unwrap();
    assert_eq!(table.rows[0].id.as_deref(), Some("k\n1, \"x\""));
    assert_eq!(table.rows[1].line, 4);
    let said = error("c,a,y\nk,5,0\nl,6,\"1\nm,7,0\nn,8,1\n", &id);
    assert!(said.starts_with("line 3: a quote opens here that is never closed"), "{said}");
    let said = error("c,a,y\nk,5,0\n\"l,6,1\nm,7,0\nn,8,1\n", &id);
    assert!(said.starts_with("line 3: a quote opens here that is never closed"), "{said}");
}

#[test]
fn classes_are_said_where_they_do_not_show() {
    let grades = "a,y\n1,0\n2,1\n3,2\n4,3\n5,4\n6,0\n";
    let with = |positive: Option<&str>, negative: Option<&str>| Columns {
        positive: positive.map(Class::from),
        negative: negative.map(Class::from),
        ..columns("y")
    };
    let positives = |columns: &Columns| {
        let table = Table::parse(grades.as_bytes(), columns).unwrap();
        table.labels().unwrap().iter().filter(|label| **label == Label::Positive).count()
    };
    assert_eq!(positives(&with(Some("1,2,3,4"), Some("0"))), 4);
    assert_eq!(positives(&with(Some("1, 2 ,3,4.0"), None)), 4);
    assert_eq!(positives(&with(Some("4"), Some("0,1,2,3"))), 1);
    assert_eq!(
        positives(&Columns { positive: Some(Class::Joined("3/4".into())), ..with(None, Some("0,1,2")) }),
        2
    );
    let classes = Table::parse(grades.as_bytes(), &with(Some("1,2,3,4"), None)).unwrap().classes.unwrap();
    assert_eq!((classes.positive_name(), classes.negative_name()), ("1/2/3/4".into(), "0".into()));
    for (columns, said) in [
        (with(None, None), "has the values 0, 1, 2, 3, 4: name the positive one with --positive"),
        (
            with(Some("4"), None),
            "--positive leaves the values 0, 1, 2, 3; a class of more than one value has to be named",
        ),
        (with(None, Some("0")), "--negative leaves the values 1, 2, 3, 4;"),
        (
            with(Some("1,2,3"), Some("0")),
            "line 6, column `y`: the class `4` is neither the positive class, `1, 2, 3`, nor",
        ),
        (with(Some("1,2,5"), Some("0")), "never has the value `5` of --positive; it has 0, 1, 2, 3, 4"),
        (with(Some("1"), Some("0,9")), "never has the value `9` of --negative"),
        (with(Some("1,0"), Some("0,2,3,4")), "the class `0` is named by --positive and by --negative"),
    ] {
        let error = error(grades, &columns);
        assert!(error.contains(said), "{error}");
    }
    // A word with a comma is one where the column has it.
    let text = "a;y\n1;very ill, indeed\n2;well\n";
    assert_eq!(
        Table::parse(text.as_bytes(), &with(Some("very ill, indeed"), None))
            .unwrap()
            .classes
            .unwrap()
            .positive
            .len(),
        1
    );
}

#[test]
fn a_class_is_written_in_one_way() {
    let text = "a,y\n1,ill\n2,well\n3,Ill\n4,well\n";
    let with = |positive: &str, negative: Option<&str>| Columns {
        positive: Some(positive.into()),
        negative: negative.map(Class::from),
        ..columns("y")
    };
    let said = error(text, &with("ill", None));
    assert!(
        said.starts_with("line 2, column `y`: `ill` and `Ill` differ in upper and lower case only"),
        "{said}"
    );
    for two in ["a,y\n1,ill\n2,Ill\n", "a,y\n1,Ill\n2,ill\n"] {
        assert!(error(two, &with("ill", None)).contains("differ in upper and lower case only"));
    }
    let asked = Table::parse(text.as_bytes(), &with("ill,Ill", None)).unwrap();
    assert_eq!(asked.labels().unwrap().iter().filter(|label| **label == Label::Positive).count(), 2);
    assert!(Table::parse(text.as_bytes(), &with("ill", Some("Ill,well"))).is_ok());
    let one = Columns { one_class: true, ..with("ill", Some("well")) };
    let said = error("a,y\n1,ill\n2,ILL\n", &one);
    assert!(said.contains("differ in upper and lower case"), "{said}");
    let said = error("a,y\n1,ill\n2,dead\n", &one);
    assert!(said.starts_with("line 3, column `y`: the class `dead` is neither"), "{said}");
}

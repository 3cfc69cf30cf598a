//! What people and programs get wrong is called what it is, with what to do.

use super::*;

#[test]
fn a_header_that_comes_again_is_named_by_its_line() {
    for text in [
        "case,age,y\nk1,50,0\nk2,61,1\ncase,age,y\nk3,55,0\n",
        // With separators at the end of some lines.
        "case;age;y;\nk1;50;0;\nk2;61;1;\ncase;age;y\nk3;55;0\n",
        "case age y\nk1 50 0\nk2 61 1\ncase age y\n",
    ] {
        let said = error(text, &Columns { id: Some("case".into()), ..columns("y") });
        assert!(said.starts_with("line 4 repeats the header on line 1:"), "{text:?}: {said}");
        assert!(said.contains("remove the line"), "{said}");
    }
    // As NumPy writes it.
    let said = error("# age,y\n50,0\n61,1\n# age,y\n55,0\n", &columns("y"));
    assert!(said.starts_with("line 4 repeats the header on line 1:"), "{said}");
    // Numbers may be a row all the same.
    let counted = "0,1,2\n5.5,7.5,0\n6.5,8.5,1\n0,1,2\n";
    let told = Columns {
        positive: Some("1".into()),
        negative: Some("0,2".into()),
        reading: Reading { header: Some(true), ..Reading::default() },
        ..columns("2")
    };
    assert_eq!(Table::parse(counted.as_bytes(), &told).unwrap().rows.len(), 3);
}

#[test]
fn separators_that_nobody_expects_are_named() {
    let rows = "systolic pressure;age;y\n\n1.5;50;0\n2.5;61;1\n";
    for mark in ["^", ":", "~", "!"] {
        let text = rows.replace(';', mark);
        for (text, line) in [(text.clone(), 1), (text.replace('.', ","), 1), (format!("\n# x\n{text}"), 3)] {
            let said = error(&text, &columns("y"));
            let expected = format!("line {line}: the cells seem to be separated by `{mark}`; ");
            assert!(
                said.starts_with(&expected) && said.contains(&format!("`sep={mark}`")),
                "{text:?}: {said}"
            );
        }
        assert_eq!(values(&format!("sep={mark}\n{text}"), &columns("y"))[1], [Some(2.5), Some(61.0)]);
    }
    // Times are in cells, not between them.
    let times = Columns { id: Some("1".into()), ..columns("3") };
    for text in ["12:30:05 5 0\n12:31:07 6 1\n", "12:30:05,5,0\n12:31:07,6,1,\n"] {
        assert_eq!(values(text, &times), [[Some(5.0)], [Some(6.0)]]);
    }
    let said = error("12:30,5,0\n12:31,6\n", &times);
    assert!(said.starts_with("line 2 has 2 cells"), "{said}");
}

#[test]
fn a_line_that_names_another_separator_is_named() {
    let rows = "a;b;y\n1.5;50;0\n2.5;61;1\n";
    for (named, rows, seems) in [
        (",", rows.to_owned(), "`;`"),
        (",", rows.replace('.', ","), "`;`"),
        (";", rows.replace(';', ","), "`,`"),
        (";", rows.replace(';', "\t"), "tabs"),
        ("\t", rows.replace(';', "|"), "`|`"),
        (",", rows.replace(';', "^"), "`^`"),
        (",", rows.replace(';', " "), "blanks"),
    ] {
        let text = format!("# x\nsep={named}\n{rows}");
        let said = error(&text, &columns("y"));
        let named = if named == "\t" { "tabs".into() } else { format!("`{named}`") };
        assert!(
            said.starts_with(&format!("line 2 names {named} as what separates the cells")),
            "{text:?}: {said}"
        );
        assert!(said.contains(&format!("separated by {seems}: correct the line")), "{said}");
    }
    // What else is uneven is no reason.
    assert_eq!(values("sep=;\n1,5;0;\n2,5;1\n", &columns("2")), [[Some(1.5)], [Some(2.5)]]);
    // One row ends with a separator, and the commas are in the numbers.
    let said = error("sep=;\n1,5;2,5;\n2,5;3,5\n3,5;4,5\n", &columns("9"));
    assert!(!said.contains("as what separates"), "{said}");
    let said = error("sep=;\n1,5;0\n2,5\n", &columns("2"));
    assert!(said.starts_with("line 3 has 1 cells, line 2 has 2"), "{said}");
}

#[test]
fn a_header_that_begins_like_a_comment_is_read_or_named() {
    let rows = "#case,age,y\n1,50,0\n2,61,1\n";
    let with = |id: &str, label: &str, header: Option<bool>| Columns {
        id: Some(id.into()),
        reading: Reading { header, ..Reading::default() },
        ..columns(label)
    };
    let blanks = rows.replace(',', " ");
    for text in [rows, &format!("# ward 3\n{rows}"), &blanks, &rows.replace("#case", "//case")] {
        let own = if text.contains("//") { "//case" } else { "#case" };
        for id in ["case", own] {
            for header in [None, Some(true)] {
                let table = Table::parse(text.as_bytes(), &with(id, "y", header)).unwrap();
                assert_eq!(
                    (table.columns.as_slice(), table.rows.len()),
                    (&["age".to_string()][..], 2),
                    "{text}"
                );
                assert_eq!(table.rows[0].id.as_deref(), Some("1"));
                assert!(
                    table.notes.iter().any(|note| note.contains("names the columns")),
                    "{:?}",
                    table.notes
                );
            }
        }
    }
    // None of the names that are asked for is there.
    for header in [None, Some(true)] {
        let said = error(rows, &with("patient", "outcome", header));
        assert!(said.starts_with("there is no column `outcome`; the "), "{said}");
        assert!(
            said.ends_with(
                "; line 1 begins with # and was taken for a comment: if it names the columns, remove the #"
            ),
            "{said}"
        );
    }
    // A comment that has nothing in common with the rows is none of their names.
    let said = error(&rows.replace("#case,age,y", "# ward 3"), &with("1", "4", None));
    assert_eq!(said, "there is no column `4`; the file has no header, its columns are numbered 1 to 3");
    // By numbers it is read without names.
    assert_eq!(values(rows, &with("1", "3", None)), [[Some(50.0)], [Some(61.0)]]);
    // A name in quotes begins no comment.
    let quoted = rows.replace("#case", "\"#case\"");
    assert_eq!(values(&quoted, &with("#case", "y", None)), [[Some(50.0)], [Some(61.0)]]);
}

#[test]
fn a_class_is_named_by_values_and_each_once() {
    let grades = "a,y\n1,0\n2,1\n3,2\n4,1\n";
    let with =
        |positive: Option<Class>, negative: Option<Class>| Columns { positive, negative, ..columns("y") };
    for empty in ["", " ", ",", " , "].map(Class::from).into_iter().chain([
        Class::Values(Vec::new()),
        Class::Values(vec!["".into()]),
        Class::Values(vec!["1".into(), " ".into()]),
    ]) {
        for (option, columns) in [
            ("--positive", with(Some(empty.clone()), None)),
            ("--positive", with(Some(empty.clone()), Some("0".into()))),
            ("--negative", with(None, Some(empty.clone()))),
            ("--negative", with(Some("1,2".into()), Some(empty.clone()))),
        ] {
            let said = error(grades, &columns);
            assert!(said.starts_with(&format!("{option} names no value of the label")), "{empty:?}: {said}");
        }
    }
    for (twice, value) in [
        (Class::from("1,1,2"), "1"),
        ("1,2,1.0".into(), "1.0"),
        (Class::Values(vec!["2".into(), "1".into(), "2 ".into()]), "2"),
    ] {
        let said = error(grades, &with(Some(twice.clone()), None));
        assert!(said.starts_with(&format!("--positive names the class `{value}` twice")), "{said}");
        let said = error(grades, &with(None, Some(twice)));
        assert!(said.starts_with(&format!("--negative names the class `{value}` twice")), "{said}");
    }
    // Models and jobs are taken as they are.
    let joined = with(Some(Class::Joined("1/2/1".into())), Some(Class::Joined("0".into())));
    let classes = Table::parse(grades.as_bytes(), &joined).unwrap().classes.unwrap();
    assert_eq!((classes.positive_name(), classes.negative_name()), ("1/2".into(), "0".into()));
}

#[test]
fn a_slash_in_a_class_is_taken_where_its_values_can_be_told_again() {
    let with = |positive: Class, negative: Option<Class>| Columns {
        positive: Some(positive),
        negative,
        ..columns("y")
    };
    let read =
        |text: &str, columns: &Columns| Table::parse(text.as_bytes(), columns).unwrap().classes.unwrap();
    let text = "a,y\n1,CIN2/3\n2,CIN1\n3,CIN1\n";
    let classes = read(text, &with("CIN2/3".into(), None));
    assert_eq!((classes.positive_name(), classes.negative_name()), ("CIN2/3".into(), "CIN1".into()));
    // With the names of a model.
    let model = Columns {
        one_class: true,
        ..with(Class::Joined("CIN2/3".into()), Some(Class::Joined("CIN1".into())))
    };
    for rows in [text, "a,y\n2,CIN1\n", "a,y\n1,CIN2/3\n"] {
        assert_eq!(read(rows, &model).column, "y");
    }
    assert!(error("a,y\n2,CIN2/1\n", &model).contains("`CIN2/1` is neither"));

    let several = "a,y\n1,well\n2,CIN1\n3,CIN2/3\n";
    let said = error(several, &with("CIN1,CIN2/3".into(), None));
    assert!(said.starts_with("line 4, column `y`: the class `CIN2/3` has a slash,"), "{said}");
    assert!(said.contains("`CIN1/CIN2/3` and `well`") && said.contains("without a slash"), "{said}");
    let said = error(several, &with("well".into(), Some("CIN1,CIN2/3".into())));
    assert!(said.starts_with("line 4, column `y`: the class `CIN2/3` has a slash,"), "{said}");
    // One value looks like several.
    let said = error("a,y\n1,2/3\n2,3\n", &with("2/3".into(), None));
    assert!(said.starts_with("line 2, column `y`: the class `2/3` has a slash,"), "{said}");
    // A class of which a provider has no row.
    let absent = Class::Values(vec!["CIN1".into(), "CIN2/3".into()]);
    let said = error("a,y\n1,well\n", &Columns { one_class: true, ..with(absent, Some("well".into())) });
    assert!(said.starts_with("column `y`: the class `CIN2/3` has a slash,"), "{said}");
}

#[test]
fn a_class_is_written_in_one_unicode_form() {
    // An accent as part of its letter, and behind it.
    let (composed, apart) = ("l\u{e9}s\u{e9}", "le\u{301}se\u{301}");
    let text = format!("a,y\n1,{composed}\n2,sain\n3,{apart}\n4,sain\n");
    let with = |positive: &str, negative: Option<&str>| Columns {
        positive: Some(positive.into()),
        negative: negative.map(Class::from),
        ..columns("y")
    };
    for (text, difference) in [
        (text.clone(), "in the Unicode form of an accent (NFC and NFD)"),
        (
            text.replace(apart, "LE\u{301}SE\u{301}"),
            "in upper and lower case and in the Unicode form of an accent (NFC and NFD)",
        ),
        (text.replace(apart, "L\u{c9}S\u{c9}"), "in upper and lower case"),
    ] {
        let said = error(&text, &with("sain", None));
        assert!(
            said.starts_with("line ") && said.contains(&format!(" differ {difference} only; ")),
            "{said}"
        );
    }
    let both = Table::parse(text.as_bytes(), &with(&format!("{composed},{apart}"), None)).unwrap();
    assert_eq!(both.labels().unwrap().iter().filter(|label| **label == Label::Positive).count(), 2);

    // Nobody sees why one is not the other.
    let apart_only = text.replace(composed, apart);
    let hint = "; what looks like it has another Unicode form (NFC or NFD)";
    let said = error(&apart_only, &with(composed, None));
    assert!(said.starts_with("column `y` never has the value") && said.ends_with(hint), "{said}");
    let said = error(&apart_only, &Columns { one_class: true, ..with(composed, Some("sain")) });
    assert!(said.contains("is neither the positive class") && said.ends_with(hint), "{said}");
    let said = error(&apart_only, &with("malade", None));
    assert!(said.ends_with("it has le\u{301}se\u{301}, sain"), "{said}");
}

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
    let said = error("sep=;\n1,5;0\n2,5\n", &columns("2"));
    assert!(said.starts_with("line 3 has 1 cells, line 2 has 2"), "{said}");
}

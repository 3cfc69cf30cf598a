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

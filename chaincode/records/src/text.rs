//! Text that others wrote: what may stand in it, and how it is shown.
//!
//! A terminal obeys control characters, and text that changes its direction or hides characters reads otherwise than it
//! is. The contract takes no such text where it is new; what is on the ledger already, or comes from a peer or a file,
//! is escaped where it is shown.

use std::fmt::{self, Write};

/// Whether a character acts on what stands around it instead of being read: control characters (C0, DEL, C1, line ends
/// among them), marks and overrides of direction, separators of lines and paragraphs, and invisible ones. The joiners
/// U+200C and U+200D are none of them: words of several languages are written with them.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Checks that a text is one line without hidden characters.
///
/// # Errors
/// The first such character.
pub fn check(text: &str) -> Result<(), String> {
    match text.chars().find(|c| is_hidden(*c)) {
        None => Ok(()),
        Some(c) => Err(format!("holds {}, a control or invisible character", Escaped(&c.to_string()))),
    }
}

/// A text on one line: hidden characters as Rust writes them, `\n` or `\u{202e}`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(is_hidden) {
            let (before, after) = rest.split_at(at);
            f.write_str(before)?;
            let mut characters = after.chars();
            characters.next().into_iter().try_for_each(|c| write!(f, "{}", c.escape_default()))?;
            rest = characters.as_str();
        }
        f.write_str(rest)
    }
}

/// JSON in which hidden characters are escaped as JSON has it; line ends and tabs between values stay.
pub fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' | '\t' | '\r' => escaped.push(c),
            c if is_hidden(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped() {
        for (text, shown) in [
            ("Klinik Nord, 50 % · ü – 你好", "Klinik Nord, 50 % · ü – 你好"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\r\nok\tb\0", "a\\r\\nok\\tb\\u{0}"),
            ("\u{202e}fdp.exe\u{2066}\u{200f}\u{61c}", "\\u{202e}fdp.exe\\u{2066}\\u{200f}\\u{61c}"),
            ("\u{9b}31m\u{7f}\u{2028}", "\\u{9b}31m\\u{7f}\\u{2028}"),
            ("\u{feff}id\u{200b}\u{e0041}", "\\u{feff}id\\u{200b}\\u{e0041}"),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
            assert_eq!(check(text).is_ok(), text == shown, "{shown}");
        }
        // A word of Persian with a joiner.
        assert!(check("می\u{200c}خواهم").is_ok());
        assert_eq!(check("a\u{7}").unwrap_err(), "holds \\u{7}, a control or invisible character");
    }

    #[test]
    fn escaped_json_says_the_same() {
        let text = "\u{1b}]0;x\u{7}\u{202e}\u{9b}\u{e0041} ü \"\\\n";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let escaped = escape_json(&json);
        assert!(escaped.chars().all(|c| c == '\n' || !is_hidden(c)), "{escaped}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).unwrap(), [text]);
    }
}

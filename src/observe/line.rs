//! [`Line`]: the text of an error that others wrote, as a single line of a log.

use std::fmt::{self, Display, Write};

/// How many characters of a text are shown.
const LONGEST: usize = 512;

/// Shows a text with its line breaks and other control characters escaped, and cut after 512
/// characters, so that it can neither begin another line of the log nor fill it.
pub(crate) struct Line<T>(pub(crate) T);

impl<T: Display> Display for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaped = Escaped { to: f, count: 0 };
        write!(escaped, "{}", self.0)
    }
}

struct Escaped<'a, 'f> {
    to: &'a mut fmt::Formatter<'f>,
    count: usize,
}

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            // What is too much is left out without an error, which the author of the text may not
            // expect.
            if self.count > LONGEST {
                return Ok(());
            }
            self.count = self.count.saturating_add(1);
            match character {
                _ if self.count > LONGEST => self.to.write_char('…')?,
                '"' | '\'' | '\\' => self.to.write_char(character)?,
                other => write!(self.to, "{}", other.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_on_its_line_and_is_cut() {
        for (text, expected) in [
            ("no route to \"host\" 'a\\b'", "no route to \"host\" 'a\\b'"),
            ("one\r\ntwo", "one\\r\\ntwo"),
            ("a\u{2028}b\u{85}c", "a\\u{2028}b\\u{85}c"),
            ("\u{1b}[31mred\u{202e}", "\\u{1b}[31mred\\u{202e}"),
            ("naïve", "naïve"),
        ] {
            assert_eq!(Line(text).to_string(), expected);
        }
        let long = Line("ü".repeat(10_000)).to_string();
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with("ü…"));
        let whole = "a".repeat(LONGEST);
        assert_eq!(Line(&whole).to_string(), whole);
    }
}

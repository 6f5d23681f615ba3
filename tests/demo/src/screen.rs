//! How it looks: headings, commands, output, tables. Colours on a terminal only, and not with NO_COLOR.

use std::io::{self, IsTerminal, Write};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

/// The terminal, or the file that stands in for it.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    colours: bool,
}

impl Screen {
    /// Colours where they can be seen.
    pub fn new() -> Screen {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen { colours: io::stdout().is_terminal() && !unwanted }
    }

    /// What all of it is.
    pub fn title(self, text: &str) {
        self.line(BOLD, text);
    }

    /// A heading.
    pub fn heading(self, text: &str) {
        self.line("", "");
        self.line(CYAN, &format!("== {text}"));
    }

    /// A command, as a person would type it.
    pub fn command(self, text: &str) {
        self.line(BOLD, &format!("$ {text}"));
    }

    /// Output of a command, or data: as it is.
    pub fn output(self, text: &str) {
        self.line("", text);
    }

    /// A word to the reader.
    pub fn note(self, text: &str) {
        self.line(DIM, &format!("   {text}"));
    }

    /// Something that was checked and is as it should be.
    pub fn good(self, text: &str) {
        self.line(GREEN, &format!("ok {text}"));
    }

    /// The good end.
    pub fn success(self, text: &str) {
        self.line("", "");
        self.line(GREEN, text);
    }

    /// The bad end, on stderr.
    pub fn failure(self, text: &str) {
        let text = self.coloured(RED, text);
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Rows in columns as wide as their widest cell; the first row is the head.
    pub fn table(self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            self.line(if number == 0 { BOLD } else { "" }, cells.join("   ").trim_end());
        }
    }

    fn line(self, colour: &str, text: &str) {
        // Whoever reads this may have gone (`| head`); that is no reason to leave things half done.
        let _ = writeln!(io::stdout(), "{}", self.coloured(colour, text));
    }

    fn coloured(self, colour: &str, text: &str) -> String {
        if self.colours && !colour.is_empty() { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }
}

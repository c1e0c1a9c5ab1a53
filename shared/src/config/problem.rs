//! What is wrong with a configuration: all of it at once, each with its place and the remedy.
//!
//! Owns the report and how it is printed. Holds no secret: a line on which somebody wrote a secret's value
//! is not quoted.

use std::fmt;

/// One mistake. `Display` prints it with its source line and a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    /// From 1; 0 when the file could not be read at all.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Where in the document, such as `entities.talents.fields.name.type`; empty for the document itself.
    pub path: String,
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// The source line; `None` where it must not be shown.
    pub excerpt: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        writeln!(f, "{}", self.message)?;
        if let Some(excerpt) = &self.excerpt {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            let (shown, caret) = window(excerpt, self.column);
            writeln!(f, "{margin} |")?;
            writeln!(f, "{number} | {shown}")?;
            writeln!(f, "{margin} | {}^", " ".repeat(caret))?;
        }
        write!(f, "  help: {}", self.help)
    }
}

/// The part of a long line around a column, and how far into it the column is.
fn window(line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 100;
    const BEFORE: usize = 60;
    let at = column.saturating_sub(1);
    let start = if line.chars().count() > WIDTH { at.saturating_sub(BEFORE) } else { 0 };
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = line.chars().skip(start).take(WIDTH).map(clean).collect();
    (shown.trim_end().to_owned(), at - start)
}

/// Everything that is wrong with a configuration, in the order of the files' lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}\n")?;
        }
        match self.0.len() {
            1 => f.write_str("1 problem"),
            n => write!(f, "{n} problems"),
        }
    }
}

impl std::error::Error for Problems {}

/// The candidate that `word` was probably meant to be: at most a third of its letters differ.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance, an exchange of neighbours counting once. Case and the choice of `-` or `_` don't count.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| -> Vec<char> {
        text.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let above = &rows[i - 1];
            let mut best = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_the_word_that_was_meant_and_another_word_finds_none() {
        let words = ["incremental", "full", "zone", "max_length"];
        assert_eq!(nearest("incremantal", words), Some("incremental"));
        assert_eq!(nearest("zoen", words), Some("zone"));
        assert_eq!(nearest("Max-Length", words), Some("max_length"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest("", words), None);
    }

    #[test]
    fn a_long_line_is_shown_around_its_caret() {
        let line = format!("{}!{}", "a".repeat(300), "b".repeat(300));
        let (shown, caret) = window(&line, 301);
        assert_eq!(shown.chars().nth(caret), Some('!'));
        assert!(shown.len() <= 100);
    }
}

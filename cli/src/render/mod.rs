//! Answers of the admin API in words. Pure: JSON in, text out, so that every form has a golden test.

pub mod deliveries;
pub mod diff;
pub mod gate;
pub mod lists;
pub mod run;
pub mod status;

use serde_json::Value as Json;

/// With thousands apart: `1,234,567`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub fn count(value: &Json) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// `v3`; a dash where there is none.
pub fn version(value: &Json) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |n| format!("v{n}"))
}

pub fn text(value: &Json) -> &str {
    value.as_str().unwrap_or("-")
}

/// To the second: `2030-01-01 14:05:00Z`.
pub fn time(value: &Json) -> String {
    let Some(time) = value.as_str() else { return "-".to_owned() };
    match (time.get(..10), time.get(11..19)) {
        (Some(day), Some(clock)) => format!("{day} {clock}Z"),
        _ => time.to_owned(),
    }
}

pub fn entries(value: &Json) -> impl Iterator<Item = (&String, &Json)> {
    value.as_object().into_iter().flatten()
}

pub fn items(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// At most `limit` characters, the rest as an ellipsis; no control characters.
pub fn cut(text: &str, limit: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= limit {
        return clean;
    }
    clean.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// Columns under their titles. Numbers look best on the right: `right` names those columns.
pub fn table(titles: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([titles[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    std::iter::once(line(&titles)).chain(rows.iter().map(|row| line(row))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown: Vec<String> = [0, 999, 1000, 12_345, 1_234_567].map(number).into();
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn long_text_is_cut_and_control_characters_do_not_reach_a_terminal() {
        assert_eq!(cut("short", 10), "short");
        assert_eq!(cut("0123456789", 5), "0123…");
        assert_eq!(cut("a\u{1b}[31mb\n", 20), "a [31mb ");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(&json!("2030-01-01T14:05:09.123Z")), "2030-01-01 14:05:09Z");
        assert_eq!(time(&Json::Null), "-");
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [vec!["talents".to_owned(), "12".to_owned()], vec!["b".to_owned(), "1,200".to_owned()]];
        assert_eq!(table(&["entity", "rows"], &[1], &rows), "entity    rows\ntalents     12\nb        1,200");
    }
}

//! A downloaded file: CSV, perhaps compressed, whose empty cells and, unless they are kept, words for "not
//! available" are null.

use crate::value::Value;

use super::{Answer, ExtractError, Extracted};
use crate::decode;

const NOT_AVAILABLE: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

pub(super) fn rows(answer: Answer, keep_na: bool) -> Result<Extracted<'static>, ExtractError> {
    let text = decode::by_header(&decode::inflate_leniently(answer.body)?, answer.headers)?;
    let absent: &[&str] = if keep_na { &NOT_AVAILABLE[..1] } else { &NOT_AVAILABLE };
    let rows = decode::table(text, b',')?;
    Ok(Box::new(rows.map(move |row| {
        let mut row = row?;
        if row.contains_key("null") && row["null"].is_array() {
            return Err(ExtractError::Record("a row of the file has more cells than its first row".to_owned()));
        }
        for value in row.values_mut() {
            if value.as_str().is_some_and(|text| absent.contains(&text)) {
                *value = Value::Null;
            }
        }
        Ok(Some(Value::Object(row)))
    })))
}

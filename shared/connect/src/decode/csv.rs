//! CSV: rows to objects by the first row's names.

use crate::value::{Map, Value};
use bytes::Bytes;

use super::{CsvOptions, DecodeError, Decoded, charset};
use crate::interpolate::python_literal;

/// One ASCII character, or an escape such as `\t`.
pub(super) fn delimiter(text: &str) -> Result<u8, DecodeError> {
    let escaped = text.starts_with('\\').then(|| python_literal(&format!("\"{text}\""))).flatten();
    let text = escaped.as_ref().and_then(Value::as_str).unwrap_or(text);
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Ok(*byte),
        _ => Err(DecodeError::Component(format!("the delimiter '{text}' must be one ASCII character"))),
    }
}

/// A row that is too short has nulls; what is too much is a list under `null`.
pub(super) fn rows(body: &Bytes, options: &CsvOptions) -> Result<Decoded, DecodeError> {
    let nulls = options.set_values_to_none.clone();
    let rows = table(charset::to_utf8(body, &options.encoding)?, options.delimiter)?;
    Ok(Box::new(rows.map(move |row| {
        let mut row = row?;
        if !nulls.is_empty() {
            for value in row.values_mut() {
                if value.as_str().is_some_and(|text| nulls.iter().any(|null| null == text)) {
                    *value = Value::Null;
                }
            }
        }
        Ok(Value::Object(row))
    })))
}

type Rows = Box<dyn Iterator<Item = Result<Map, DecodeError>> + Send>;

pub(crate) fn table(text: Bytes, delimiter: u8) -> Result<Rows, DecodeError> {
    // Python reads every kind of line end as one, inside quotes too.
    let text = if text.contains(&b'\r') {
        let text = String::from_utf8_lossy(&text).replace("\r\n", "\n").replace('\r', "\n");
        Bytes::from(text)
    } else {
        text
    };
    let wrong = |error: csv::Error| DecodeError::Body { form: "CSV", why: error.to_string() };
    let reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(std::io::Cursor::new(text));
    let mut records = reader.into_records();
    let Some(names) = records.next() else { return Ok(Box::new(std::iter::empty())) };
    let names: Vec<String> = names.map_err(wrong)?.iter().map(str::to_owned).collect();
    Ok(Box::new(records.map(move |record| {
        let record = record.map_err(wrong)?;
        let mut row = Map::new();
        for (i, name) in names.iter().enumerate() {
            row.insert(name.clone(), record.get(i).map_or(Value::Null, Value::from));
        }
        if record.len() > names.len() {
            row.insert("null".to_owned(), record.iter().skip(names.len()).map(Value::from).collect());
        }
        Ok(row)
    })))
}

//! Answers' bodies to JSON values: JSON, JSON lines, one array inside a large JSON, CSV, XML, lines, and any of
//! them compressed.
//!
//! Always holds: values come one by one; a body that is not of its form is an error, never an empty answer; what
//! is unpacked is bounded.

mod charset;
mod csv;
mod json;
mod packed;
mod xml;

#[cfg(test)]
mod tests;

use crate::value::{Map, Value, json};
use bytes::Bytes;
use http::HeaderMap;

pub(crate) use self::csv::table;
pub(crate) use charset::by_header;
pub(crate) use packed::inflate_leniently;

#[derive(Clone, Debug, PartialEq)]
pub enum Decoder {
    Json,
    Jsonl,
    /// One array, by the dotted path to it; `item` steps into a list.
    JsonItems {
        path: String,
        encoding: String,
    },
    Csv(CsvOptions),
    Xml,
    /// `{"record": line}` for each line.
    Iterable,
    Gzip(Box<Decoder>),
    Zip(Box<Decoder>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct CsvOptions {
    pub delimiter: u8,
    pub encoding: String,
    pub set_values_to_none: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the decoder can't be used: {0}")]
    Component(String),
    #[error("the answer is no {form}: {why}")]
    Body { form: &'static str, why: String },
    #[error("the answer unpacks to more than {0} bytes")]
    TooLarge(u64),
}

/// The values of one body, made one by one.
pub type Decoded = Box<dyn Iterator<Item = Result<Value, DecodeError>> + Send>;

impl Decoder {
    /// From a manifest's decoder component; `None` is JSON.
    pub fn compile(component: Option<&Value>) -> Result<Self, DecodeError> {
        let Some(component) = component else { return Ok(Self::Json) };
        let text = |name: &str| component.get(name).and_then(Value::as_str);
        let inner = || Self::compile(component.get("decoder")).map(Box::new);
        let encoding = || {
            let name = text("encoding").unwrap_or("utf-8");
            charset::known(name).then(|| name.to_owned()).ok_or_else(|| {
                DecodeError::Component(format!("the encoding '{name}' is not known; use for example utf-8"))
            })
        };
        Ok(match text("type").unwrap_or("JsonDecoder") {
            "JsonDecoder" => Self::Json,
            "JsonlDecoder" => Self::Jsonl,
            "JsonItemsDecoder" => {
                let path = text("items_path").filter(|path| !path.is_empty());
                let path = path.ok_or_else(|| DecodeError::Component("items_path must not be empty".to_owned()))?;
                Self::JsonItems { path: path.to_owned(), encoding: encoding()? }
            }
            "CsvDecoder" => Self::Csv(CsvOptions {
                delimiter: csv::delimiter(text("delimiter").unwrap_or(","))?,
                encoding: encoding()?,
                set_values_to_none: match component.get("set_values_to_none").and_then(Value::as_array) {
                    Some(values) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                    None => Vec::new(),
                },
            }),
            "XmlDecoder" => Self::Xml,
            "IterableDecoder" => Self::Iterable,
            "GzipDecoder" => Self::Gzip(inner()?),
            "ZipfileDecoder" => Self::Zip(inner()?),
            other => return Err(DecodeError::Component(format!("there is no decoder '{other}'"))),
        })
    }

    /// An empty body is one empty object, as is an empty list.
    pub fn decode(&self, body: &Bytes, headers: &HeaderMap) -> Result<Decoded, DecodeError> {
        match self {
            Self::Json if body.trim_ascii().is_empty() => Ok(one(Value::Object(Map::new()))),
            Self::Json => json::whole(&charset::utf8(body, headers)?),
            Self::Jsonl => Ok(json::lines(body.clone())),
            Self::JsonItems { path, encoding } => json::items(charset::to_utf8(body, encoding)?, path),
            Self::Csv(options) => csv::rows(body, options),
            Self::Xml => xml::read(&charset::of_xml(body, headers)?).map(one),
            Self::Iterable => {
                let text = charset::to_utf8(body, "utf-8")?;
                let mut lines = json::Lines::new(text);
                Ok(Box::new(std::iter::from_fn(move || {
                    lines.next().map(|line| match std::str::from_utf8(&line) {
                        Ok(line) => Ok(json!({ "record": line })),
                        Err(_) => Err(DecodeError::Body { form: "text", why: "it is not UTF-8".to_owned() }),
                    })
                })))
            }
            Self::Gzip(inner) => inner.decode(&packed::gunzip(body, headers)?, &HeaderMap::new()),
            Self::Zip(inner) => packed::unzip(body, inner),
        }
    }
}

fn one(value: Value) -> Decoded {
    Box::new(std::iter::once(Ok(value)))
}

//! Answers' bodies to JSON values: JSON, JSON lines, one array inside a large JSON, CSV, XML, lines, and any of
//! them compressed.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub enum Decoder {
    Json,
    Jsonl,
    JsonItems { path: String, encoding: String },
    Csv(CsvOptions),
    Xml,
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

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the decoder can't be used: {0}")]
    Component(String),
    #[error("the answer is no {form}: {why}")]
    Body { form: &'static str, why: String },
}

/// The values of one body, made one by one.
pub type Decoded<'a> = Box<dyn Iterator<Item = Result<Value, DecodeError>> + 'a>;

impl Decoder {
    /// From a manifest's decoder component.
    pub fn compile(component: &Value) -> Result<Self, DecodeError> {
        let _ = component;
        Ok(Self::Json)
    }

    pub fn decode<'a>(&'a self, body: &'a [u8], headers: &'a http::HeaderMap) -> Result<Decoded<'a>, DecodeError> {
        let _ = (body, headers);
        Ok(Box::new(std::iter::empty()))
    }
}

//! Records out of answers: along a path, from several paths, or from a downloaded file; and records taken apart
//! into the items of a list inside them.
//!
//! Always holds: records come one by one; a decoded value is taken apart, not copied.

mod download;
mod expand;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::value::Value;
use bytes::Bytes;
use http::HeaderMap;

use crate::decode::{DecodeError, Decoder};
use crate::dpath::{self, Step};
use crate::interpolate::{Context, Template, TemplateError};

pub use expand::RecordExpander;

#[derive(Clone, Debug, thiserror::Error)]
pub enum ExtractError {
    #[error("the extractor can't be used: {0}")]
    Component(String),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{0}")]
    Record(String),
}

#[derive(Clone, Debug)]
pub enum Extractor {
    Path(PathExtractor),
    Combined { extractors: Vec<Extractor>, first_match: bool, skip_empty: bool },
    Download { keep_na: bool },
}

#[derive(Clone, Debug)]
pub struct PathExtractor {
    path: Vec<Template>,
    expander: Option<RecordExpander>,
}

/// What there is to extract from.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    pub decoder: &'a Decoder,
    pub body: &'a Bytes,
    pub headers: &'a HeaderMap,
}

/// `None` is an empty record that was left out, and counts as one of the page.
pub type Extracted<'a> = Box<dyn Iterator<Item = Result<Option<Value>, ExtractError>> + Send + 'a>;

/// The templates of a list of steps.
pub(crate) fn templates(path: Option<&Value>, parameters: &Arc<Value>) -> Result<Vec<Template>, TemplateError> {
    let steps = path.and_then(Value::as_array).into_iter().flatten();
    steps
        .map(|step| {
            let text = step.as_str().map_or_else(|| crate::interpolate::python_text(step), str::to_owned);
            Ok(Template::compile(&text)?.with_parameters(parameters))
        })
        .collect()
}

pub(crate) fn render(path: &[Template], context: &Context) -> Result<Vec<Step>, TemplateError> {
    path.iter().map(|step| Ok(Step::of(&step.render(context)?))).collect()
}

pub(crate) fn parameters(component: &Value) -> Arc<Value> {
    Arc::new(component.get("$parameters").cloned().unwrap_or_else(|| Value::Object(crate::value::Map::new())))
}

pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

impl Extractor {
    /// From a DpathExtractor, CombinedExtractor or ResponseToFileExtractor component.
    pub fn compile(component: &Value) -> Result<Self, ExtractError> {
        let flag = |name: &str| component.get(name).and_then(Value::as_bool).unwrap_or(false);
        match component.get("type").and_then(Value::as_str).unwrap_or("DpathExtractor") {
            "DpathExtractor" => Ok(Self::Path(PathExtractor {
                path: templates(component.get("field_path"), &parameters(component))?,
                expander: component.get("record_expander").map(RecordExpander::compile).transpose()?,
            })),
            "CombinedExtractor" => {
                let extractors = component.get("extractors").and_then(Value::as_array).into_iter().flatten();
                let extractors = extractors.map(Self::compile).collect::<Result<Vec<_>, _>>()?;
                if extractors.is_empty() {
                    return Err(ExtractError::Component("a CombinedExtractor needs at least one extractor".to_owned()));
                }
                let mode = component.get("mode").and_then(Value::as_str).unwrap_or("union");
                if !matches!(mode, "union" | "first_match") {
                    return Err(ExtractError::Component(format!("the mode '{mode}' must be union or first_match")));
                }
                let first_match = mode == "first_match";
                Ok(Self::Combined { extractors, first_match, skip_empty: flag("skip_empty_records") })
            }
            "ResponseToFileExtractor" => Ok(Self::Download { keep_na: flag("preserve_na_values") }),
            other => Err(ExtractError::Component(format!("there is no extractor '{other}'"))),
        }
    }

    /// What to say of an answer that has nothing at all where the records are looked for.
    pub fn missed(&self, answer: Answer, context: &Context) -> Option<String> {
        let Self::Path(PathExtractor { path, .. }) = self else { return None };
        let path = render(path, context).ok().filter(|path| !path.is_empty())?;
        for body in answer.decoder.decode(answer.body, answer.headers).ok()? {
            if !dpath::find(&body.ok()?, &path).is_empty() {
                return None;
            }
        }
        let path: Vec<String> = path.iter().map(Step::name).collect();
        Some(format!("the answer has nothing at the field_path ['{}']", path.join("', '")))
    }

    pub fn extract<'a>(&'a self, answer: Answer<'a>, context: &'a Context<'a>) -> Result<Extracted<'a>, ExtractError> {
        match self {
            Self::Path(extractor) => extractor.extract(answer, context),
            Self::Download { keep_na } => download::rows(answer, *keep_na),
            Self::Combined { extractors, first_match, skip_empty } => {
                let records = move |extractor: &'a Self| -> Result<Extracted<'a>, ExtractError> {
                    let records = extractor.extract(answer, context)?;
                    let skip = *skip_empty;
                    Ok(Box::new(records.map(move |record| Ok(record?.filter(|record| !(skip && is_empty(record)))))))
                };
                if *first_match {
                    return first_of(extractors.iter().map(records));
                }
                Ok(Box::new(extractors.iter().flat_map(move |extractor| match records(extractor) {
                    Ok(records) => records,
                    Err(error) => Box::new(std::iter::once(Err(error))),
                })))
            }
        }
    }
}

/// The first of the answers that has a record, with what was left out before it.
fn first_of<'a>(
    answers: impl Iterator<Item = Result<Extracted<'a>, ExtractError>> + Send,
) -> Result<Extracted<'a>, ExtractError> {
    for records in answers {
        let mut records = records?;
        let mut left_out = 0;
        while let Some(record) = records.next() {
            match record? {
                Some(first) => {
                    let before = std::iter::repeat_n(None, left_out).chain([Some(first)]).map(Ok);
                    return Ok(Box::new(before.chain(records)));
                }
                None => left_out += 1,
            }
        }
    }
    Ok(Box::new(std::iter::empty()))
}

impl PathExtractor {
    fn extract<'a>(&'a self, answer: Answer<'a>, context: &'a Context<'a>) -> Result<Extracted<'a>, ExtractError> {
        let path = render(&self.path, context)?;
        let stars = path.iter().any(Step::is_star);
        let bodies = answer.decoder.decode(answer.body, answer.headers)?;
        Ok(Box::new(bodies.flat_map(move |body| -> Extracted<'a> {
            match body.map_err(ExtractError::from).and_then(|body| found(body, &path, stars)) {
                Ok(records) => match &self.expander {
                    None => Box::new(records.into_iter().map(|record| Ok(Some(record)))),
                    Some(expander) => {
                        Box::new(records.into_iter().flat_map(move |record| match expander.expand(record, context) {
                            Ok(items) => items.into_iter().map(|item| Ok(Some(item))).collect(),
                            Err(error) => vec![Err(error)],
                        }))
                    }
                },
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        })))
    }
}

/// A list's items, or the one value, unless it is empty.
fn found(body: Value, path: &[Step], stars: bool) -> Result<Vec<Value>, ExtractError> {
    let value = if path.is_empty() {
        body
    } else {
        let mut values = dpath::take(body, path);
        if stars {
            return Ok(values);
        }
        if values.len() > 1 {
            return Err(ExtractError::Record("the field path leads to more than one place; use '*'".to_owned()));
        }
        values.pop().unwrap_or_default()
    };
    Ok(match value {
        Value::Array(items) => items,
        value if is_empty(&value) => Vec::new(),
        value => vec![value],
    })
}

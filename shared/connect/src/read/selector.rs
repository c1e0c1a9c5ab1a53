//! What makes records of an answer: decoder, extractor, filter, transformations, normalization.

use std::sync::OnceLock;

use jiff::Timestamp;
use teal::ports::upstream::Response;

use super::record::{Found, Record, Written, records_at};
use crate::decode::Decoder;
use crate::extract::{Answer, Extractor};
use crate::failure::Failure;
use crate::interpolate::{Context, StreamSlice, Template};
use crate::node::{Compiler, Node};
use crate::normalize::Normalizer;
use crate::session::Session;
use crate::transform::Transformation;
use crate::value::Value;

#[derive(Debug)]
pub struct Selector {
    pub decoder: Decoder,
    extractor: Extractor,
    /// Where the records are, when they can be taken out without making a tree.
    pub straight: Option<Vec<String>>,
    filter: Option<Template>,
    transformations: Vec<Transformation>,
    transforms_first: bool,
    /// Compiled with the stream's schema, when that is known.
    normalizer: Option<OnceLock<Normalizer>>,
}

impl Selector {
    pub fn compile(node: &Node, decoder: Option<Node>, stream: Option<&Node>, cx: &mut Compiler) -> Option<Self> {
        if node.kind() != "RecordSelector" {
            cx.unknown(node, "record selector");
            return None;
        }
        let decoder = compile_decoder(decoder, cx)?;
        let extractor_node = node.require("extractor", cx)?;
        if extractor_node.kind().starts_with("Custom") {
            cx.unknown(&extractor_node, "extractor");
        }
        let filter_node = node.get("record_filter");
        if let Some(filter) = filter_node.as_ref().filter(|filter| filter.kind() != "RecordFilter") {
            cx.unknown(filter, "record filter");
        }
        let mut transformations = Vec::new();
        for node in stream.map(|stream| stream.list("transformations")).unwrap_or_default() {
            if node.kind().starts_with("Custom") {
                cx.unknown(&node, "transformation");
            } else {
                transformations.extend(cx.check(&node, Transformation::compile(node.value)));
            }
        }
        let normalizes = match node.get("schema_normalization") {
            None => false,
            Some(at) if at.value == "None" => false,
            Some(at) if at.value == "Default" => true,
            Some(at) => {
                cx.unknown(&at, "schema normalization");
                false
            }
        };
        let is_client_side =
            stream.and_then(|s| s.get("incremental_sync")).is_some_and(|s| s.flag("is_client_side_incremental"));
        let transforms_first =
            node.get("transform_before_filtering").and_then(|node| node.value.as_bool()).unwrap_or(is_client_side);
        let retriever =
            extractor_node.get("record_expander").and_then(|expander| expander.get("truncated_list_retriever"));
        if let Some(retriever) = retriever {
            let what = "lists that came cut short can't be fetched whole; leave 'truncated_list_retriever' out";
            cx.problems.push(crate::problem::Problem::new(crate::problem::Kind::Custom, retriever.at, what));
        }
        if extractor_node.kind().starts_with("Custom") {
            return None;
        }
        let straight = straight_path(&extractor_node, &decoder, cx);
        Some(Self {
            extractor: cx.check(&extractor_node, Extractor::compile(extractor_node.value))?,
            straight,
            decoder,
            filter: filter_node.and_then(|filter| filter.template("condition", cx)).filter(|f| !f.text().is_empty()),
            transformations,
            transforms_first,
            normalizer: normalizes.then(OnceLock::new),
        })
    }

    /// For records that need nothing done to them but extraction.
    pub fn plain(extractor: &Node, decoder: Decoder, cx: &mut Compiler) -> Option<Self> {
        Some(Self {
            straight: straight_path(extractor, &decoder, cx),
            extractor: cx.check(extractor, Extractor::compile(extractor.value))?,
            decoder,
            filter: None,
            transformations: Vec::new(),
            transforms_first: false,
            normalizer: None,
        })
    }

    pub fn normalizes(&self) -> bool {
        self.normalizer.is_some()
    }

    /// The records of an answer as the source has them.
    /// With how many the page had: some are left out by the extractor.
    pub fn extract(&self, response: &Response, cx: &Context) -> Result<(Vec<Record>, i64), Failure> {
        if let Some(path) = &self.straight
            && let Ok(Found::Records(records)) = records_at(&response.body, path)
        {
            let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
            return Ok((records, count));
        }
        let mut count = 0;
        let mut records = Vec::new();
        self.each_value(response, cx, |value| {
            count += 1;
            records.extend(value.map(Record::of_value).transpose()?);
            Ok(())
        })?;
        Ok((records, count))
    }

    /// What to say of an answer without records, when they can't be where they are looked for.
    pub fn missed(&self, response: &Response, cx: &Context) -> Option<String> {
        if response.body.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let headers = crate::http::header_map(response);
        self.extractor.missed(Answer { decoder: &self.decoder, body: &response.body, headers: &headers }, cx)
    }

    pub fn extract_values(&self, response: &Response, cx: &Context) -> Result<Vec<Value>, Failure> {
        let mut values = Vec::new();
        self.each_value(response, cx, |value| {
            values.extend(value);
            Ok(())
        })?;
        Ok(values)
    }

    fn each_value(
        &self,
        response: &Response,
        cx: &Context,
        mut each: impl FnMut(Option<Value>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if response.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let headers = crate::http::header_map(response);
        let answer = Answer { decoder: &self.decoder, body: &response.body, headers: &headers };
        self.extractor.extract(answer, cx)?.try_for_each(|value| each(value?))
    }

    /// Filters and changes; `seen` is what templates see, without the record.
    pub fn select(&self, records: Vec<Record>, schema: Option<&Value>, seen: &Context) -> Result<Vec<Record>, Failure> {
        let normalizer = match (&self.normalizer, schema.filter(|schema| crate::python::is_truthy(schema))) {
            (Some(once), Some(schema)) => Some(once.get_or_init(|| Normalizer::compile(schema))),
            _ => None,
        };
        if self.filter.is_none() && self.transformations.is_empty() && normalizer.is_none() {
            return Ok(records);
        }
        let mut out = Written::default();
        for record in records {
            let mut value = Value::Object(record.into_map()?);
            if self.transforms_first {
                self.transform(&mut value, seen)?;
            }
            if let Some(filter) = &self.filter
                && !filter.render_bool(&seen.clone().with("record", &value))?
            {
                continue;
            }
            if !self.transforms_first {
                self.transform(&mut value, seen)?;
            }
            if let Some(normalizer) = normalizer {
                normalizer.apply(&mut value);
            }
            out.push(&value)?;
        }
        Ok(out.records())
    }

    fn transform(&self, value: &mut Value, seen: &Context) -> Result<(), Failure> {
        for transformation in &self.transformations {
            transformation.apply(value, seen)?;
        }
        Ok(())
    }
}

pub fn compile_decoder(node: Option<Node>, cx: &mut Compiler) -> Option<Decoder> {
    match node {
        None => Some(Decoder::Json),
        Some(node) if node.kind().starts_with("Custom") => {
            cx.unknown(&node, "decoder");
            None
        }
        Some(node) => cx.check(&node, Decoder::compile(Some(node.value))),
    }
}

fn straight_path(extractor: &Node, decoder: &Decoder, cx: &mut Compiler) -> Option<Vec<String>> {
    if *decoder != Decoder::Json || extractor.kind() != "DpathExtractor" || extractor.get("record_expander").is_some() {
        return None;
    }
    let parameters = extractor.parameters();
    let mut path = Vec::new();
    for step in extractor.list("field_path") {
        let step = cx.evaluate_text(&step, &parameters)?;
        if step.contains(['*', '?', '[', '/']) || step.parse::<i64>().is_ok() {
            return None;
        }
        path.push(step);
    }
    Some(path)
}

/// What record filters and transformations see.
pub fn seen<'a>(session: &'a Session, slice: &'a StreamSlice, token: &'a Value, now: Timestamp) -> Context<'a> {
    session.scope(now, Some(slice), token)
}
